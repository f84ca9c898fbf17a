"""Bringing the bytes of one file here, whatever the network does in between.

What has arrived stays: after a break the rest is asked for, and the source sees to it that the rest belongs to the same
contents. A file without a version cannot be gone on with. Large files come in several parts at once where the source
can do that. At the end the check sum is compared, if the service tells one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from mizzen.storage.digests import sums_of
from mizzen.storage.errors import StorageError, TransientError
from mizzen.storage.parts import SEGMENT, Part
from mizzen.storage.progress import Meter
from mizzen.storage.source import Changed, Remote, Source
from mizzen.storage.workers import Stop, all_of

# Between one attempt and the next; the last one stays.
PAUSES = (0.5, 2.0, 5.0)
# Whoever sent that much meanwhile has earned as many attempts as in the beginning.
_PROGRESS = 1 << 20
_LONGEST_PAUSE = 30.0


def pause(number: int, error: TransientError) -> float:
    """Seconds to wait after a failure: the ``number``-th without progress, counted from 0."""
    asked = min(error.retry_after, _LONGEST_PAUSE)
    return max(PAUSES[min(number, len(PAUSES) - 1)], asked)


def tried(error: TransientError, attempts: int) -> StorageError:
    """``error``, as final as ``attempts`` make it."""
    return StorageError(f"{error} (tried {attempts} times)" if attempts > 1 else str(error))


class Counter:
    """The bytes of all files of a model, from several threads, for one meter."""

    def __init__(self, meter: Meter, trouble: Callable[[str], None]) -> None:
        self._meter = meter
        self._trouble = trouble
        self._lock = threading.Lock()

    @property
    def done(self) -> int:
        return self._meter.done

    def add(self, count: int) -> None:
        """More bytes, or with a negative number fewer: what is worth nothing after all."""
        with self._lock:
            self._meter.add(count)

    def trouble(self, reason: str) -> None:
        with self._lock:
            self._trouble(reason)


class Transfer:
    """Brings files of ``source``; everything is counted, and ends when ``stop`` is said."""

    def __init__(self, source: Source, counter: Counter, stop: Stop) -> None:
        self._source = source
        self._counter = counter
        self._stop = stop

    def bring(self, remote: Remote, part: Part, *, also: str = "") -> dict[str, str]:
        """Fill ``part`` with the contents of ``remote``.

        Returns:
            The sums of the contents: the one that was compared, if any, and the algorithm ``also``, if any.

        Raises:
            Changed: it is no longer what was listed.
            TransientError: a file without a version was not brought; it can be tried again from the list on.
            StorageError: it cannot be had, or what came is not what the service promised.
        """
        at_once = self._source.parts_at_once if (remote.size or 0) > 2 * SEGMENT else 1
        for attempt in range(self._source.attempts):
            pieces = list(part.missing(at_once))
            all_of([self._piece(remote, part, start, stop) for start, stop in pieces], at_once, self._stop)
            part.finish()
            sums, wrong = self._compared(remote, part, also)
            if not wrong:
                return sums
            self._counter.add(-part.path.stat().st_size)
            part.forget()
            if attempt + 1 < self._source.attempts:
                self._counter.trouble(wrong)
        raise StorageError(f"{wrong} (tried {self._source.attempts} times)")

    def _compared(self, remote: Remote, part: Part, also: str) -> tuple[dict[str, str], str]:
        """The sums, and what is wrong with them."""
        algorithm, _, promised = self._source.digest(remote).partition(":")
        sums = sums_of(part.path, {name for name in (algorithm, also) if name}, self._stop.check)
        found = sums.get(algorithm, promised)
        if found == promised:
            return sums, ""
        return sums, f"{remote.path} has the {algorithm} sum {found}, and the service promised {promised}"

    def _piece(self, remote: Remote, part: Part, start: int, stop: int | None) -> Callable[[], None]:
        return lambda: self._fill(remote, part, start, stop)

    def _fill(self, remote: Remote, part: Part, start: int, stop: int | None) -> None:
        position = since = start
        failures = 0
        while stop is None or position < stop:
            try:
                for chunk in self._source.read(remote, position, stop):
                    self._stop.check()
                    if stop is not None and position + len(chunk) > stop:
                        raise StorageError(f"the server sent more of {remote.path} than it was asked for")
                    part.write(position, chunk)
                    position += len(chunk)
                    self._counter.add(len(chunk))
                    if position // SEGMENT > (position - len(chunk)) // SEGMENT:
                        part.note(start, position)
                if stop is None:
                    return
                if position < stop:
                    raise TransientError(f"the download was cut off after {position} of {remote.size} bytes")
            except Changed:
                raise
            except TransientError as error:
                if not remote.version or stop is None:
                    raise
                failures = failures + 1 if position - since < _PROGRESS else 1
                since = position
                if failures >= self._source.attempts:
                    raise tried(error, failures) from error
                self._counter.trouble(str(error))
                self._stop.sleep(pause(failures - 1, error))
        part.note(start, position)
