"""A folder whose files change all at once.

The files lie in a folder of their own that a symbolic link ``..data`` names; each visible name is a link through it. A
new content is written beside the old one and the link is swapped, so that a reader sees all of the old or all of the
new, and whoever watches the link learns of it. It is the layout that kubelet gives such volumes, and programs know it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mizzen.cluster.node.projections import File

_DATA = "..data"
_NEW = "..data_tmp"


def write(folder: Path, files: Mapping[str, File]) -> bool:
    """Make ``files`` the content of ``folder``; says whether that changed anything."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    data = folder / _DATA
    before = data.is_symlink()
    if before and _content(data) == dict(files):
        return False
    fresh = Path(tempfile.mkdtemp(prefix="..", dir=folder))
    fresh.chmod(0o755)
    for path, file in files.items():
        place = fresh / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.data)
        place.chmod(file.mode)
    link = folder / _NEW
    link.unlink(missing_ok=True)
    link.symlink_to(fresh.name)
    link.replace(data)
    _show(folder, {path.partition("/")[0] for path in files})
    for left in folder.iterdir():
        if left.name.startswith("..") and left.name not in (_DATA, fresh.name):
            shutil.rmtree(left, ignore_errors=True)
    return True


def _content(data: Path) -> dict[str, File]:
    found = {}
    for root, _, names in os.walk(data):
        for name in names:
            path = Path(root, name)
            found[str(path.relative_to(data))] = File(path.read_bytes(), path.stat().st_mode & 0o7777)
    return found


def _show(folder: Path, names: set[str]) -> None:
    """Make the visible names those of the content."""
    for entry in folder.iterdir():
        if not entry.name.startswith("..") and entry.name not in names:
            entry.unlink()
    for name in names:
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(f"{_DATA}/{name}")
