"""Stands between a server and a process that it has started, so that the latter never outlives the former.

Run as a program of its own: ``python -I -S guardian.py COMMAND...``. Its standard input is a pipe whose other end the
server holds; when that closes, by whatever death, the command's process group is asked to end and then made to. It ends
as the command ends.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time

GRACE = 10.0


def main(command: list[str]) -> int:
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    except OSError as error:
        print(f"{command[0]} cannot be started: {error.strerror}", file=sys.stderr, flush=True)
        return 127
    # A terminal's Ctrl-C is for the server, which closes the pipe when it is done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    # What the command leaves to init would be lost for the pipe's end, so its death wakes us by a pipe, too.
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    while child.poll() is None:
        ready, _, _ = select.select([0, woken], [], [])
        if woken in ready:
            os.read(woken, 512)
        if 0 in ready and not os.read(0, 512):
            _end(child)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _end(child: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            pass
        until = time.monotonic() + GRACE
        while child.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        if child.poll() is not None:
            break
    try:
        os.killpg(child.pid, signal.SIGKILL)  # whatever it has started and left
    except ProcessLookupError:
        pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
