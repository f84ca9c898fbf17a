"""From a source to the model's folder: what there is, what is wanted of it, and nothing to be seen before it is whole.

The model is put together in a hidden folder inside the target, out of files of the cache or fetched ones, and appears
by a rename. A list that turns out to be old while its files are fetched is fetched anew.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from mizzen.storage.cache import OFFLINE, Blob, Cache, Known
from mizzen.storage.errors import StorageError, TransientError, writing
from mizzen.storage.gathering import Gathering
from mizzen.storage.patterns import Patterns
from mizzen.storage.placing import Placer
from mizzen.storage.progress import Transfer
from mizzen.storage.provider import Fetched, Order, nothing_found
from mizzen.storage.settings import flag
from mizzen.storage.source import Changed, Remote, Source
from mizzen.storage.staging import Staging
from mizzen.storage.transfer import pause, tried
from mizzen.storage.unpack import Limits, unpack_into
from mizzen.storage.uris import Kind, shown

_MAX_FILES = 200_000


def deliver(source: Source, order: Order) -> Fetched:
    """Bring the model of ``source`` into ``out_dir``, or into a new folder that is the caller's to remove.

    Raises:
        StorageError: why it cannot be had. The target is as it was.
    """
    limits = Limits.of(order.environ)
    offline = flag(order.environ, OFFLINE)
    target = order.out_dir or Path(tempfile.mkdtemp(prefix="mizzen-model-"))
    try:
        with ExitStack() as stack:
            stack.callback(source.close)
            staging = stack.enter_context(Staging(target))
            return _Delivery(source, order, staging, target, limits, offline).run()
    except BaseException:
        if order.out_dir is None:
            shutil.rmtree(target, ignore_errors=True)
        raise


class _Wanted(NamedTuple):
    """The files to fetch; if they are one archive, its kind and what is wanted of its inside."""

    files: list[Remote]
    archive: Kind | None = None
    inside: Patterns = Patterns()


class _Delivery:
    def __init__(
        self, source: Source, order: Order, staging: Staging, target: Path, limits: Limits, offline: bool
    ) -> None:
        self._source = source
        self._order = order
        self._staging = staging
        self._target = target
        self._limits = limits
        self._offline = offline
        self._cache = Cache.of(order.environ, self._notice)
        # With other patterns, other files are the whole of what is wanted.
        self._listing = f"{source.identity}\n{order.patterns}"

    def run(self) -> Fetched:
        failures = 0
        while True:
            try:
                return self._attempt(is_last=failures + 1 >= self._source.attempts)
            except TransientError as error:
                failures += 1
                if failures >= self._source.attempts:
                    raise tried(error, failures) from error
                self._trouble(str(error))
                if not isinstance(error, Changed):
                    time.sleep(pause(failures - 1, error))

    def _attempt(self, *, is_last: bool) -> Fetched:
        with ExitStack() as stack:
            scratch = stack.enter_context(self._cache.workspace()) if self._cache else self._staging
            known = self._cache.known(self._listing, self._source.identity) if self._cache else None
            wanted = self._wanted(self._listed(known, scratch.path, is_last))
            with tempfile.TemporaryDirectory(dir=self._staging.path, prefix="attempt-") as folder:
                fetched = self._put_together(wanted, Path(folder))
            if self._cache and all(remote.version for remote in wanted.files):
                self._cache.remember(self._listing, shown(self._order.uri), wanted.files)
            return fetched

    def _listed(self, known: Known | None, scratch: Path, is_last: bool) -> Sequence[Remote]:
        try:
            return self._source.list(known.files if known else (), scratch)
        except Changed:
            raise
        except TransientError as error:
            if known is None or not is_last:
                raise
            failure = tried(error, self._source.attempts)
            day = time.strftime("%Y-%m-%d %H:%M", time.localtime(known.time))
            if not self._offline:
                raise StorageError(f"{failure}; with {OFFLINE}=true, what the cache has of {day} would do") from error
            self._notice(f"{failure}; what the cache has of {day} is used")
            return known.files

    def _wanted(self, files: Sequence[Remote]) -> _Wanted:
        patterns, label = self._order.patterns, self._source.label
        if not files:
            raise StorageError(nothing_found(f"there is no file in {label}"))
        if len(files) > _MAX_FILES:
            raise StorageError(f"{label} has more than {_MAX_FILES} files, as no model has")
        if len(files) == 1 and files[0].archive:
            return _Wanted(list(files), files[0].archive, patterns)
        found = [remote for remote in files if patterns.admits(remote.path)]
        if not found:
            subject = f"{files[0].path} does not match" if len(files) == 1 else f"nothing in {label} matches"
            raise StorageError(nothing_found(f"{subject} the patterns ({patterns})"))
        _check_paths(found)
        return _Wanted(found, found[0].archive if len(found) == 1 else None)

    def _put_together(self, wanted: _Wanted, folder: Path) -> Fetched:
        ready = folder / "ready"
        with writing(ready):
            ready.mkdir()
        placer = Placer(self._cache.root, ready) if self._cache else None
        # An archive is unpacked from where it lies, and what comes out of it is asked for room then.
        shares = placer is not None and (bool(wanted.archive) or placer.shares)
        gathering = Gathering(
            self._source, self._cache, folder, self._order, self._trouble, self._notice, shares=shares
        )
        if wanted.archive:
            return self._unpacked(gathering, wanted.files[0], wanted.archive, wanted.inside)
        shelf = _Shelf(ready, placer)
        fetched = gathering.get(wanted.files, shelf.put)
        self._staging.commit(ready)
        return Fetched(self._target, files=len(wanted.files), bytes=shelf.bytes, cached=not fetched)

    def _unpacked(self, gathering: Gathering, remote: Remote, kind: Kind, inside: Patterns) -> Fetched:
        with ExitStack() as stack:
            paths: list[Path] = []

            def keep(_: Remote, found: Blob | Path) -> None:
                if isinstance(found, Blob):
                    # By its descriptor: the cache may give the blob's name up at any time.
                    descriptor = os.dup(found.file.fileno())
                    stack.callback(os.close, descriptor)
                    found = Path(f"/dev/fd/{descriptor}")
                paths.append(found)

            fetched = gathering.get([remote], keep)
            unpacked = unpack_into(
                self._staging, paths[0], kind, remote.path, inside, self._limits, self._order.progress
            )
        return Fetched(self._target, files=unpacked.files, bytes=unpacked.bytes, cached=not fetched)

    def _trouble(self, reason: str) -> None:
        if self._order.progress is not None:
            name = self._source.label.rstrip("/").rpartition("/")[2]
            self._order.progress(Transfer("download", name, 0, None, 0.0, trouble=reason))

    def _notice(self, text: str) -> None:
        if self._order.progress is not None:
            self._order.progress(Transfer("download", shown(self._order.uri), 0, None, 0.0, notice=text))
            return
        import logging  # only who calls us as a library has it anyway

        logging.getLogger("mizzen.storage").warning("%s: %s", shown(self._order.uri), text)


class _Shelf:
    """Where a model is put together, file by file, from several threads."""

    def __init__(self, folder: Path, placer: Placer | None) -> None:
        self.bytes = 0
        self._folder = folder
        self._placer = placer
        self._lock = threading.Lock()

    def put(self, remote: Remote, found: Blob | Path) -> None:
        path = self._folder / remote.path
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(found, Path):
                if remote.executable:
                    found.chmod(found.stat().st_mode | 0o111)
                found.rename(path)
            elif self._placer is not None:
                self._placer.place(found.name, found.file, path, executable=remote.executable)
            count = path.stat().st_size
        with self._lock:
            self.bytes += count


def _check_paths(files: Sequence[Remote]) -> None:
    """A key of an object store is any text. Raise :class:`StorageError` for one that is no path inside a folder."""
    paths = set()
    folders: dict[str, str] = {}
    for remote in files:
        parts = remote.path.split("/")
        if "\0" in remote.path or any(part in ("", ".", "..") for part in parts):
            raise StorageError(
                f"{remote.path!r} cannot be a file's path, and leaving it out silently would be half a model: leave it "
                "out with STORAGE_IGNORE_PATTERNS, or rename it"
            )
        paths.add(remote.path)
        folders.update({"/".join(parts[:end]): remote.path for end in range(1, len(parts))})
    both = next((path for path in sorted(paths) if path in folders), None)
    if both is not None:
        raise StorageError(
            f"{both!r} is a file and the folder of {folders[both]!r} at once, which no disk can hold: leave one of "
            "them out with STORAGE_IGNORE_PATTERNS"
        )
