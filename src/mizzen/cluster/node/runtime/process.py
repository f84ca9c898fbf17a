"""One container as its parent holds it: the process, the pipes of its output, its log, the files that outlive both."""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from mizzen.cluster.node.runtime.cgroup import Group
from mizzen.cluster.node.runtime.child import Report
from mizzen.cluster.node.runtime.errors import RuntimeFailure, StartFailed
from mizzen.cluster.node.runtime.identity import Identity
from mizzen.cluster.node.runtime.logwriter import LogWriter
from mizzen.cluster.node.runtime.loop import Loop, Timer
from mizzen.cluster.node.runtime.spec import (
    EXIT_FILE,
    HOSTS_FILE,
    PID_FILE,
    TERMINATION_FILE,
    TERMINATION_MESSAGE_LIMIT,
    Container,
    Exit,
    ProcessSpec,
)

# Gives a result, or a failure, to whoever asked; they may be gone.
Answer = Callable[[object], None]

_BLOCK = 64 * 1024
# What is read from a dead container's pipe at most; a pipe holds 64 KiB, and what it left behind may still write.
_MOST_AT_END = 64


def write_whole(path: Path, value: object) -> None:
    """Write a value as JSON so that a reader finds all of it or none."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(msgspec.json.encode(value))
    fresh.replace(path)


class Pipes:
    """The reading ends of a container's ``stdout``, ``stderr`` and report, watched by the loop."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._sinks: dict[int, Callable[[bytes], None]] = {}

    def open(self, sink: Callable[[bytes], None]) -> int:
        """A new pipe; ``sink`` gets what arrives, and ``b""`` at its end. Returns the end to write to."""
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        self._sinks[reader] = sink
        self._loop.watch(reader, selectors.EVENT_READ, lambda _: self._ready(reader))
        return writer

    def _ready(self, reader: int) -> None:
        self._read(reader)

    def _read(self, reader: int) -> bool:
        """Pass on what one pipe holds; False when there is nothing, or nothing more."""
        try:
            data = os.read(reader, _BLOCK)
        except BlockingIOError:
            return False
        sink = self._sinks[reader]
        if not data:
            self._drop(reader)
        sink(data)
        return bool(data)

    def _drop(self, reader: int) -> None:
        del self._sinks[reader]
        self._loop.unwatch(reader)
        os.close(reader)

    def finish(self) -> None:
        """Read what is left and close them all, whoever may still have the other ends."""
        for reader in list(self._sinks):
            for _ in range(_MOST_AT_END):
                if not self._read(reader):
                    break
            if reader in self._sinks:
                sink = self._sinks[reader]
                self._drop(reader)
                sink(b"")


class ContainerProcess:
    """A container from the moment its folder is made until its exit is written down.

    Attributes:
        status: what clients see of it.
        oom: whether it was killed for its memory by whoever watches it.
        mount_namespace: the name of its own mount namespace; empty if it has none.
        on_start, on_end: who waits for it to run, or to end.
    """

    def __init__(self, spec: ProcessSpec, loop: Loop, started: Callable[[ContainerProcess], None]) -> None:
        self.spec = spec
        self.pid = 0
        self.group: Group | None = None
        self.oom = False
        self.mount_namespace = ""
        self.failure: StartFailed | None = None
        self.on_start: Answer | None = None
        self.on_end: list[Answer] = []
        self.start_timer: Timer | None = None
        self.kill_timer: Timer | None = None
        self.folder = Path(spec.state_dir)
        self.log = LogWriter(Path(spec.log_path), spec.log_max_bytes, spec.log_max_files)
        self.pipes = Pipes(loop)
        self.status = Container(
            id=spec.id,
            state="starting",
            state_dir=spec.state_dir,
            log_path=spec.log_path,
            created_at=time.time(),
            memory_bytes=spec.memory_bytes,
        )
        self._started = started
        self._said = b""

    def make_folder(self) -> None:
        """The container's folder with the files that are mounted into it, and without those of an earlier run.

        Raises:
            StartFailed: it cannot be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name in (PID_FILE, EXIT_FILE):
                (self.folder / name).unlink(missing_ok=True)
            if self.spec.termination_message_path:
                (self.folder / TERMINATION_FILE).write_bytes(b"")
            if self.spec.hosts:
                (self.folder / HOSTS_FILE).write_text(self.spec.hosts)
        except OSError as error:
            raise StartFailed(f"the folder {self.folder} cannot be made: {error.strerror}") from error

    def open_output(self, stream: str) -> int:
        """The end for the child to write its ``stdout`` or ``stderr`` to."""
        return self.pipes.open(lambda data: self.log.feed(stream, data))

    def open_report(self) -> int:
        """The end for the child to report to."""
        return self.pipes.open(self._report)

    def forked(self, pid: int) -> None:
        self.pid = pid
        self.status.identity = Identity.of(pid)
        with suppress(OSError):
            # On a full disk it runs all the same: this parent knows it, and dies together with it.
            write_whole(self.folder / PID_FILE, self.status.identity)

    def _report(self, data: bytes) -> None:
        self._said += data
        if data:
            return
        for line in self._said.splitlines():
            try:
                words = msgspec.json.decode(line, type=Report)
            except msgspec.DecodeError:
                # It was killed in the middle of a word.
                continue
            self.status.warnings.extend(words.warnings)
            if words.error and self.failure is None:
                self.failure = StartFailed(words.error, words.exit_code)
        if self.failure is None:
            self.status.state = "running"
            self.status.started_at = time.time()
            self._cancel_start_timer()
            self._started(self)

    def _cancel_start_timer(self) -> None:
        if self.start_timer is not None:
            self.start_timer.cancel()
            self.start_timer = None

    def signal(self, signum: int, group: bool) -> None:
        """Signal it, or all of its process group. It is not reaped yet, so the pid is its own."""
        try:
            if group:
                os.killpg(self.pid, signum)
                return
        except (ProcessLookupError, PermissionError):
            # It has not made its group yet, or some of the group changed their user.
            pass
        with suppress(ProcessLookupError):
            os.kill(self.pid, signum)

    def finish(self, status: int) -> None:
        """Settle a process that was reaped with ``status``: complete its log, then write its exit down."""
        self._cancel_start_timer()
        if self.kill_timer is not None:
            self.kill_timer.cancel()
        self.pipes.finish()
        self.log.close()
        self.status.exit = self._exit(status)
        self.status.state = "exited"
        with suppress(OSError):
            write_whole(self.folder / EXIT_FILE, self.status.exit)
        if self.on_start is not None:
            failure: RuntimeFailure = self.failure or StartFailed("it ended before it was started")
            self.on_start(failure)
            self.on_start = None
        for answer in self.on_end:
            answer(self.status.exit)
        self.on_end.clear()

    def _exit(self, status: int) -> Exit:
        signum = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        code = 128 + signum if signum else os.WEXITSTATUS(status)
        if self.failure is not None:
            return Exit(
                exit_code=self.failure.exit_code,
                reason=self.failure.reason,
                message=str(self.failure),
                finished_at=time.time(),
            )
        memory = self.oom or (self.group is not None and self.group.killed_for_memory())
        killed = code == 128 + signal.SIGKILL
        return Exit(
            exit_code=code,
            signal=signum,
            reason="OOMKilled" if memory and killed else "Completed" if code == 0 else "Error",
            started_at=self.status.started_at,
            finished_at=time.time(),
            termination_message=self._termination_message(),
        )

    def _termination_message(self) -> str:
        try:
            with (self.folder / TERMINATION_FILE).open("rb") as file:
                return file.read(TERMINATION_MESSAGE_LIMIT).decode(errors="replace")
        except OSError:
            return ""
