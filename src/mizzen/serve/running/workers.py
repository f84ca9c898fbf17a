"""``--workers N``: one supervisor, and N processes that serve the sockets it has bound.

The supervisor forks before anything is loaded and never loads, runs or threads anything itself, so it can fork again
whenever a worker dies. It hands what one worker is asked and all must do (load, unload, metrics) to every one of them,
and remembers what was loaded and unloaded, so that a worker started later comes to the same state. It is a loop over a
selector: an event loop library's objects would not survive the forks.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from mizzen.errors import MizzenError
from mizzen.serve.running.crashes import Board, seen
from mizzen.serve.running.peers import NEWLINE, Message, decode, encode

logger = logging.getLogger(__name__)

# A worker that keeps dying at once is started ever more seldom.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
LIVED = 10.0

# What it takes in one message: an exposition of thousands of models' metrics.
_CHUNK = 1 << 20

Serve = Callable[[socket.socket], int]


class Worker:
    """A process, as the supervisor sees it."""

    def __init__(self, number: int, pid: int, channel: socket.socket) -> None:
        self.number = number
        self.pid = pid
        self.channel = channel
        self.born = time.monotonic()
        self.ready = False
        self.board: Board | None = None
        self.received = b""
        self.unsent = b""


class Question:
    """Something that all workers were asked.

    Attributes:
        asker: who wants the answers, and by which number it knows them.
        missing: the workers that have not answered.
    """

    def __init__(self, asker: Worker, number: int, missing: set[int]) -> None:
        self.asker = asker
        self.number = number
        self.missing = missing
        self.answers: list[Any] = []


class Supervisor:
    """Args:
    count: how many workers.
    serve: what a worker does, given its channel; returns its exit code.
    ready: called once all have loaded, with what the last one told.
    grace: seconds that they have to end.
    """

    def __init__(self, count: int, serve: Serve, ready: Callable[..., None], grace: float) -> None:
        self._count = count
        self._serve = serve
        self._ready = ready
        self._grace = grace
        self._workers: dict[int, Worker] = {}
        self._due: dict[int, float] = {}
        self._pause: dict[int, float] = {}
        self._questions: dict[int, Question] = {}
        self._next = 0
        # What was asked and changed all workers, for those that are started later: the last of each model.
        self._journal: dict[str, tuple[str, list[Any]]] = {}
        self._selector = selectors.DefaultSelector()
        self._signals: list[int] = []
        self._ending: float | None = None
        self._told_ready = False
        self._failed: int | None = None

    def run(self) -> int:
        """Until SIGTERM or SIGINT, or until a worker cannot start for the first time. Returns the exit code."""
        waker, woken = socket.socketpair()
        for end in (waker, woken):
            end.setblocking(False)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        for caught in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(caught, self._note)
        self._selector.register(woken, selectors.EVENT_READ, None)
        for number in range(self._count):
            self._start(number)
        while self._workers or (self._ending is None and self._failed is None):
            for key, _ in self._selector.select(self._patience()):
                if key.data is None:
                    with contextlib.suppress(BlockingIOError):
                        woken.recv(4096)
                else:
                    self._hear(key.data)
            self._heed()
            self._reap()
            self._restart()
            if self._ending is not None and time.monotonic() > self._ending + self._grace + 5:
                self._signal(signal.SIGKILL)
        signal.set_wakeup_fd(-1)
        waker.close()
        woken.close()
        return self._failed or 0

    def _note(self, number: int, frame: Any) -> None:
        self._signals.append(number)

    def _patience(self) -> float | None:
        """How long nothing has to be done."""
        times = list(self._due.values())
        if self._ending is not None:
            times.append(self._ending + self._grace + 5)
        return max(min(times) - time.monotonic(), 0) if times else None

    def _start(self, number: int) -> None:
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            ours.close()
            self._become(theirs)
        theirs.close()
        ours.setblocking(False)
        worker = self._workers[number] = Worker(number, pid, ours)
        self._due.pop(number, None)
        self._selector.register(ours, selectors.EVENT_READ, worker)

    def _become(self, channel: socket.socket) -> None:
        """In the child: let go of all that is the supervisor's, and serve."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        for worker in self._workers.values():
            worker.channel.close()
        self._selector.close()
        code = 70
        try:
            code = self._serve(channel)
        except MizzenError as error:
            print(f"mizzen: {error}", file=sys.stderr)
            code = 1
        except KeyboardInterrupt:
            code = 130
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _heed(self) -> None:
        while self._signals:
            number = self._signals.pop(0)
            if number == signal.SIGCHLD:
                continue
            if self._ending is not None:  # somebody is impatient
                self._signal(signal.SIGKILL)
            else:
                self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        self._ending = time.monotonic()
        self._due.clear()
        self._signal(number)

    def _signal(self, number: int) -> None:
        for worker in self._workers.values():
            os.kill(worker.pid, number)

    def _reap(self) -> None:
        for worker in list(self._workers.values()):
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid == 0:
                continue
            self._hear(worker)
            self._selector.unregister(worker.channel)
            worker.channel.close()
            del self._workers[worker.number]
            for identifier in list(self._questions):
                self._answered(identifier, worker.number, None)
            if self._ending is None and self._failed is None:
                self._died(worker, os.waitstatus_to_exitcode(status))

    def _died(self, worker: Worker, code: int) -> None:
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        if code < 0 and worker.board is not None and (models := worker.board.at_work()):
            how += f" while it was at model{'s' * (len(models) > 1)} {', '.join(models)}"
        if not self._told_ready and not worker.ready:
            # What keeps one from starting keeps all from it. One that was killed could not say it itself.
            if code < 0:
                logger.error("worker %d (process %d) %s", worker.number, worker.pid, how)
            self._failed = code if code > 0 else 1
            self._signal(signal.SIGTERM)
            self._ending = time.monotonic()
            return
        lived = time.monotonic() - worker.born
        pause = (
            FIRST_PAUSE if lived > LIVED else min(self._pause.get(worker.number, FIRST_PAUSE / 2) * 2, LONGEST_PAUSE)
        )
        self._pause[worker.number] = pause
        self._due[worker.number] = time.monotonic() + pause
        logger.error("worker %d (process %d) %s; it is started again", worker.number, worker.pid, how)

    def _restart(self) -> None:
        now = time.monotonic()
        for number, due in list(self._due.items()):
            if now >= due:
                self._start(number)

    def _hear(self, worker: Worker) -> None:
        while True:
            try:
                data = worker.channel.recv(_CHUNK)
            except BlockingIOError:
                break
            except OSError:
                return
            if not data:
                break
            worker.received += data
        *lines, worker.received = worker.received.split(NEWLINE)
        for line in lines:
            self._heard(worker, decode(line))

    def _heard(self, worker: Worker, message: Message) -> None:
        if message.kind == "ready":
            worker.ready = True
            for verb, arguments in self._journal.values():
                self._next += 1
                self._send(worker, Message("do", self._next, verb, arguments))
            if (
                not self._told_ready
                and len(self._workers) == self._count
                and all(other.ready for other in self._workers.values())
            ):
                self._told_ready = True
                self._ready(*message.arguments)
        elif message.kind == "board":
            worker.board = seen(worker.pid, message.arguments[0])
        elif message.kind == "ask":
            self._ask(worker, message)
        elif message.kind == "done":
            self._answered(message.id, worker.number, message.answers[0])

    def _ask(self, asker: Worker, message: Message) -> None:
        if message.verb in ("open", "shut"):
            self._journal[str(message.arguments[0])] = (message.verb, message.arguments)
        self._next += 1
        asked = {number for number, worker in self._workers.items() if worker.ready}
        self._questions[self._next] = Question(asker, message.id, asked)
        for number in asked:
            self._send(self._workers[number], Message("do", self._next, message.verb, message.arguments))

    def _answered(self, identifier: int, number: int, answer: Any) -> None:
        """One worker's answer; None stands for one that died, and has none."""
        question = self._questions.get(identifier)
        if question is None or number not in question.missing:
            return
        question.missing.discard(number)
        if answer is not None:
            question.answers.append(answer)
        if not question.missing:
            del self._questions[identifier]
            if self._workers.get(question.asker.number) is question.asker:
                self._send(question.asker, Message("all", question.number, answers=question.answers))

    def _send(self, worker: Worker, message: Message) -> None:
        # Short, and to a process that reads all the time: waiting for it costs less than a queue.
        with contextlib.suppress(OSError):
            worker.channel.setblocking(True)
            worker.channel.settimeout(5)
            worker.channel.sendall(encode(message) + NEWLINE)
            worker.channel.setblocking(False)
