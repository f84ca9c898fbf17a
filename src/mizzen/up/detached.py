"""An installation in the background: started by a command that waits until it is ready, ended by another."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable
from contextlib import suppress

import msgspec

from mizzen.cluster.node.runtime.identity import is_alive, kill
from mizzen.errors import MizzenError
from mizzen.up import state
from mizzen.up.ending import end_pods, parents
from mizzen.up.errors import UpError
from mizzen.up.home import Home

_END_PATIENCE = 60.0
_POD_GRACE = 10.0


class _News(msgspec.Struct, omit_defaults=True):
    """What the background process tells the command that started it."""

    line: str = ""
    failed: str = ""
    ready: bool = False


def start(home: Home, api_port: int, gateway_port: int, say: Callable[[str], None]) -> None:
    """Start an installation that outlives this command and its terminal; returns when it is ready.

    Raises:
        UpError: it could not start; the message is its own.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(reader)
            os.setsid()
            if os.fork() == 0:
                _be(home, api_port, gateway_port, writer)
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    os.waitpid(pid, 0)
    with os.fdopen(reader, "rb") as news:
        for line in news:
            told = msgspec.json.decode(line, type=_News)
            if told.failed:
                raise UpError(told.failed)
            if told.ready:
                return
            say(told.line)
    raise UpError(f"the installation ended before it was ready; see {home.logs / 'up.log'}")


def _be(home: Home, api_port: int, gateway_port: int, writer: int) -> None:
    """In the background: run the installation, and tell the starter of it until it is ready."""
    from mizzen.up import installation

    def tell(news: _News) -> None:
        try:
            os.write(writer, msgspec.json.encode(news) + b"\n")
        except BrokenPipeError:
            pass  # the command was interrupted; the installation goes on

    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        claimed = installation.claim(home, api_port, gateway_port)
        _redirect(home)
        installation.run(claimed, _log_line, lambda: tell(_News(ready=True)), background=True)
    except MizzenError as error:
        tell(_News(failed=str(error)))
        os._exit(1)
    except BaseException as error:
        traceback.print_exc()
        tell(_News(failed=f"{type(error).__name__}: {error}; see {home.logs / 'up.log'}"))
        os._exit(1)


def _redirect(home: Home) -> None:
    """From here on what the supervisor prints goes to its log; the terminal may close."""
    log = os.open(home.logs / "up.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, target)
    os.close(log)
    os.close(nothing)


def _log_line(line: str) -> None:
    # A line that finds no room on the disk is no reason to end.
    with suppress(OSError):
        print(time.strftime("%Y-%m-%dT%H:%M:%S"), line, flush=True)


def stop(home: Home) -> bool:
    """End the installation of a home and everything it started. False when nothing ran.

    A supervisor that was killed may have left pods behind; they are ended, too.

    Raises:
        UpError: the supervisor does not end.
    """
    running = state.read(home)
    if running is None:
        left = bool(parents(home))
        end_pods(home, _POD_GRACE)
        return left
    kill(running.supervisor, signal.SIGTERM)
    deadline = time.monotonic() + _END_PATIENCE
    while is_alive(running.supervisor):
        if time.monotonic() > deadline:
            raise UpError(
                f"the supervisor (pid {running.supervisor.pid}) has not ended after {_END_PATIENCE:.0f} s; "
                f"see {home.logs / 'up.log'}"
            )
        time.sleep(0.01)
    return True
