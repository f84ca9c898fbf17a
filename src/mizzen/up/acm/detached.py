"""A set in the background: started by a command that waits until it is ready, ended by another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from mizzen.cluster.node.runtime.identity import is_alive, kill
from mizzen.up.acm import state
from mizzen.up.acm.home import AcmHome
from mizzen.up.acm.state import State
from mizzen.up.errors import UpError

_START_PATIENCE, _END_PATIENCE = 120.0, 60.0


def start(home: AcmHome, arguments: Sequence[str]) -> State:
    """Start a set that outlives this command and its terminal; returns when it is ready.

    Args:
        arguments: of ``mizzen acm up``, less ``--detach``.

    Raises:
        UpError: it could not start; the message is its own.
    """
    log = home.logs / "up.log"
    with os.fdopen(os.open(log, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b") as output:
        begun = output.seek(0, os.SEEK_END)
        process = subprocess.Popen(
            [sys.executable, "-m", "mizzen.cli", "acm", "up", "--background", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        deadline = time.monotonic() + _START_PATIENCE
        while process.poll() is None and time.monotonic() < deadline:
            running = state.read(home)
            if running is not None and running.phase == "ready" and running.supervisor.pid == process.pid:
                return running
            time.sleep(0.02)
        if process.poll() is None:
            process.terminate()
            raise UpError(f"the set is not ready after {_START_PATIENCE:.0f} s and was ended; see {log}")
        output.seek(begun)
        said = output.read().decode("utf-8", "replace").strip().splitlines()
    raise UpError(said[-1].removeprefix("mizzen: ") if said else f"the set has ended before it was ready; see {log}")


def stop(home: AcmHome) -> bool:
    """End the set of a home. False when none ran.

    Raises:
        UpError: it does not end.
    """
    running = state.read(home)
    if running is None:
        return False
    kill(running.supervisor, signal.SIGTERM)
    deadline = time.monotonic() + _END_PATIENCE
    while is_alive(running.supervisor):
        if time.monotonic() > deadline:
            raise UpError(f"the set (pid {running.supervisor.pid}) has not ended after {_END_PATIENCE:.0f} s")
        time.sleep(0.01)
    return True
