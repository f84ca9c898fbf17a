"""Which process: a pid with the time and the boot it started in, because a bare pid may be somebody else's by now."""

from __future__ import annotations

import os
import signal
from functools import cache
from pathlib import Path

import msgspec


@cache
def boot_id() -> str:
    """The id of this boot of the kernel; empty where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


class Process(msgspec.Struct, frozen=True):
    """One line of the process table, as ``/proc/<pid>/stat`` has it. ``start_time`` is in clock ticks since boot."""

    pid: int
    state: str
    ppid: int
    session: int
    start_time: int


def parse_stat(text: str) -> Process:
    """Read ``/proc/<pid>/stat``. The name in it may hold spaces and parentheses: fields count from its last ``)``."""
    pid, _, rest = text.partition(" (")
    fields = rest[rest.rindex(")") + 2 :].split(" ")
    return Process(int(pid), fields[0], int(fields[1]), int(fields[3]), int(fields[19]))


def process(pid: int) -> Process | None:
    """The process that has ``pid`` now, or None."""
    try:
        return parse_stat(Path(f"/proc/{pid}/stat").read_text(errors="replace"))
    except (FileNotFoundError, ProcessLookupError):
        return None


class Identity(msgspec.Struct, frozen=True):
    """One process for as long as the machine is up, and no other one."""

    pid: int
    start_time: int
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> Identity:
        """The identity of the process that has ``pid`` now.

        Raises:
            ProcessLookupError: no process has it.
        """
        found = process(pid)
        if found is None:
            raise ProcessLookupError(f"no process has the pid {pid}")
        return cls(pid, found.start_time, boot_id())


def is_alive(identity: Identity) -> bool:
    """Whether that very process still runs. One that has ended and only waits for its parent's notice does not."""
    if identity.boot_id != boot_id():
        return False
    found = process(identity.pid)
    return found is not None and found.start_time == identity.start_time and found.state not in "ZXx"


def kill(identity: Identity, signum: int) -> bool:
    """Send a signal to that very process; False when it is gone.

    Raises:
        PermissionError: it belongs to another user.
    """
    try:
        # The descriptor pins the pid: what is checked after opening it is what the signal reaches.
        fd = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return False
    except (AttributeError, OSError):
        if is_alive(identity):
            os.kill(identity.pid, signum)
            return True
        return False
    try:
        if not is_alive(identity):
            return False
        signal.pidfd_send_signal(fd, signum)
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)
    return True
