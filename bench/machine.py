"""The machine that figures were taken on, without anything that names it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sqlite3
import tempfile
from pathlib import Path

LIBRARIES = ("uvloop", "httptools", "aiohttp", "msgspec", "orjson", "numpy", "scikit-learn")


def describe() -> dict[str, str]:
    """What decides over speed: processor, memory, kernel, file system of the homes, interpreter, libraries."""
    return {
        "processor": f"{_processor()}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{_total_memory() / 2**30:.0f} GiB",
        "kernel": f"Linux {platform.release().partition('-')[0]}",
        "file system of the homes": _file_system(Path(tempfile.gettempdir()).resolve()),
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "libraries": ", ".join(f"{name} {_version(name)}" for name in LIBRARIES),
    }


def load() -> float:
    """How many processes wanted a core over the last minute: figures of a busy machine are worth less."""
    return os.getloadavg()[0]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _total_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _file_system(folder: Path) -> str:
    mounts = (line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines())
    holding = [(where, kind) for where, kind in mounts if folder.is_relative_to(where)]
    return max(holding, key=lambda mount: len(mount[0]))[1]


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"
