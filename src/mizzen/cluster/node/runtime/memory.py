"""Memory limits where control groups are not permitted: look every few seconds, and name who is over.

Memory that is shared with the zygote and its other children is counted in proportion (PSS), because a model server that
holds 5 MB of its own would else be charged for all the libraries. PSS is dear to read, RSS is cheap and never smaller,
so PSS is read only of those whose RSS is above the limit.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from mizzen.cluster.node.runtime.identity import is_alive
from mizzen.cluster.node.runtime.processes import descendants, table
from mizzen.cluster.node.runtime.spec import Container

_PSS = re.compile(rb"^Pss:\s+(\d+) kB", re.MULTILINE)


class Excess(NamedTuple):
    """A container that uses more bytes than its limit."""

    id: str
    used: int
    limit: int


def over_limit(containers: Iterable[Container]) -> list[Excess]:
    """Those of the running containers under watch whose process trees use more memory than they may."""
    watched = [one for one in containers if one.state != "exited" and one.memory == "watch" and one.memory_bytes]
    if not watched:
        return []
    processes = table()
    found = []
    for container in watched:
        identity, limit = container.identity, container.memory_bytes
        if identity is None or limit is None or not is_alive(identity):
            continue
        tree = descendants(processes, [identity.pid])
        if sum(map(resident, tree)) <= limit:
            continue
        used = sum(map(proportional, tree))
        if used > limit:
            found.append(Excess(container.id, used, limit))
    return found


def resident(pid: int) -> int:
    """RSS in bytes; 0 for a process that is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (FileNotFoundError, ProcessLookupError):
        return 0


def proportional(pid: int) -> int:
    """PSS in bytes: shared pages count as one's own part of them. 0 for a process that is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_bytes()
    except PermissionError:
        # A program that changed its credentials; what it shares cannot be known.
        return resident(pid)
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = _PSS.search(text)
    return int(found[1]) * 1024 if found else 0
