"""The supervisor: forks the roles, starts again those that die, and ends everything when it is told to.

It has no threads and no event loop: it sleeps in one ``select`` until a role speaks, a role ends or a signal comes. A
role speaks over a pipe: that it is ready, or in a sentence why it cannot be. The listening sockets are the
supervisor's, so while a role is started again the kernel holds the connections that arrive.
"""

from __future__ import annotations

import ctypes
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import msgspec

from mizzen.up.errors import UpError

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_QUICK_DEATH = 5.0  # seconds; a role that dies sooner is started again after a growing pause
_LONGEST_PAUSE = 10.0
_PATIENCE = 5.0  # seconds that a role gets to end after SIGTERM
_START_PATIENCE = 60.0
_PR_SET_CHILD_SUBREAPER = 36


@contextmanager
def stop_signals_held() -> Iterator[None]:
    """What asks for an end while an installation is being prepared is heard by its supervisor, as soon as there is one.

    Without this, Ctrl-C would be an exception that may be raised anywhere, and be lost where Python can only print it,
    such as in what libraries do at a fork.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Word(msgspec.Struct, omit_defaults=True):
    """What a role tells its supervisor: that it is ready, or why it has failed."""

    ready: bool = False
    failed: str = ""


class Role(msgspec.Struct, frozen=True, kw_only=True):
    """One process of the installation.

    Attributes:
        main: what the forked process does; gets a function to speak with and returns when the role has ended.
        keeps: the listening socket it takes over, if any; all others are closed in it.
        once: whether it has something to do and then ends, instead of going on.
    """

    name: str
    main: Callable[[Callable[[Word], None]], None]
    keeps: socket.socket | None = None
    once: bool = False


class _Running:
    """A forked role."""

    def __init__(self, role: Role) -> None:
        self.role = role
        self.pid = 0
        self.pipe = -1
        self.buffer = b""
        self.ready = False
        self.done = False  # it had something to do once, and has done it
        self.restarts = 0
        self.started = 0.0
        self.due = 0.0  # when to start it again; 0 while it runs
        self.pause = 0.0
        self.failed = ""


class Supervisor:
    """Runs the roles until a stop signal.

    Args:
        roles: in the order in which they are started; they are ended in the opposite order.
        say: tells a person one line.
        changed: called with the roles' states whenever one of them changes, and once when all are ready.
        ended: called once after the roles but the first have ended, to end what outlives them.
        stop_on_hangup: whether SIGHUP, a closed terminal, ends the installation.
    """

    def __init__(
        self,
        roles: Sequence[Role],
        *,
        say: Callable[[str], None],
        changed: Callable[[dict[str, tuple[int, bool, int]], bool], None],
        ended: Callable[[], None],
        stop_on_hangup: bool,
    ) -> None:
        self._roles = {role.name: _Running(role) for role in roles}
        self._say = say
        self._changed = changed
        self._ended = ended
        self._stop_on_hangup = stop_on_hangup
        self._selector = selectors.DefaultSelector()
        self._wake_reader, self._wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._stop = 0
        self._was_ready = False
        self._begun = time.monotonic()

    def run(self) -> None:
        """Start the roles and keep them until a stop signal, then end everything.

        Raises:
            UpError: a role said that it cannot start, before all were ready once. Everything has been ended.
        """
        before = self._take_signals()
        # Pod parents outlive the node that started them. Where no init reaps orphans, the supervisor does.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
        self._selector.register(self._wake_reader, selectors.EVENT_READ, None)
        try:
            for running in self._roles.values():
                if not self._stop:
                    self._fork(running)
            while not self._stop:
                self._turn()
        finally:
            self._end_all()
            signal.set_wakeup_fd(-1)
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def _take_signals(self) -> dict[signal.Signals, Any]:
        signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        before: dict[signal.Signals, Any] = {s: signal.signal(s, self._on_stop) for s in _STOP_SIGNALS}
        if not self._stop_on_hangup:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
        return before

    def _on_stop(self, signum: int, frame: object) -> None:
        self._stop = signum

    def _turn(self) -> None:
        """Wait for something to happen, and deal with it."""
        for key, _ in self._selector.select(self._sleep()):
            if key.data is None:
                with suppress(BlockingIOError):
                    os.read(self._wake_reader, 4096)
            else:
                self._listen(key.data)
        self._reap()
        now = time.monotonic()
        for running in self._roles.values():
            if running.due and running.due <= now:
                self._fork(running)
        if not self._was_ready and now - self._begun > _START_PATIENCE:
            late = ", ".join(name for name, running in self._roles.items() if not running.ready)
            raise UpError(f"not ready after {_START_PATIENCE:.0f} s; still waiting for: {late}")

    def _sleep(self) -> float | None:
        due = [running.due for running in self._roles.values() if running.due]
        if not self._was_ready:
            due.append(self._begun + _START_PATIENCE)
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _fork(self, running: _Running) -> None:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            self._become(running.role, writer)
        os.close(writer)
        running.pid, running.pipe, running.buffer = pid, reader, b""
        running.ready, running.due, running.failed = False, 0.0, ""
        running.started = time.monotonic()
        self._selector.register(reader, selectors.EVENT_READ, running)
        self._tell()

    def _become(self, role: Role, writer: int) -> None:
        """In the child: be the role and nothing else, and never return."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for signum in (*_STOP_SIGNALS, signal.SIGCHLD):
                signal.signal(signum, signal.SIG_DFL)
            # Ctrl-C reaches the whole process group; the supervisor alone decides in which order things end.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            self._selector.close()
            for other in self._roles.values():
                if other.pipe >= 0:
                    os.close(other.pipe)
                if other.role.keeps is not None and other.role is not role:
                    other.role.keeps.close()
            os.close(self._wake_reader)
            os.close(self._wake_writer)
            role.main(lambda word: _speak(writer, word))
            status = 0
        finally:
            os._exit(status)

    def _listen(self, running: _Running) -> bool:
        """Take in what a role says. False when there is nothing more for now, or never will be."""
        try:
            data = os.read(running.pipe, 4096)
        except BlockingIOError:
            return False
        if not data:
            self._drop(running)
            return False
        *lines, running.buffer = (running.buffer + data).split(b"\n")
        for line in lines:
            word = msgspec.json.decode(line, type=Word)
            if word.failed:
                running.failed = word.failed
            if word.ready:
                running.ready = True
                running.pause = 0.0
                self._tell()
        return True

    def _tell(self) -> None:
        states = {name: (r.pid, r.ready, r.restarts) for name, r in self._roles.items() if not r.done}
        all_ready = all(running.ready for running in self._roles.values())
        self._was_ready = self._was_ready or all_ready
        self._changed(states, all_ready)

    def _reap(self) -> None:
        """Take note of the processes that have ended: roles, and what their death has left to the supervisor."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for name, running in self._roles.items():
                if running.pid == pid:
                    self._hear_out(running)
                    self._died(name, running, status)

    def _hear_out(self, running: _Running) -> None:
        """Take in the last words of a role that has ended."""
        running.pid = 0
        while running.pipe >= 0 and self._listen(running):
            pass
        if running.pipe >= 0:
            self._drop(running)

    def _drop(self, running: _Running) -> None:
        self._selector.unregister(running.pipe)
        os.close(running.pipe)
        running.pipe = -1

    def _died(self, name: str, running: _Running, status: int) -> None:
        code = os.waitstatus_to_exitcode(status)
        if running.role.once and code == 0:
            running.done = running.ready = True
            self._tell()
            return
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        why = running.failed or how
        if not self._was_ready:
            raise UpError(running.failed or f"the {name} role ended with {how} before it was ready")
        if time.monotonic() - running.started < _QUICK_DEATH:
            running.pause = min(max(running.pause * 2, 0.25), _LONGEST_PAUSE)
        running.restarts += 1
        running.ready = False
        running.due = time.monotonic() + running.pause
        again = f"in {running.pause:.2g} s" if running.pause else "at once"
        self._say(f"the {name} role ended ({why}); it is started again {again}")
        self._tell()

    def _end_all(self) -> None:
        """End the roles, last started first; the first, the API server, after all that talks to it."""
        first, *rest = self._roles.values()
        for running in reversed(rest):
            _signal(running, signal.SIGTERM)
        self._await(rest)
        self._ended()
        _signal(first, signal.SIGTERM)
        self._await([first])
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass

    def _await(self, roles: Sequence[_Running]) -> None:
        deadline = time.monotonic() + _PATIENCE
        for running in roles:
            while running.pid:
                pid, _ = os.waitpid(running.pid, os.WNOHANG)
                if pid:
                    running.pid = 0
                elif time.monotonic() > deadline:
                    _signal(running, signal.SIGKILL)
                    os.waitpid(running.pid, 0)
                    running.pid = 0
                else:
                    time.sleep(0.005)


def _signal(running: _Running, signum: int) -> None:
    # A pid that has not been waited for cannot have become somebody else's.
    if running.pid:
        os.kill(running.pid, signum)


def _speak(writer: int, word: Word) -> None:
    os.write(writer, msgspec.json.encode(word) + b"\n")
