"""Running a part of a test without root's rights, to which permissions mean nothing."""

from __future__ import annotations

import ctypes
import os
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_NOBODY = 65534
_PR_SET_DUMPABLE = 4


@contextmanager
def place_for_all() -> Iterator[Path]:
    """A folder that ordinary users may write, too. (Pytest closes its own to them whenever another run begins.)"""
    with tempfile.TemporaryDirectory(prefix="mizzen-test-") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def as_nobody(part: Callable[[], str]) -> str:
    """What ``part`` returns in a process of an ordinary user: of ``nobody`` if we are root, else of ourselves."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(_NOBODY)
                os.setuid(_NOBODY)
                # Else its own files in /proc belong to root, as after every change of the user.
                ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
            result = part()
        except BaseException:
            result = traceback.format_exc()
        os.write(writing, result.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        result = pipe.read().decode()
    os.waitpid(child, 0)
    return result
