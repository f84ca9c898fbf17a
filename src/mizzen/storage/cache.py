"""Models that were fetched before, on this machine, for this user: found by what is in them.

A file is kept once, as a blob named by its SHA-256, however many addresses lead to it. Two small kinds of notes lead to
blobs: a *reference* says which blob a version of a file is, and a *listing* says which files a model has, as of the
last time that all of it was fetched. What may be used is decided by the service, which is asked each time; a listing
alone is good only where the service cannot be reached and the user has said that this will do.

Several processes share the folder without a daemon. Blobs and notes appear by a rename, complete or not at all. Who
downloads a file holds a lock on it, and whoever else wants it waits and then finds it. A lock ends with its process,
and the part that it was about stays: the next one goes on with it.

A blob can be read by everybody who has it and written by nobody, and has the date that reproducible archives use. Where
length or date are others, somebody has written to it all the same: it is read again, and thrown away if its sum is not
its name.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

from mizzen.storage.digests import sums_of
from mizzen.storage.errors import StorageError, writing
from mizzen.storage.eviction import discard, lock_of, make_room
from mizzen.storage.settings import number
from mizzen.storage.source import Remote
from mizzen.storage.staging import Staging
from mizzen.storage.workers import Stop

FOLDER = "MIZZEN_MODEL_CACHE"
MAX_BYTES = "MIZZEN_MODEL_CACHE_MAX_BYTES"
OFFLINE = "MIZZEN_MODEL_CACHE_OFFLINE"

DEFAULT_MAX_BYTES = 50 << 30

_FORMAT = "v1"
# 1 January 1980, in seconds: the earliest date that a zip can hold.
_DATE = 315532800
_POLL = 0.05
_NAME = re.compile(r"[0-9a-f]{64}(\.x)?")


class Known(NamedTuple):
    """The files of a model as of ``time`` (seconds since the epoch), when all of it was here."""

    files: tuple[Remote, ...]
    time: float


class Blob(NamedTuple):
    """A file of the cache: its name, the same opened, and its size."""

    name: Path
    file: BinaryIO
    size: int


def folder_of(environ: Mapping[str, str]) -> Path | None:
    """Where the cache is, or ``None`` when there is to be none.

    In a pod of a real cluster, what is outside the volumes goes with the container: there it is off unless it is told
    of a folder.
    """
    if FOLDER in environ:
        return Path(environ[FOLDER]).expanduser().absolute() if environ[FOLDER].strip() else None
    if environ.get("KUBERNETES_SERVICE_HOST"):
        return None
    home = environ.get("MIZZEN_HOME")
    try:
        return (Path(home).expanduser() if home else Path.home() / ".mizzen").absolute() / "cache"
    except RuntimeError:
        return None  # a user without a home


class Cache:
    """The cache in ``folder``, which is made if it is not there.

    Args:
        limit: the bytes that it may keep of what no model's folder shares with it.
        say: told what a person should know.

    Raises:
        StorageError: it cannot be made or written, or belongs to another user.
    """

    def __init__(self, folder: Path, limit: int, say: Callable[[str], None] = lambda text: None) -> None:
        self.folder = folder
        self.root = folder / _FORMAT
        self.limit = limit
        self._say = say
        with writing(folder):
            # The usual one is in the home of installations, which has credentials in it.
            folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            for place in (folder, self.root, self._blobs, self._references, self._listings, self._notes, self._parts):
                place.mkdir(mode=0o700, exist_ok=True)
            if self.root.stat().st_uid != os.geteuid():
                raise StorageError(f"{folder} belongs to another user; name a folder of your own with {FOLDER}")
            if not os.access(self._parts, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            # A file system without locks says so here, and not in the middle of a download.
            lock = _locked(self.root / "lock")
            if lock >= 0:
                os.close(lock)

    @classmethod
    def of(cls, environ: Mapping[str, str], say: Callable[[str], None]) -> Cache | None:
        """The cache that the environment asks for, or ``None``.

        Raises:
            StorageError: a folder that was asked for by name cannot be used. Without the one that is usual, there is a
                word about it and no cache.
        """
        meaning = f"of bytes; an empty {FOLDER} turns the cache off"
        limit = number(environ, MAX_BYTES, DEFAULT_MAX_BYTES, least=1, meaning=meaning)
        folder = folder_of(environ)
        if folder is None:
            return None
        try:
            return cls(folder, limit, say)
        except StorageError as error:
            if FOLDER in environ:
                raise
            say(f"nothing is kept for the next start: {error}")
            return None

    def workspace(self) -> Staging:
        """A folder on the cache's own disk for the time of one download."""
        return Staging(self.root / "work")

    def known(self, listing: str, identity: str) -> Known | None:
        """What was last fetched of a model, if all of it is still here.

        Args:
            listing: what was fetched, as :meth:`remember` was told.
            identity: of the source, as its files were adopted.
        """
        try:
            note = json.loads(self._listing(listing).read_bytes())
            files = tuple(Remote(*fields) for fields in note["files"])
            when = float(note["time"])
        except (OSError, ValueError, TypeError, KeyError):
            return None
        for remote in files:
            blob = self.find(identity, remote)
            if blob is None:
                return None
            blob.file.close()
        return Known(files, when)

    def remember(self, listing: str, shown: str, files: Sequence[Remote]) -> None:
        """All of ``files`` were fetched, and they are the whole of what ``listing`` names.

        ``shown`` is the model's address for people who look into the cache.
        """
        note = {"of": shown, "time": time.time(), "files": [list(remote) for remote in files]}
        self._write(self._listing(listing), json.dumps(note))

    def find(self, identity: str, remote: Remote) -> Blob | None:
        """The contents of a file, if they are here and intact. The blob's file is to be closed."""
        name = self._named(identity, remote)
        if name is None:
            return None
        try:
            file = name.open("rb")
        except FileNotFoundError:
            return None
        try:
            if self._intact(name, file, remote):
                os.utime(file.fileno(), ns=(time.time_ns(), _DATE * 10**9))
                return Blob(name, file, os.fstat(file.fileno()).st_size)
        except BaseException:
            file.close()
            raise
        file.close()
        return None

    @contextmanager
    def claimed(self, identity: str, remote: Remote, stop: Stop, on_wait: Callable[[], None]) -> Iterator[Path]:
        """The file in which the contents of ``remote`` are to be put together, for nobody else meanwhile.

        What an earlier process has left in it is of the same version. ``on_wait`` is called if another one has it.
        """
        part = self._parts / _hashed(identity, remote.path, remote.version or f"? {os.getpid()} {time.time_ns()}")
        with writing(part):
            lock = _locked(lock_of(part))
        if lock < 0:
            on_wait()
        while lock < 0:
            stop.sleep(_POLL)
            with writing(part):
                lock = _locked(lock_of(part))
        try:
            yield part
        finally:
            if not remote.version:
                discard(part)
            os.close(lock)

    def make_room(self, size: int) -> bool:
        """Remove what was not used for longest until ``size`` more bytes fit; says whether they may be kept at all."""
        make_room(self.root, self.limit, size)
        return size <= self.limit

    def adopt(self, part: Path, sha256: str, identity: str, remote: Remote) -> Blob:
        """Keep a complete file, which was claimed, as the contents of ``remote``; ``sha256`` is its sum."""
        name = self._blob(sha256, executable=remote.executable)
        with writing(name):
            name.parent.mkdir(mode=0o700, exist_ok=True)
            part.chmod(0o555 if remote.executable else 0o444)
            os.utime(part, ns=(time.time_ns(), _DATE * 10**9))
            file = part.open("rb")
            part.rename(name)
        if remote.version:
            self._write(self._reference(identity, remote), json.dumps(name.name))
        discard(part)
        return Blob(name, file, os.fstat(file.fileno()).st_size)

    def _intact(self, name: Path, file: BinaryIO, remote: Remote) -> bool:
        found = os.fstat(file.fileno())
        expected = remote.size if remote.size is not None else found.st_size
        if found.st_size == expected and found.st_mtime_ns == _DATE * 10**9:
            return True
        if found.st_size == expected and sums_of(name, ["sha256"])["sha256"] == name.name.partition(".")[0]:
            name.chmod(0o555 if remote.executable else 0o444)
            return True
        self._say(f"{remote.path} was damaged in the cache ({name}): it is fetched anew")
        name.unlink(missing_ok=True)
        return False

    def _named(self, identity: str, remote: Remote) -> Path | None:
        algorithm, _, value = remote.digest.partition(":")
        if algorithm == "sha256" and _NAME.fullmatch(value):
            return self._blob(value, executable=remote.executable)
        if not remote.version:
            return None
        try:
            name = json.loads(self._reference(identity, remote).read_bytes())
        except (OSError, ValueError):
            return None
        return self._blobs / name[:2] / name if isinstance(name, str) and _NAME.fullmatch(name) else None

    def _blob(self, sha256: str, *, executable: bool) -> Path:
        # Links share the mode, so a program and the same bytes as data are two.
        return self._blobs / sha256[:2] / (sha256 + (".x" if executable else ""))

    def _reference(self, identity: str, remote: Remote) -> Path:
        return self._references / _hashed(identity, remote.path, remote.version)

    def _listing(self, listing: str) -> Path:
        return self._listings / _hashed(listing)

    def _write(self, note: Path, text: str) -> None:
        with writing(note), tempfile.NamedTemporaryFile("w", dir=self._notes, delete=False) as file:
            file.write(text)
            file.flush()
            Path(file.name).rename(note)

    @property
    def _blobs(self) -> Path:
        return self.root / "blobs"

    @property
    def _references(self) -> Path:
        return self.root / "references"

    @property
    def _listings(self) -> Path:
        return self.root / "listings"

    @property
    def _notes(self) -> Path:
        """Where notes are written before they get their name."""
        return self.root / "notes"

    @property
    def _parts(self) -> Path:
        return self.root / "parts"


def _hashed(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()


def _locked(path: Path) -> int:
    """A descriptor that holds the lock on the file ``path``, or -1 when another process holds it."""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return -1
        except OSError:
            os.close(lock)
            raise
        # Whoever held it before may have removed the file, and then this is the lock on nothing.
        try:
            if path.stat().st_ino == os.fstat(lock).st_ino:
                return lock
        except FileNotFoundError:
            pass
        os.close(lock)
