"""The lock of a parent's socket: one parent at a time, and a trace of the last one for who cleans up after it.

The file holds the mark of the parent that has the lock. Only who gets the lock afterwards knows that this parent is
dead, and may then end what it left behind, without ever mistaking a successor that is just starting for a leftover.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from mizzen.cluster.node.runtime.processes import kill_marked


class ParentLock:
    """Held from its making until :meth:`release` or the end of the process.

    Raises:
        BlockingIOError: another process holds it.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket.absolute()
        self._socket.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(f"{self._socket}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(self._fd)
            raise

    def sweep(self) -> list[int]:
        """Kill what the parent that last had the lock left behind: its own children died with it, but not theirs."""
        return kill_marked(str(self._socket), os.pread(self._fd, 4096, 0).decode())

    def sign(self, mark: str) -> None:
        """Write down whose lock it is now."""
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, mark.encode(), 0)

    def release(self) -> None:
        os.close(self._fd)


def sweep(socket: Path) -> list[int]:
    """Kill what a dead parent at ``socket`` left behind, unless a successor is there, which has done so itself.

    Returns the pids.
    """
    try:
        lock = ParentLock(socket)
    except BlockingIOError:
        return []
    try:
        return lock.sweep()
    finally:
        lock.release()
