"""What goes wrong and is for a person to read: the root of all exceptions, and a container's last words."""

from __future__ import annotations

import os
import stat

TERMINATION_LOG = "MIZZEN_TERMINATION_LOG"

_DEFAULT_TERMINATION_LOG = "/dev/termination-log"
# The kubelet keeps no more of a termination message.
_MAX_MESSAGE = 4096


class MizzenError(Exception):
    """Something went wrong that the message explains: what, where, and what would be right instead.

    Every package derives its own exceptions from this one, so that a command can print any of them as a
    sentence and keep tracebacks for defects.
    """


def leave_termination_message(text: str) -> None:
    """Leave ``text`` where the kubelet looks for a container's last words; nothing happens outside a pod.

    The file is the one that ``MIZZEN_TERMINATION_LOG`` names, or ``/dev/termination-log``. At most 4096 bytes are kept.
    """
    path = os.environ.get(TERMINATION_LOG) or _DEFAULT_TERMINATION_LOG
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "wb") as file:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                file.truncate()
                file.write(text.encode("utf-8", "backslashreplace")[:_MAX_MESSAGE])
    except OSError:
        return  # no pod, or one whose termination message is taken from the log
