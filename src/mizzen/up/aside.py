"""Doing something in a forked child, so that what it loads, and what it must not have, stays out of the supervisor.

The supervisor's memory is every role's, and it must have no event loop and no threads. What is done once, making
certificates or ending pods, is done aside; what comes back is nothing, or a sentence that says why it failed.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable

from mizzen.errors import MizzenError
from mizzen.up.errors import UpError


def aside(work: Callable[[], object]) -> None:
    """Run ``work`` in a forked child and wait for it.

    Raises:
        UpError: ``work`` failed; the message is that of its exception.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(reader)
            work()
            status = 0
        except MizzenError as error:
            os.write(writer, str(error).encode())
        except BaseException as error:
            traceback.print_exc()
            os.write(writer, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as words:
        said = words.read().decode(errors="replace")
    _, status = os.waitpid(pid, 0)
    if status:
        raise UpError(said or f"a process of the start ended with status {status}")
