"""The processes of an installation and what they use, as the kernel tells it under ``/proc``.

All of them descend from the supervisor, which adopts what is orphaned. What a process shares with others of the
installation is divided among them by PSS, so the sum counts every page once. What it shares with strangers is divided
with them, too, which makes the sum smaller while such run; :func:`distinct` does not depend on them.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PRESENT, _FRAME = 1 << 63, (1 << 55) - 1


def children() -> dict[int, list[int]]:
    """Every process's children."""
    found: dict[int, list[int]] = {}
    for pid in _all():
        with suppress(OSError):
            found.setdefault(int(_fields(pid)[1]), []).append(pid)
    return found


def descendants(pid: int) -> list[int]:
    """A process and all that stems from it."""
    tree = children()
    found = [pid]
    for one in found:
        found += tree.get(one, [])
    return found


def name(pid: int) -> str:
    return (PROC / str(pid) / "comm").read_text().strip()


def pss(pid: int) -> float:
    """The proportional set size in MB (10^6 bytes): private pages, and its share of those it has with others."""
    for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError(f"the kernel does not tell the PSS of process {pid}")


def distinct(pids: Iterable[int]) -> float | None:
    """The pages that at least one of the processes has in memory, each counted once, in MB: their PSS, were they alone.

    ``None`` without the privilege to see which pages those are.
    """
    frames: set[int] = set()
    for pid in pids:
        for line in (PROC / str(pid) / "maps").read_text().splitlines():
            first, last = (int(bound, 16) // _PAGE for bound in line.split(maxsplit=1)[0].split("-"))
            frames.update(_frames(pid, first, last))
    # A frame's number reads as 0 where it is hidden.
    return len(frames - {0}) * _PAGE / 1e6 if frames - {0} else None


def _frames(pid: int, first: int, last: int) -> Iterator[int]:
    """The page frames behind a range of pages: https://docs.kernel.org/admin-guide/mm/pagemap.html."""
    with (PROC / str(pid) / "pagemap").open("rb", buffering=0) as file:
        file.seek(first * 8)
        entries = array("Q", file.read((last - first) * 8))
    return (entry & _FRAME for entry in entries if entry & _PRESENT)


def busy(pid: int) -> float:
    """Seconds of processor time that a process has used: its threads that live, and its children that were reaped."""
    threads = (PROC / str(pid) / "task").iterdir()
    own = sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
    return own + sum(int(field) for field in _fields(pid)[13:15]) / _TICK


def _all() -> list[int]:
    return [int(entry.name) for entry in PROC.glob("[0-9]*")]


def _fields(pid: int) -> list[str]:
    """Of ``/proc/PID/stat`` what follows the name, whose blanks and brackets would mislead: state, parent, ..."""
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
