"""What each role of an installation is: a coroutine that runs until it is cancelled, in a process of its own."""

from __future__ import annotations

import asyncio
import ctypes
import faulthandler
import gc
import logging
import logging.handlers
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import uvloop

from mizzen.errors import MizzenError
from mizzen.up.home import Home
from mizzen.up.supervisor import Word

_LOG_BYTES = 5 * 1024 * 1024
_LOG_FILES = 3
_SETTLED_AFTER = 3.0
_PR_SET_NAME = 15
_PR_SET_PDEATHSIG = 1

Main = Callable[[Callable[[], None]], Coroutine[Any, Any, None]]

log = logging.getLogger(__name__)


def process(home: Home, name: str, main: Main) -> Callable[[Callable[[Word], None]], None]:
    """What a forked process does to be a role: its own log, its own loop, and a clean end on SIGTERM."""

    def run(speak: Callable[[Word], None]) -> None:
        libc = ctypes.CDLL(None)
        # A role without its supervisor would hold ports that the next one needs. The store survives any end.
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        libc.prctl(_PR_SET_NAME, f"mizzen {name}"[:15].encode())
        _log_to(home.logs / f"{name}.log", home.logs / f"{name}.out")
        try:
            uvloop.run(_until_told(main, lambda: speak(Word(ready=True))))
        except MizzenError as error:
            speak(Word(failed=str(error)))
            log.error("%s", error)
            sys.exit(1)
        except BaseExceptionGroup as group:
            told = _sentence(group)
            speak(Word(failed=told))
            log.exception("the %s role failed", name)
            sys.exit(1)
        except Exception as error:
            speak(Word(failed=f"{type(error).__name__}: {error}"))
            log.exception("the %s role failed", name)
            sys.exit(1)

    return run


async def _until_told(main: Main, ready: Callable[[], None]) -> None:
    """Run a role's coroutine until it ends or SIGTERM cancels it."""
    loop = asyncio.get_running_loop()

    def settled() -> None:
        ready()
        loop.call_later(_SETTLED_AFTER, _give_back)

    task = asyncio.create_task(main(settled))
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        if not task.cancelled():
            raise


def _give_back() -> None:
    """Return to the system what only the start has needed: lists of everything, and the largest definitions."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def _sentence(group: BaseExceptionGroup[BaseException]) -> str:
    """The first thing in a group of failures that was written for a person, or else the first failure's name."""
    leaves: list[BaseException] = []
    pending: list[BaseException] = [group]
    while pending:
        found = pending.pop(0)
        if isinstance(found, BaseExceptionGroup):
            pending[:0] = found.exceptions
        else:
            leaves.append(found)
    for leaf in leaves:
        if isinstance(leaf, MizzenError):
            return str(leaf)
    return f"{type(leaves[0]).__name__}: {leaves[0]}"


def _log_to(path: Path, output: Path) -> None:
    """Log lines go to a file that is rotated; what anything else prints goes beside it."""
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=_LOG_BYTES, backupCount=_LOG_FILES)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(os.environ.get("MIZZEN_LOG_LEVEL", "INFO").upper())
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    os.close(nothing)
    faulthandler.enable()
