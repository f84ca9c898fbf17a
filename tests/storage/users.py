"""Running a part of a test without root's rights, to which permissions mean nothing."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable

_NOBODY = 65534


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
