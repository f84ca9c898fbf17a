"""Who is there, and who does what only one may do.

A lease holds until an instant and is renewed long before. One whose owner is known to be dead is free at once: an owner
says on which machine and in which process it is, and whoever runs on the same machine can look.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from uuid import uuid4

from sqlalchemy import delete, func, insert, select, text, update

from mizzen.acm.runtime.moments import SECOND, now
from mizzen.acm.runtime.store.engine import Work
from mizzen.acm.runtime.store.tables import leases

LASTS = 30 * SECOND
_THERE = "runtime:"


def new_owner() -> str:
    """``host/boot/pid/start/random`` of this process."""
    pid = os.getpid()
    return f"{_machine()}/{pid}/{_started(pid)}/{uuid4().hex[:8]}"


def clock(work: Work) -> int:
    """The instant that all who share the database agree upon."""
    if work.connection.dialect.name == "postgresql":
        seconds = work.connection.execute(select(func.extract("epoch", text("clock_timestamp()")))).scalar_one()
        return int(seconds * SECOND)
    return now()


def present(work: Work, owner: str) -> None:
    """Say that a runtime is there."""
    _put(work, f"{_THERE}{owner}", owner, clock(work) + LASTS)


def take(work: Work, name: str, owner: str) -> bool:
    """Take a lease, or keep it; whether it is held now."""
    query = select(leases).where(leases.c.name == name).with_for_update()
    held = work.connection.execute(query).one_or_none()
    at = clock(work)
    if held is not None and held.owner != owner and held.until > at and not is_dead(held.owner):
        return False
    _put(work, name, owner, at + LASTS)
    return True


def leave(work: Work, owner: str) -> None:
    work.connection.execute(delete(leases).where(leases.c.owner == owner))


def gone(work: Work, owners: set[str]) -> set[str]:
    """Of some runtimes, those that are there no more."""
    query = select(leases.c.owner).where(leases.c.name.startswith(_THERE), leases.c.until > clock(work))
    there = {owner for owner in work.connection.execute(query).scalars() if not is_dead(owner)}
    return owners - there


def is_dead(owner: str) -> bool:
    """Whether a process of this machine has ended; False of those that cannot be seen from here."""
    parts = owner.split("/")
    if len(parts) != 5 or "/".join(parts[:2]) != _machine() or not parts[3]:
        return False
    return _started(int(parts[2])) != parts[3]


def _put(work: Work, name: str, owner: str, until: int) -> None:
    values = {"owner": owner, "until": until}
    known = work.connection.execute(update(leases).where(leases.c.name == name).values(values))
    if known.rowcount == 0:
        work.connection.execute(insert(leases).values(name=name, **values))


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = ""
    return f"{socket.gethostname()}/{boot}"


def _started(pid: int) -> str:
    """When a process began, in the kernel's ticks since boot; empty if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]
