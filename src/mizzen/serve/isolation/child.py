"""A model's process as the server has it: started, loaded, buried, and followed by another."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import msgspec

from mizzen.serve.errors import InferenceError, LoadError, ModelNotReady, ServeError
from mizzen.serve.isolation.wire import Channel, Failed, Loaded
from mizzen.serve.spec import ModelSpec

logger = logging.getLogger(__name__)

# How soon after its start a death counts as one that the next start will not cure.
_EARLY = 5.0
_PAUSES = (0.0, 0.1, 0.5, 2.0, 10.0)

# How long a successor may take to load, while requests wait for it.
_SUCCESSOR = 600.0

# What has closed its socket is about to end: whether by itself or by a signal is worth a moment's wait.
_LAST_WORDS = 2.0


# Starts a process that has a socket by this descriptor.
Launch = Callable[[int], "subprocess.Popen[bytes]"]

# Of a program that is run again for one of its models: the descriptor, and the model's name and version.
MODEL = "MIZZEN_MODEL_DESCRIPTOR"


def of_spec(spec: ModelSpec) -> Launch:
    """A process that builds the model of a spec."""
    alone = msgspec.json.encode(msgspec.structs.replace(spec, isolation="thread"), enc_hook=str)

    def launch(descriptor: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "mizzen.serve.isolation", str(descriptor), _log()]
        process = subprocess.Popen(command, pass_fds=[descriptor], stdin=subprocess.PIPE)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # what became of it is seen where its first word is awaited
            process.stdin.write(alone)
            process.stdin.close()
        return process

    return launch


def of_program(name: str, version: str | None) -> Launch:
    """This program once more, from its start, which comes to the place where its models are to be served, and finds
    there that it is to be this one."""
    return partial(_run_again, name, version)


def _run_again(name: str, version: str | None, descriptor: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        # What was typed, with the interpreter's own options; sys.argv has lost those.
        [sys.executable, *sys.orig_argv[1:]],
        env=os.environ | {MODEL: json.dumps([descriptor, name, version])},
        pass_fds=[descriptor],
        stdin=subprocess.DEVNULL,
    )


class Child:
    """The process.

    Attributes:
        reason: why the server ended it, if it did.
        error: what the requests are answered with that it had when it died.
    """

    def __init__(self, launch: Launch) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = launch(theirs.fileno())
        self.channel = Channel(ours)
        self.born = time.monotonic()
        self.reason = ""
        self.error: ServeError | None = None

    def kill(self, reason: str) -> None:
        """End it, because of this."""
        self.reason = self.reason or reason
        self.process.kill()

    def end(self, patience: float = 0.0) -> str:
        """Make sure that it is gone, and say what became of it: of itself, if it is so within ``patience`` seconds."""
        self.channel.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return _fate(self.process.wait(patience))
        self.process.kill()
        return _fate(self.process.wait())


def _fate(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"was killed by {name}" + {"SIGSEGV": " (it crashed)", "SIGKILL": " (perhaps for memory)"}.get(name, "")


def _log() -> str:
    """Whether its log is set up as the server's is."""
    return "log" if logging.getLogger("mizzen").handlers else ""


class Lineage:
    """The processes of a model, one after another. One thread starts them."""

    def __init__(self, name: str, launch: Launch) -> None:
        self.name = name
        self._launch = launch
        self._deaths = 0

    def start(self, patience: float | None = None) -> tuple[Child, Loaded]:
        """Raises:
        LoadError: it cannot load the model, or has not within ``patience`` seconds.
        """
        child = Child(self._launch)
        try:
            message = child.channel.receive(patience)
        except EOFError:
            raise LoadError(f"model {self.name}: its process {child.end(_LAST_WORDS)} while it loaded") from None
        except TimeoutError:
            child.end()
            raise LoadError(f"model {self.name}: its process has not loaded it within {patience:g} s") from None
        if isinstance(message, Failed):
            child.end()
            raise LoadError(message.text)
        assert isinstance(message, Loaded)
        return child, message

    def again(self) -> Child:
        """Start a successor; the sooner the last ones died, the longer it waits.

        Raises:
            ModelNotReady: there is none.
        """
        time.sleep(_PAUSES[min(max(self._deaths - 1, 0), len(_PAUSES) - 1)])
        try:
            return self.start(_SUCCESSOR)[0]
        except LoadError as error:
            self._deaths += 1
            raise ModelNotReady(self.name, str(error)) from None

    def bury(self, child: Child) -> ServeError:
        """What the requests are answered with that it had."""
        fate = child.end(_LAST_WORDS)
        self._deaths = self._deaths + 1 if time.monotonic() - child.born < _EARLY else 1
        why = f"{child.reason}: its process" if child.reason else "its process"
        logger.error("model %s: %s %d %s; the next request starts another", self.name, why, child.process.pid, fate)
        if child.reason:
            return ModelNotReady(self.name, child.reason)
        return InferenceError(f"the model's process {fate}")
