"""The containers of one parent: starting them, ending them, and noticing that they ended.

Nothing waits here. What takes time (a start, a stop, a command) is answered from the loop when it is done, so one
container that hangs in a mount or ignores SIGTERM delays no other.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from mizzen.cluster.node.runtime import child, namespaces
from mizzen.cluster.node.runtime.cgroup import MemoryGroups
from mizzen.cluster.node.runtime.errors import Refused, StartFailed, UnknownContainer
from mizzen.cluster.node.runtime.execution import Execution
from mizzen.cluster.node.runtime.identity import Process
from mizzen.cluster.node.runtime.loop import Loop, Timer
from mizzen.cluster.node.runtime.process import Answer, ContainerProcess
from mizzen.cluster.node.runtime.processes import CONTAINER_MARK, descendants, environment, kill_all, table
from mizzen.cluster.node.runtime.protocol import Event, Exec, Exited, Signal, Started, Stop
from mizzen.cluster.node.runtime.spec import Container, Isolation, ProcessSpec

# The process table is read at most this often for what containers left behind. Seconds.
_SWEEP_INTERVAL = 0.1
# How long a shutdown waits for processes that do not even die of SIGKILL. Seconds.
_LAST_WAIT = 5.0


class Containers:
    """All containers of this process, and the only place that forks and reaps.

    Args:
        socket: where this parent is reached; part of the mark that its containers carry in their environment.
        threads: sets the thread count of the preloaded numeric libraries, in a forked child.

    Attributes:
        emit: called with what happens to a container.
    """

    def __init__(
        self,
        loop: Loop,
        socket: str,
        isolation: Isolation,
        groups: MemoryGroups,
        threads: child.Threads | None = None,
    ) -> None:
        self._loop = loop
        self._socket = socket
        self._isolation = isolation
        self._groups = groups
        self.emit: Callable[[Event], None] = lambda _: None
        self._threads = threads
        self._all: dict[str, ContainerProcess] = {}
        self._running: dict[int, ContainerProcess] = {}
        self._executions: dict[int, Execution] = {}
        self._ended_sessions: set[int] = set()
        self._swept_at = 0.0
        self._sweep_timer: Timer | None = None
        self._closing: list[Callable[[], None]] = []
        self._closed = False

    def list(self) -> list[Container]:
        return [container.status for container in self._all.values()]

    def start(self, spec: ProcessSpec, answer: Answer) -> None:
        """Start a container; answers with its status once it runs, or with :class:`StartFailed`."""
        try:
            container = self._prepare(spec)
        except StartFailed as failure:
            answer(failure)
            return
        try:
            pid = self._fork_container(container)
        except OSError as error:
            container.pipes.finish()
            if container.group is not None:
                self._groups.leave(container.group)
            answer(StartFailed(f"no new process can be made: {error.strerror}"))
            return
        container.on_start = answer
        container.start_timer = self._loop.after(spec.start_timeout, lambda: self._start_over(container))
        self._all[spec.id] = self._running[pid] = container
        self._ended_sessions.discard(pid)
        container.forked(pid)

    def _prepare(self, spec: ProcessSpec) -> ContainerProcess:
        if self._closing:
            raise StartFailed("the pod parent is shutting down")
        if spec.id in self._all:
            raise StartFailed(f"a container {spec.id!r} exists already", reason="AlreadyExists")
        if not spec.isolate and (spec.mounts or spec.hosts):
            raise StartFailed("mounts and hosts need a mount namespace, and isolate is false")
        if spec.has_own_view and self._isolation.mode == "none":
            raise StartFailed(f"mounts are not possible here: {self._isolation.reason}")
        if "\0" in "".join((*spec.argv, *spec.env, *spec.env.values())):
            raise StartFailed("an argument or environment variable holds a zero byte")
        spec.env = spec.env | {CONTAINER_MARK: f"{self._socket}#{spec.id}"}
        container = ContainerProcess(spec, self._loop, self._started)
        container.make_folder()
        if spec.memory_bytes:
            container.status.memory = "watch"
            if self._groups.where is not None:
                try:
                    container.group = self._groups.make(spec.memory_bytes)
                except OSError as error:
                    container.status.warnings.append(f"no control group for its memory: {error}")
        return container

    def _fork_container(self, container: ContainerProcess) -> int:
        parent = os.getpid()
        ends = [container.open_output("stdout"), container.open_output("stderr"), container.open_report()]

        def become() -> NoReturn:
            stdout, stderr, report = ends
            child.become(
                container.spec, stdout=stdout, stderr=stderr, report=report, parent=parent, threads=self._threads
            )

        try:
            pid = _fork(become)
        finally:
            for fd in ends:
                os.close(fd)
        if container.group is not None:
            try:
                container.group.add(pid)
                container.status.memory = "cgroup"
            except OSError as error:
                container.status.warnings.append(f"it cannot be put into a control group: {error.strerror}")
        return pid

    def _started(self, container: ContainerProcess) -> None:
        if container.spec.has_own_view:
            container.mount_namespace = namespaces.namespace_of(container.pid, "mnt")
        if container.on_start is not None:
            container.on_start(container.status)
            container.on_start = None
        self.emit(Started(container.status))

    def _start_over(self, container: ContainerProcess) -> None:
        seconds = container.spec.start_timeout
        container.failure = StartFailed(f"it had neither started nor failed after {seconds:g} s")
        container.signal(signal.SIGKILL, group=True)

    def _one(self, id: str) -> ContainerProcess:
        if id not in self._all:
            raise UnknownContainer(f"there is no container {id!r} here")
        return self._all[id]

    def _live(self, id: str) -> ContainerProcess:
        container = self._one(id)
        if container.pid not in self._running:
            raise UnknownContainer(f"the container {id!r} has ended")
        return container

    def signal(self, ask: Signal) -> None:
        """Signal a running container. Raises :class:`UnknownContainer`, or :class:`Refused` for a bad number."""
        container = self._live(ask.id)
        if ask.signum not in signal.valid_signals():
            raise Refused(f"{ask.signum} is not the number of a signal")
        container.oom = container.oom or ask.oom
        container.signal(ask.signum, ask.group)

    def stop(self, ask: Stop, answer: Answer) -> None:
        """SIGTERM now, SIGKILL after the grace period; answers with the exit. A second stop may shorten the first."""
        container = self._one(ask.id)
        if container.status.exit is not None:
            answer(container.status.exit)
            return
        container.on_end.append(answer)
        self._end(container, ask.grace)

    def _end(self, container: ContainerProcess, grace: float) -> None:
        container.signal(signal.SIGTERM if grace > 0 else signal.SIGKILL, group=True)
        if grace > 0:
            previous, due = container.kill_timer, time.monotonic() + grace
            if previous is None or previous.due > due:
                if previous is not None:
                    previous.cancel()
                container.kill_timer = self._loop.after(grace, lambda: container.signal(signal.SIGKILL, group=True))

    def forget(self, id: str) -> None:
        """Drop a container that ended. Raises :class:`UnknownContainer`, or :class:`Refused` while it runs."""
        if self._one(id).pid in self._running:
            raise Refused(f"the container {id!r} still runs")
        del self._all[id]

    def exec(self, ask: Exec, answer: Answer) -> None:
        """Run a command inside a container; answers with :class:`.spec.ExecResult`."""
        container = self._live(ask.id)
        if not ask.argv:
            raise Refused("there is no command to execute")
        env = container.spec.env | child.thread_environment(container.spec) | ask.env
        execution = Execution(self._loop, answer)
        output = execution.open_pipe()
        try:
            door = namespaces.Door(container.pid)
            try:
                execution.pid = _fork(lambda: child.become_command(ask.argv, env, container.spec.cwd, output, door))
            finally:
                door.close()
        except OSError as error:
            execution.pipes.finish()
            raise Refused(f"the command cannot be started in {ask.id!r}: {error.strerror}") from error
        finally:
            os.close(output)
        if container.group is not None:
            with suppress(OSError):
                container.group.add(execution.pid)
        self._executions[execution.pid] = execution
        execution.timer = self._loop.after(ask.timeout, execution.time_over)

    def reap(self) -> None:
        """Settle every child that has ended."""
        while True:
            try:
                # Looked at before it is reaped: until then its pid, and so its group and session, are its own.
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                ended = None
            if ended is None:
                break
            pid = ended.si_pid
            if pid in self._running:
                self._finish(self._running.pop(pid))
            elif pid in self._executions:
                execution = self._executions.pop(pid)
                execution.kill_group()
                execution.finish(os.waitpid(pid, 0)[1])
            else:
                os.waitpid(pid, 0)
        if self._closing and not self._running:
            self._close()

    def _finish(self, container: ContainerProcess) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(container.pid, signal.SIGKILL)
        if container.group is not None:
            kill_all(table(), container.group.members())
        self._ended_sessions.add(container.pid)
        self._sweep_soon()
        container.finish(os.waitpid(container.pid, 0)[1])
        if container.group is not None:
            self._groups.leave(container.group)
        if container.failure is None:
            self.emit(Exited(container.status))

    def _sweep_soon(self) -> None:
        wait = self._swept_at + _SWEEP_INTERVAL - time.monotonic()
        if wait <= 0:
            self._sweep()
        elif self._sweep_timer is None:
            self._sweep_timer = self._loop.after(wait, self._sweep)

    def _sweep(self) -> None:
        """Kill what ended containers left behind and was handed to us, their subreaper."""
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
            self._sweep_timer = None
        for _ in range(5):
            processes = table()
            strays = [line.pid for line in processes.values() if self._is_stray(line)]
            if not strays:
                break
            kill_all(processes, descendants(processes, strays))
        self._ended_sessions.clear()
        self._swept_at = time.monotonic()

    def _is_stray(self, line: Process) -> bool:
        """Whether a process is an orphan of a container that ended, and not a daemon of one that still runs."""
        if line.ppid != os.getpid() or line.state in "ZXx" or line.pid in self._running or line.pid in self._executions:
            return False
        if line.session in self._running or line.session in self._executions:
            return False
        if line.session in self._ended_sessions:
            return True
        mark = f"{CONTAINER_MARK}={self._socket}#".encode()
        for value in environment(line.pid):
            if value.startswith(mark):
                id = value[len(mark) :].decode(errors="replace")
                return id not in self._all or self._all[id].pid not in self._running
        view = namespaces.namespace_of(line.pid, "mnt")
        own = namespaces.namespace_of(os.getpid(), "mnt")
        return view not in ("", own, *(container.mount_namespace for container in self._running.values()))

    def shutdown(self, grace: float, done: Callable[[], None]) -> None:
        """End every container, then whatever else descends from this process, and call ``done``."""
        self._closing.append(done)
        for container in self._running.values():
            self._end(container, grace)
        for execution in self._executions.values():
            execution.time_over()
        if not self._running:
            self._close()

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._end_the_rest()
        self._groups.close()
        for done in self._closing:
            done()

    def _end_the_rest(self) -> None:
        until = time.monotonic() + _LAST_WAIT
        while time.monotonic() < until:
            processes = table()
            kill_all(processes, descendants(processes, [os.getpid()]) - {os.getpid()})
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                return
            time.sleep(0.005)


def _fork(become: Callable[[], NoReturn]) -> int:
    """Fork; ``become`` is the child. Signals are blocked, so that none reaches it through the parent's handlers."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            become()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid
