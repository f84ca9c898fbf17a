"""How a container's log lies on disk: its lines, and the names of the files that rotation leaves.

A line is that of Kubernetes' container runtimes, ``<RFC 3339 time with nanoseconds> <stream> <F or P> <text>``; P marks
a part of a line whose rest follows. A rotated file is named after the log with a growing number, and never renamed
again, so that a reader in the middle of it loses nothing.
"""

from __future__ import annotations

import time
from pathlib import Path

PART_LIMIT = 16 * 1024


def stamp(nanoseconds: int) -> bytes:
    """A time since the epoch as UTC with nine decimals. Of equal length, so stamps compare as bytes."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{fraction:09d}Z".encode()


def rotated(path: Path) -> list[tuple[int, Path]]:
    """The rotated files of a log with their numbers, oldest first."""
    found = []
    prefix = path.name + "."
    try:
        for file in path.parent.iterdir():
            number = file.name.removeprefix(prefix)
            if file.name.startswith(prefix) and number.isdecimal():
                found.append((int(number), file))
    except FileNotFoundError:
        return []
    return sorted(found)


def previous(path: Path) -> Path | None:
    """The log of the run before: where logs are named ``<restart>.log``, the one with the next smaller number."""
    if not path.stem.isdecimal():
        return None
    earlier = [
        int(file.stem)
        for file in path.parent.glob(f"*{path.suffix}")
        if file.stem.isdecimal() and int(file.stem) < int(path.stem)
    ]
    return path.with_name(f"{max(earlier)}{path.suffix}") if earlier else None
