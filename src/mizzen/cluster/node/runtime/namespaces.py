"""Namespaces around a container: what is permitted here, how one is entered, and how a second process joins it.

As root a mount namespace is enough. An ordinary user makes a user namespace around it that maps the own uid and gid to
themselves, so that files keep their owners; the capabilities that come with it are given up once the mounts stand. Pods
are no security boundary: all this is for paths to be where manifests say, not to keep anyone in.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from mizzen.cluster.node.runtime import mounts, syscalls
from mizzen.cluster.node.runtime.errors import MountFailed
from mizzen.cluster.node.runtime.spec import HOSTS_FILE, TERMINATION_FILE, Isolation, Mount, ProcessSpec


def enter(spec: ProcessSpec) -> list[str]:
    """Give the calling process, which must have one thread, the file system that ``spec`` describes.

    Returns:
        Warnings for the person who asked.

    Raises:
        MountFailed: namespaces are refused, or a mount is not possible.
    """
    wanted = list(spec.mounts)
    if spec.hosts:
        wanted.append(Mount(f"{spec.state_dir}/{HOSTS_FILE}", "/etc/hosts"))
    if spec.termination_message_path:
        wanted.append(Mount(f"{spec.state_dir}/{TERMINATION_FILE}", spec.termination_message_path))
    return _with_own_mounts(lambda: mounts.apply(wanted, spec.state_dir))


def _with_own_mounts(make: Callable[[], list[str]]) -> list[str]:
    try:
        _unshare()
        mounts.make_private()
    except OSError as error:
        raise MountFailed(f"a mount namespace is refused: {error.strerror or error}") from error
    warnings = make()
    if os.geteuid() != 0:
        syscalls.drop_capabilities()
    return warnings


def _unshare() -> None:
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        return
    syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS)
    # The kernel wants setgroups denied before an ordinary user may map a group.
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")


class Door:
    """A container's namespaces, held open so that another process can enter them."""

    def __init__(self, pid: int) -> None:
        self._fds: list[tuple[int, int]] = []
        # The user namespace first: it gives the right to enter the other.
        for name, kind in (("user", syscalls.CLONE_NEWUSER), ("mnt", syscalls.CLONE_NEWNS)):
            if _same_namespace(pid, name):
                continue
            self._fds.append((os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC), kind))

    @property
    def fds(self) -> list[int]:
        return [fd for fd, _ in self._fds]

    def enter(self) -> None:
        """Move the calling process, which must have one thread, into the namespaces."""
        for fd, kind in self._fds:
            syscalls.setns(fd, kind)
        if self._fds and os.geteuid() != 0:
            syscalls.drop_capabilities()

    def close(self) -> None:
        for fd, _ in self._fds:
            os.close(fd)
        self._fds.clear()


def _same_namespace(pid: int, name: str) -> bool:
    return namespace_of(pid, name) == namespace_of(os.getpid(), name)


def namespace_of(pid: int, name: str) -> str:
    """Which namespace a process is in, as the kernel names it; empty when the process is gone."""
    try:
        return os.readlink(f"/proc/{pid}/ns/{name}")  # noqa: PTH115 (a magic link, not a path)
    except OSError:
        return ""


def probe() -> Isolation:
    """Find out what is permitted by doing it, in a forked child. Call it from a process that has one thread."""
    if sys.platform != "linux":
        return Isolation("none", f"namespaces are a feature of Linux, and this is {sys.platform}")
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writer, msgspec.json.encode(_try()))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    if not text:
        return Isolation("none", "the attempt to make a mount namespace ended without an answer")
    return msgspec.json.decode(text, type=Isolation)


def _try() -> Isolation:
    def make() -> list[str]:
        # Permission to unshare says little: some systems then refuse every mount in the new namespace.
        with tempfile.TemporaryDirectory() as folder:
            syscalls.mount("tmpfs", folder, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV)
            (Path(folder) / "there").mkdir()
            syscalls.mount("/proc", f"{folder}/there", None, syscalls.MS_BIND | syscalls.MS_REC)
            syscalls.unmount(folder, syscalls.MNT_DETACH)
        return []

    try:
        _with_own_mounts(make)
    except (OSError, MountFailed) as error:
        return Isolation("none", f"{error}{_likely_cause()}")
    return Isolation("mount" if os.geteuid() == 0 else "user")


def _likely_cause() -> str:
    """The setting that most likely refuses it, as a clause to append."""
    settings = {
        "user/max_mnt_namespaces": "0",
        "user/max_user_namespaces": "0",
        "kernel/unprivileged_userns_clone": "0",
        "kernel/apparmor_restrict_unprivileged_userns": "1",
    }
    for name, refusing in settings.items():
        try:
            value = Path("/proc/sys", name).read_text().strip()
        except OSError:
            continue
        if value == refusing and (os.geteuid() != 0 or "mnt" in name):
            return f" (the system has {name.replace('/', '.')}={value}; an administrator can change it with sysctl)"
    if os.geteuid() == 0:
        return " (root without the capability SYS_ADMIN, as in an ordinary container)"
    return " (a container or a security policy forbids it to ordinary users)"
