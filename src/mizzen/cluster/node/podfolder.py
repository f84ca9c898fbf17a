"""What lies on disk of a pod, from which an agent that starts anew learns what the one before it did.

::

    <pods>/<uid>/pod.json                          whose folder it is, and the pod's address
    <pods>/<uid>/volumes/<name>/                   what does not lie elsewhere
    <pods>/<uid>/containers/<name>/<restart>/      one run: start.json from here, pid.json and exit.json from its parent
    <pods>/<uid>/logs/<name>/<restart>.log
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from mizzen.cluster.node.runtime.logfiles import rotated

T = TypeVar("T")

# The run that is, and the one before it, whose log `kubectl logs --previous` shows.
_KEPT_RUNS = 2


class PodRecord(msgspec.Struct, kw_only=True):
    """Attributes:
    started_at: when the pod was first seen by this node, in seconds since the epoch.
    """

    namespace: str
    name: str
    uid: str
    started_at: float
    address: str = ""


class RunRecord(msgspec.Struct, kw_only=True):
    """Attributes:
    step: how often the container was restarted in a row, this start included (:func:`.lifecycle.pause`).
    """

    image: str
    recipe: str
    parent: str
    step: int = 0


class PodFolder:
    """One pod's folder. Nothing is made before it is needed."""

    def __init__(self, pods: Path, uid: str) -> None:
        self.root = pods / uid
        self.uid = uid

    @property
    def volumes(self) -> Path:
        return self.root / "volumes"

    def run(self, container: str, number: int) -> Path:
        return self.root / "containers" / container / str(number)

    def log(self, container: str, number: int) -> Path:
        return self.root / "logs" / container / f"{number}.log"

    def run_id(self, container: str, number: int) -> str:
        """The run's name at its pod parent."""
        return f"{self.uid}/{container}/{number}"

    def record(self) -> PodRecord | None:
        return _read(self.root / "pod.json", PodRecord)

    def write_record(self, record: PodRecord) -> None:
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(self.root / "pod.json", record)

    def run_record(self, container: str, number: int) -> RunRecord | None:
        return _read(self.run(container, number) / "start.json", RunRecord)

    def write_run_record(self, container: str, number: int, record: RunRecord) -> None:
        folder = self.run(container, number)
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / "start.json", record)

    def runs(self, container: str) -> list[int]:
        """The numbers of the container's runs that are remembered, in order."""
        return sorted(_numbers(self.root / "containers" / container, lambda name: name))

    def logs(self, container: str) -> list[int]:
        """The numbers of the runs whose logs are there, in order."""
        return sorted(_numbers(self.root / "logs" / container, lambda name: name.removesuffix(".log")))

    def forget_runs_before(self, container: str, number: int) -> None:
        """Remove what is left of runs that nobody asks for once run ``number`` has begun."""
        oldest = number - _KEPT_RUNS + 1
        for old in self.runs(container):
            if old < oldest:
                remove(self.run(container, old))
        for old in self.logs(container):
            if old < oldest:
                log = self.log(container, old)
                for file in (log, *(file for _, file in rotated(log))):
                    file.unlink(missing_ok=True)

    def remove(self) -> None:
        remove(self.root)


def folders(pods: Path) -> Iterator[PodFolder]:
    """The folders of all pods that this node remembers."""
    if pods.is_dir():
        for entry in pods.iterdir():
            if entry.is_dir():
                yield PodFolder(pods, entry.name)


def _numbers(folder: Path, number: Callable[[str], str]) -> list[int]:
    try:
        names = [number(name) for name in os.listdir(folder)]  # noqa: PTH208 (names, not paths)
    except FileNotFoundError:
        return []
    return [int(name) for name in names if name.isdecimal()]


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
        # One that is cut off is that of an agent whose machine went down: as good as none.
        return None


def _write(path: Path, value: msgspec.Struct) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(msgspec.json.encode(value))
    fresh.replace(path)


def remove(folder: Path) -> None:
    """Remove a folder and all that is in it, also where a container took its own rights away."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        folder.chmod(0o700)
        for place, names, _ in os.walk(folder):
            for inner in (Path(place, name) for name in names):
                # Before the walk goes on into it. A link leads to somebody else's folder.
                if not inner.is_symlink():
                    inner.chmod(0o700)
        shutil.rmtree(folder)
