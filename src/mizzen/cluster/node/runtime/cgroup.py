"""Memory limits by control group, where this user may make groups: one group a container, below the parent's own.

Both versions are served. With version 1 any group that is writable will do. Version 2 hands controllers down only from
a group that holds no process itself, so the parent's own group seldom serves, and the one above it is tried too.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from mizzen.cluster.node.runtime.identity import Identity, boot_id, is_alive

_PREFIX = "mizzen-"


class Hierarchy(NamedTuple):
    """The memory controller's groups: the version of their interface, and the folder of a process's own group."""

    version: Literal[1, 2]
    folder: Path


def locate(membership: str, mountinfo: str) -> Hierarchy | None:
    """Find a process's memory group from the texts of ``/proc/self/cgroup`` and ``/proc/self/mountinfo``."""
    own: dict[str, str] = {}
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            own[controller] = path
    unified = None
    for line in mountinfo.splitlines():
        fields, _, tail = line.partition(" - ")
        root, point = fields.split(" ")[3:5]
        kind, _, options = tail.split(" ")[:3]
        if kind == "cgroup" and "memory" in options.split(",") and "memory" in own:
            folder = _below(point, root, own["memory"])
            return Hierarchy(1, folder) if folder else None
        if kind == "cgroup2" and "" in own and unified is None:
            folder = _below(point, root, own[""])
            unified = Hierarchy(2, folder) if folder else None
    return unified


def _below(point: str, root: str, path: str) -> Path | None:
    try:
        return Path(point) / PurePosixPath(path).relative_to(root)
    except ValueError:
        # The process is in a group that lies outside of what is mounted here.
        return None


class Group:
    """The group of one container."""

    def __init__(self, folder: Path, version: Literal[1, 2], limit: int) -> None:
        self.folder = folder
        self._version = version
        folder.mkdir()
        try:
            if version == 1:
                (folder / "memory.limit_in_bytes").write_text(str(limit))
                self._optional("memory.memsw.limit_in_bytes", str(limit))
            else:
                (folder / "memory.max").write_text(str(limit))
                self._optional("memory.swap.max", "0")
                self._optional("memory.oom.group", "1")
        except OSError:
            folder.rmdir()
            raise

    def _optional(self, name: str, value: str) -> None:
        # Absent where the kernel does not account swap.
        with suppress(OSError):
            (self.folder / name).write_text(value)

    def add(self, pid: int) -> None:
        (self.folder / "cgroup.procs").write_text(str(pid))

    def members(self) -> list[int]:
        try:
            return [int(line) for line in (self.folder / "cgroup.procs").read_text().split()]
        except FileNotFoundError:
            return []

    def killed_for_memory(self) -> bool:
        """Whether the kernel ended any of its processes for exceeding the limit."""
        name = "memory.oom_control" if self._version == 1 else "memory.events"
        try:
            lines = (self.folder / name).read_text().splitlines()
        except FileNotFoundError:
            return False
        return any(line.startswith("oom_kill ") and line.split()[1] != "0" for line in lines)

    def remove(self) -> bool:
        """Remove the group; False while a process, or the remains of one, is still in it."""
        try:
            self.folder.rmdir()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True


class MemoryGroups:
    """The groups of one parent. Nothing is made before the first limit is asked for.

    Attributes:
        where: the folder the groups are made in; None where none can be made.
        reason: why not, in words.
    """

    def __init__(self, identity: Identity, hierarchy: Hierarchy | None) -> None:
        self.where: Path | None = None
        self.reason = "the memory controller is not to be seen here"
        self._name = f"{_PREFIX}{identity.pid}-{identity.start_time}"
        self._version: Literal[1, 2] = 1
        self._made = 0
        self._leaving: list[Group] = []
        if hierarchy is not None:
            self._version = hierarchy.version
            self.where, self.reason = self._find(hierarchy)

    @classmethod
    def here(cls, identity: Identity) -> MemoryGroups:
        """Groups for the calling process."""
        try:
            membership, mountinfo = (Path("/proc/self", name).read_text() for name in ("cgroup", "mountinfo"))
        except FileNotFoundError:
            return cls(identity, None)
        return cls(identity, locate(membership, mountinfo))

    @staticmethod
    def _find(hierarchy: Hierarchy) -> tuple[Path | None, str]:
        if hierarchy.version == 1:
            if os.access(hierarchy.folder, os.W_OK):
                return hierarchy.folder, ""
            return None, f"{hierarchy.folder} is not writable"
        for folder in (hierarchy.folder, hierarchy.folder.parent):
            control = folder / "cgroup.subtree_control"
            if not (os.access(folder, os.W_OK) and os.access(folder / "cgroup.procs", os.W_OK)):
                continue
            with suppress(OSError):
                if "memory" not in control.read_text().split():
                    control.write_text("+memory")
                return folder, ""
        return None, f"no writable group at {hierarchy.folder} hands the memory controller down"

    def make(self, limit: int) -> Group:
        """A new group with a limit in bytes.

        Raises:
            OSError: it could not be made.
        """
        if self.where is None:
            raise OSError(self.reason)
        base = self.where / self._name
        if not base.is_dir():
            self._remove_stale(self.where)
            base.mkdir()
            if self._version == 2:
                (base / "cgroup.subtree_control").write_text("+memory")
        self._made += 1
        return Group(base / str(self._made), self._version, limit)

    def leave(self, group: Group) -> None:
        """Remove a group as soon as it is empty."""
        self._leaving.append(group)
        self._leaving = [group for group in self._leaving if not group.remove()]

    def close(self) -> None:
        """Remove all that was made."""
        self._leaving = [group for group in self._leaving if not group.remove()]
        if self.where is not None:
            with suppress(OSError):
                (self.where / self._name).rmdir()

    @staticmethod
    def _remove_stale(where: Path) -> None:
        """Remove the groups of parents that were killed."""
        for base in where.glob(f"{_PREFIX}*-*"):
            pid, _, start_time = base.name.removeprefix(_PREFIX).partition("-")
            if not (pid.isdecimal() and start_time.isdecimal()):
                continue
            if is_alive(Identity(int(pid), int(start_time), boot_id())):
                continue
            # Another user's, or not yet empty: the next parent will try again.
            with suppress(OSError):
                for group in base.iterdir():
                    if group.is_dir():
                        group.rmdir()
                base.rmdir()
