"""The process table: who descends from whom, and who carries a container's mark.

Used where a single process is not enough: ending what a container left behind, summing the memory of its tree, and
sweeping up after a parent that was killed and could end nothing itself.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from mizzen.cluster.node.runtime.identity import Identity, Process, boot_id, kill, parse_stat

# In the environment of every container: "<socket of its parent>#<container id>".
CONTAINER_MARK = "MIZZEN_CONTAINER"
# In the environment of every pod parent, and so in /proc/<pid>/environ of all that is forked from it:
# "<socket>#<a random number>".
PARENT_MARK = "MIZZEN_POD_PARENT"

Table = Mapping[int, Process]


def table() -> dict[int, Process]:
    """Every process that can be seen, by pid."""
    found = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 (called with hundreds of processes; Path objects double its cost)
        if not name.isdecimal():
            continue
        try:
            with open(f"/proc/{name}/stat", errors="replace") as file:  # noqa: PTH123
                line = parse_stat(file.read())
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        found[line.pid] = line
    return found


def descendants(processes: Table, roots: Iterable[int]) -> set[int]:
    """The roots that are in the table, and all that descends from them."""
    children: dict[int, list[int]] = {}
    for line in processes.values():
        children.setdefault(line.ppid, []).append(line.pid)
    found: set[int] = set()
    waiting = [pid for pid in roots if pid in processes]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting.extend(children.get(pid, ()))
    return found


def kill_all(processes: Table, pids: Iterable[int]) -> list[int]:
    """SIGKILL those of the pids that still are the processes of the table; returns which these were."""
    killed = []
    for pid in pids:
        line = processes.get(pid)
        with suppress(PermissionError):
            if line is not None and kill(Identity(pid, line.start_time, boot_id()), signal.SIGKILL):
                killed.append(pid)
    return killed


def environment(pid: int) -> list[bytes]:
    """The environment with which a process was executed; empty when it is gone or not ours to read."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def kill_marked(socket: str, mark: str) -> list[int]:
    """Kill every process that stems from a dead pod parent; returns the pids.

    Args:
        socket: where it was reached: what was executed in its containers is known by it.
        mark: the parent's own: what was forked from it is known by it. May be empty.

    The caller, and those it descends from, are spared whatever they carry.
    """
    container = os.fsencode(f"{CONTAINER_MARK}={socket}#")
    parent = os.fsencode(f"{PARENT_MARK}={mark}") if mark else None
    killed: list[int] = []
    # Whoever is being killed may just be forking, so look until a round finds nobody new.
    for _ in range(10):
        processes = table()
        spared = {os.getpid(), *ancestry(processes, os.getpid()), *killed}
        strays = [
            pid
            for pid, line in processes.items()
            if pid not in spared
            and _is_own(line)
            and any(value == parent or value.startswith(container) for value in environment(pid))
        ]
        if not strays:
            break
        killed += kill_all(processes, strays)
    return killed


def _is_own(line: Process) -> bool:
    """Whether a process is alive and our user's: others cannot be killed, and reading their environment is refused."""
    try:
        return line.state not in "ZXx" and Path(f"/proc/{line.pid}").stat().st_uid == os.geteuid()
    except FileNotFoundError:
        return False


def ancestry(processes: Table, pid: int) -> list[int]:
    """The pids above a process, nearest first."""
    above: list[int] = []
    line = processes.get(pid)
    while line is not None and line.ppid > 0 and line.ppid not in above:
        above.append(line.ppid)
        line = processes.get(line.ppid)
    return above
