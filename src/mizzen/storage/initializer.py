"""The init container that brings a pod its models: ``SRC DEST [SRC DEST ...]``, as KServe's storage initializer.

Its last line is for the person: on failure it says which address and why, on stderr and in the pod's termination
message, and the exit status is 1. It runs in a process forked for it or started anew; importing it does no work.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from mizzen.errors import leave_termination_message
from mizzen.storage.download import fetch
from mizzen.storage.errors import StorageError, size
from mizzen.storage.progress import Console
from mizzen.storage.provider import Fetched
from mizzen.storage.uris import one_line, shown

_USAGE = "usage: storage-initializer SRC DEST [SRC DEST ...]"


class _Terminated(BaseException):
    """SIGTERM. No ``except Exception`` on the way may take it for a failure of its own."""


def main(argv: list[str]) -> int:
    """Fetch each source of ``argv`` into the folder after it. To be called in a main thread, where signals arrive.

    Returns:
        0; 1 when a model cannot be fetched; 143 after SIGTERM, with the files of the unfinished download removed.
    """
    console = Console(sys.stderr)
    with _stopped_by_sigterm():
        try:
            return _run(argv, console)
        except _Terminated:
            _sweep(argv[1::2])
            sources = ", ".join(map(shown, argv[::2]))
            return _fail(console, f"{sources}: stopped by SIGTERM before it was complete", 128 + signal.SIGTERM)


def _run(argv: list[str], console: Console) -> int:
    if not argv or len(argv) % 2:
        return _fail(console, f"{_USAGE} (got {len(argv)} arguments)")
    try:
        if os.environ.get("CONFIDENTIAL_ENABLED", "").lower() == "true":
            raise StorageError("CONFIDENTIAL_ENABLED=true: encrypted models are not supported yet")
        for source, target in zip(argv[::2], argv[1::2], strict=True):
            _fetch(source, target, console)
    except StorageError as error:
        return _fail(console, str(error))
    except Exception as error:
        console.end()
        sys.excepthook(type(error), error, error.__traceback__)
        return _fail(console, f"{shown(source)}: a defect of the storage initializer: {type(error).__name__}")
    return 0


def _fetch(source: str, target: str, console: Console) -> None:
    console.line(f"fetching {shown(source)} into {one_line(target)}")
    started = time.monotonic()
    fetched = fetch(source, target, progress=console)
    console.end()
    print(f"fetched {shown(source)}: {_amount(fetched)} in {time.monotonic() - started:.1f} s", flush=True)


def _amount(fetched: Fetched) -> str:
    if fetched.links:
        return f"{fetched.links} {'entry' if fetched.links == 1 else 'entries'} linked"
    amount = f"{fetched.files} {'file' if fetched.files == 1 else 'files'}, {size(fetched.bytes)}"
    return f"{amount} from the cache" if fetched.cached else amount


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Within it the first SIGTERM unwinds the stack, and no further one cuts the cleaning short."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise _Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _sweep(targets: list[str]) -> None:
    """The signal may have come while a folder was made or removed; then the unwinding has not seen all of it."""
    from mizzen.storage.staging import sweep

    for target in targets:
        sweep(Path(target))


def _fail(console: Console, reason: str, status: int = 1) -> int:
    reason = one_line(reason)
    leave_termination_message(reason)
    console.last(reason)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
