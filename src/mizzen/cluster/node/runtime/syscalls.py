"""The few system calls that Python 3.11 has no name for, as functions that raise ``OSError`` with what they were about.

Everything else in this package is plain ``os``. Constants are those of Linux's uapi headers, equal on all architectures
that Python has wheels for.
"""

from __future__ import annotations

import ctypes
import os
import struct
from functools import cache

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_NOATIME = 0x400
MS_NODIRATIME = 0x800
MS_BIND = 0x1000
MS_REC = 0x4000
MS_UNBINDABLE = 0x20000
MS_PRIVATE = 0x40000
MS_RELATIME = 0x200000

MNT_DETACH = 0x2

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36

_CAPABILITY_VERSION_3 = 0x20080522


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object, about: str = "") -> None:
    function = getattr(_libc(), name, None)
    if function is None:
        raise OSError(38, f"{name} does not exist on this system", about or None)
    if function(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}", about or None)


def _text(value: str | None) -> bytes | None:
    return None if value is None else os.fsencode(value)


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    _call("mount", _text(source), _text(target), _text(kind), ctypes.c_ulong(flags), _text(data), about=target)


def unmount(target: str, flags: int = 0) -> None:
    _call("umount2", _text(target), flags, about=target)


def pivot_root(new_root: str, put_old: str) -> None:
    _call("pivot_root", _text(new_root), _text(put_old), about=new_root)


def unshare(flags: int) -> None:
    _call("unshare", flags)


def setns(fd: int, kind: int) -> None:
    _call("setns", fd, kind)


def drop_capabilities() -> None:
    """Give up every capability, in the user namespace that this process is in."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    _call("capset", header, bytes(24))


def set_parent_death_signal(number: int) -> None:
    _call("prctl", _PR_SET_PDEATHSIG, ctypes.c_ulong(number), 0, 0, 0)


def set_name(name: str) -> None:
    """Name this process as ``ps -o comm`` and ``top`` show it; the kernel keeps the first 15 bytes."""
    _call("prctl", _PR_SET_NAME, ctypes.c_char_p(os.fsencode(name)[:15]), 0, 0, 0)


def become_subreaper() -> None:
    """Orphans of this process's descendants become its children instead of the init process's."""
    _call("prctl", _PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0)
