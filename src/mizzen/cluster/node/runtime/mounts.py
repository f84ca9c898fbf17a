"""A container's file system: the machine's own, with mounts laid into it without leaving a trace outside.

Run inside a fresh mount namespace. A target that does not exist is made possible by laying a tmpfs over its nearest
existing ancestor and binding that directory's entries back, so that ``/mnt/models`` appears beside ``/mnt/c``. Nothing
is ever created on the machine's own file systems; only inside a volume of the container itself are mount points made,
as container runtimes make them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mizzen.cluster.node.runtime import syscalls
from mizzen.cluster.node.runtime.errors import MountFailed
from mizzen.cluster.node.runtime.spec import Mount


def make_private() -> None:
    """Keep what is mounted from now on inside this namespace."""
    syscalls.mount(None, "/", None, syscalls.MS_REC | syscalls.MS_PRIVATE)


def apply(mounts: Sequence[Mount], staging: str) -> list[str]:
    """Make the mounts, outer targets before inner ones.

    Args:
        mounts: sources must exist; a directory appears as a directory, anything else as a file.
        staging: an existing directory that is used for a moment when an entry is added to ``/`` itself.

    Returns:
        Warnings: entries of a covered directory that could not be made visible again.

    Raises:
        MountFailed: which mount, and why.
    """
    return _View(staging).apply(mounts)


class _View:
    def __init__(self, staging: str) -> None:
        self.staging = staging
        self.warnings: list[str] = []
        self._laid: set[str] = set()
        self._own: list[str] = []

    def apply(self, mounts: Sequence[Mount]) -> list[str]:
        sources = []
        # A new root comes first: what is opened before it belongs to the old one and could no longer be mounted.
        if any(_nearest(mount.target) == Path("/") for mount in mounts):
            self._lay("/")
        try:
            # All sources are opened before the first mount, because one mount's target may hide another's source.
            for mount in mounts:
                sources.append(_open_source(mount))
            pairs = sorted(zip(mounts, sources, strict=True), key=lambda pair: pair[0].target.rstrip("/").count("/"))
            for mount, fd in pairs:
                self._bind(mount, fd)
        finally:
            for fd in sources:
                os.close(fd)
        return self.warnings

    def _bind(self, mount: Mount, source: int) -> None:
        directory = _is_directory(source)
        try:
            target = self._target(mount.target, directory)
            syscalls.mount(f"/proc/self/fd/{source}", target, None, syscalls.MS_BIND | syscalls.MS_REC)
            if mount.read_only:
                flags = syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY | _flags_of(target)
                syscalls.mount(None, target, None, flags)
        except OSError as error:
            raise MountFailed(f"cannot mount {mount.source} at {mount.target}: {error.strerror or error}") from error
        self._own.append(target)

    def _target(self, path: str, directory: bool) -> str:
        """A real path that exists and can be mounted upon."""
        if not path.startswith("/") or path.rstrip("/") == "":
            raise MountFailed(f"a mount's target must be an absolute path below /, not {path!r}")
        target = Path(os.path.realpath(path))
        if target.exists():
            if target.is_dir() != directory:
                have, want = ("directory", "file") if not directory else ("file", "directory")
                raise MountFailed(f"cannot mount a {want} at {path}: a {have} is there")
            return str(target)
        ancestor = _nearest(path)
        if not ancestor.is_dir():
            raise MountFailed(f"cannot mount at {path}: {ancestor} is not a directory")
        if not (self._is_own(str(ancestor)) and os.access(ancestor, os.W_OK)):
            self._lay(str(ancestor))
        if directory:
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
        return str(target)

    def _is_own(self, path: str) -> bool:
        """Whether a path is in a volume of this container or in a tmpfs laid for it, and not on the machine's own."""
        inner = [own for own in (*self._own, *self._laid) if _is_within(path, own)]
        if not inner:
            return False
        nearest = max(inner, key=len)
        # In a laid tmpfs, the first segment below it may be one of the machine's entries, bound back.
        if nearest in self._laid and path != nearest:
            return os.stat(path).st_dev == os.stat(nearest).st_dev  # noqa: PTH116
        return True

    def _lay(self, directory: str) -> None:
        """Cover a directory with a tmpfs that shows the same entries, and can be added to."""
        if directory == "/":
            self._lay_root()
            return
        original = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        try:
            mode = os.fstat(original).st_mode & 0o7777
            syscalls.mount("tmpfs", directory, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, f"mode={mode:o}")
            self._bind_back(original, directory, directory)
        finally:
            os.close(original)
        self._laid.add(directory)

    def _lay_root(self) -> None:
        original = os.open("/", os.O_PATH | os.O_DIRECTORY)
        try:
            syscalls.mount("tmpfs", self.staging, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, "mode=755")
            # Unbindable, so that it is not bound back as a part of the entry it is staged in.
            syscalls.mount(None, self.staging, None, syscalls.MS_UNBINDABLE)
            self._bind_back(original, self.staging, "")
            os.chdir(self.staging)
            # Both roots at the same place: the old one ends up on top of the new one and is lifted off.
            syscalls.pivot_root(".", ".")
            syscalls.unmount(".", syscalls.MNT_DETACH)
            os.chdir("/")
            syscalls.mount(None, "/", None, syscalls.MS_PRIVATE)
        finally:
            os.close(original)
        self._laid.add("/")

    def _bind_back(self, original: int, cover: str, name: str) -> None:
        """Show the entries of the covered directory ``name`` in the tmpfs at ``cover``."""
        # From inside the covered directory its entries are reachable by relative paths, below the tmpfs.
        here = os.open(".", os.O_PATH | os.O_DIRECTORY)
        try:
            os.fchdir(original)
            with os.scandir(".") as entries:
                for entry in entries:
                    try:
                        self._show(entry, f"{cover}/{entry.name}")
                    except OSError as error:
                        # One that vanished just now, or a file system that does not answer: no reason not to start.
                        self.warnings.append(f"{name}/{entry.name} is not visible: {error.strerror or error}")
        finally:
            os.fchdir(here)
            os.close(here)

    @staticmethod
    def _show(entry: os.DirEntry[str], place: str) -> None:
        if entry.is_symlink():
            os.symlink(os.readlink(entry.name), place)  # noqa: PTH115, PTH211 (hundreds a container: every µs counts)
            return
        if entry.is_dir(follow_symlinks=False):
            os.mkdir(place)  # noqa: PTH102
        else:
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
        syscalls.mount(entry.name, place, None, syscalls.MS_BIND | syscalls.MS_REC)


def _nearest(path: str) -> Path:
    """The path itself if it exists, else the nearest of the directories above it that does."""
    target = Path(os.path.realpath(path))
    return next(place for place in (target, *target.parents) if place.exists())


def _open_source(mount: Mount) -> int:
    try:
        return os.open(mount.source, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        raise MountFailed(f"cannot mount {mount.source} at {mount.target}: {error.strerror}") from error


def _is_directory(fd: int) -> bool:
    return os.fstat(fd).st_mode & 0o170000 == 0o040000


def _flags_of(path: str) -> int:
    """The flags of the mount at a path. In a user namespace they are locked: a remount must repeat them."""
    have = os.statvfs(path).f_flag
    flags = {
        os.ST_NOSUID: syscalls.MS_NOSUID,
        os.ST_NODEV: syscalls.MS_NODEV,
        os.ST_NOEXEC: syscalls.MS_NOEXEC,
        os.ST_NOATIME: syscalls.MS_NOATIME,
        os.ST_NODIRATIME: syscalls.MS_NODIRATIME,
        os.ST_RELATIME: syscalls.MS_RELATIME,
    }
    return sum(flag for bit, flag in flags.items() if have & bit)


def _is_within(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")
