"""What a single server leaves for the next one, should it be killed: which models were at work.

With ``--workers`` a supervisor outlives whoever is killed, and sees its board. A server alone has its board in a file,
mapped into memory, so that a mark costs a byte written there and no system call, and stays when the process does not. A
server that ends by itself takes the file away; one that starts in its place, at the same address or as the same
container, and finds it, tells what it says. The file is locked for as long as its server lives: one that is still
finishing requests while its successor starts was not killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import mmap
import os
import stat
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from mizzen.serve.running import crashes
from mizzen.serve.running.crashes import MARK_SIZE, Board

logger = logging.getLogger(__name__)

# Of the embedded cluster's containers: ``<parent's socket>#<pod>/<container>/<how often restarted>``.
CONTAINER = "MIZZEN_CONTAINER"

# The file is written whole at first: if memory is short that must be seen then, and not when a mark is made.
_BOARD_SIZE = 256 * MARK_SIZE

# Those that nobody came for are swept up after a while, and when there are many.
_OLD, _MANY = 24 * 3600.0, 100


class Header(Struct):
    """What stands behind the board in the file."""

    process: int
    boot: str


class Crumb:
    """A file that only a server which is killed leaves behind."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._mine = os.fstat(descriptor).st_ino

    def forget(self) -> None:
        """The server ends by itself."""
        with contextlib.suppress(OSError):
            if self._path.stat().st_ino == self._mine:  # and not one that a successor has put there
                self._path.unlink()


_crumb: Crumb | None = None


def leave(whose: str, environ: Mapping[str, str]) -> str:
    """From now on this process's models are marked in a file. Before any of them is made.

    Args:
        whose: tells this server from others, and is the same for the one after it; see :func:`whose`.

    Returns:
        what became of the server before this one, in a sentence; empty if it ended by itself, or there was none.
    """
    global _crumb
    folder = _folder(environ)
    if folder is None:
        return ""
    path = folder / hashlib.sha256(whose.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    _sweep(folder, path)
    try:
        said = _read(path)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(descriptor, bytes(_BOARD_SIZE) + msgspec.json.encode(Header(os.getpid(), _boot())))
        crashes.use(Board(mmap.mmap(descriptor, _BOARD_SIZE)))
    except OSError as error:
        logger.debug("no word will be left of a server that is killed: %s", error)
        return ""
    _crumb = Crumb(path, descriptor)
    return said


def forget() -> None:
    """This server ends by itself. Also for handlers of signals."""
    if _crumb is not None:
        _crumb.forget()


def whose(address: str, port: int, environ: Mapping[str, str]) -> str:
    """By what a server and the one after it are known: as containers, or by their address; empty if by nothing.

    Args:
        port: as it was asked for, 0 for any.
    """
    container, _, restarts = environ.get(CONTAINER, "").rpartition("#")[2].rpartition("/")
    if container and restarts.isdigit():
        return container
    return f"{address}:{port}" if port else ""


def _read(path: Path) -> str:
    """What a file says of the server that left it; nothing if there is none, or its server still lives."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return ""
    with os.fdopen(descriptor, "rb") as file:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return ""
        data = file.read()
    try:
        header = msgspec.json.decode(data[_BOARD_SIZE:], type=Header)
    except msgspec.DecodeError:
        return ""  # it was killed before it had written that
    if header.boot != _boot():
        return ""
    models = Board(bytearray(data[:_BOARD_SIZE])).at_work()
    at = (
        f"while it was at model{'s' * (len(models) > 1)} {', '.join(models)}"
        if models
        else "while no model was at work"
    )
    return f"the server before this one (process {header.process}) was killed {at}: it crashed, or took too much memory"


def _sweep(folder: Path, mine: Path) -> None:
    """Take away what was left long ago, but for one."""
    with contextlib.suppress(OSError):
        left = sorted((path for path in folder.iterdir() if path != mine), key=_age)
        for at, path in enumerate(left):
            if at < _MANY and _age(path) < _OLD:
                continue
            with contextlib.suppress(OSError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


def _age(path: Path) -> float:
    """In seconds; of what is not there any more, none."""
    try:
        return time.time() - path.lstat().st_mtime
    except OSError:
        return 0.0


def _folder(environ: Mapping[str, str]) -> Path | None:
    """Where this user's files are: in memory if there is such a place, so that marks are never written to a disk."""
    for place in (environ.get("XDG_RUNTIME_DIR"), "/dev/shm", tempfile.gettempdir()):
        if not place:
            continue
        folder = Path(place) / f"mizzen-serve-{os.geteuid()}"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            found = folder.lstat()
        except OSError:
            continue
        # In a place that all may write to, it may be anybody's.
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and os.access(folder, os.W_OK | os.X_OK):
            return folder
    return None


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
