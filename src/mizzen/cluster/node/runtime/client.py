"""The node agent's hand on a pod parent: start or adopt one, and ask it for containers.

The handle may come and go as it likes, the parent and its containers stay; only :meth:`PodParent.shutdown` ends them.
What a handle learns is what the parent says on its socket. If that ends, the parent is looked for by its identity, and
when it is dead, so are its containers, and the last event says so.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import msgspec

from mizzen.cluster.node.runtime import identity, memory, parentlock, protocol
from mizzen.cluster.node.runtime.birth import reap, start_parent
from mizzen.cluster.node.runtime.connection import Connection
from mizzen.cluster.node.runtime.errors import ParentLost, ParentUnreachable, UnknownContainer
from mizzen.cluster.node.runtime.protocol import Event, Exited, Lost, Message, Operation, Request, Started
from mizzen.cluster.node.runtime.spec import Container, ExecResult, Exit, ParentInfo, ProcessSpec, read_parent

T = TypeVar("T")

_FIRST_WAIT = 0.01
_LONGEST_WAIT = 1.0


class PodParent:
    """A connected pod parent. Get one from :meth:`ensure` or :meth:`connect`; :meth:`close` leaves it running.

    Requests raise :class:`StartFailed`, :class:`UnknownContainer` or :class:`Refused` as the parent answers, and
    :class:`ParentLost` when it is gone or the connection broke before the answer.

    Attributes:
        info: who the parent is, what it has preloaded, which namespaces it can make.
    """

    def __init__(self, path: Path, connection: Connection, info: ParentInfo) -> None:
        self.info = info
        self._path = path
        self._connection = connection
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[msgspec.Raw]] = {}
        self._listeners: set[Events] = set()
        self._running: set[str] = set()
        self._lost: Lost | None = None
        self._reader: asyncio.Task[None] | None = None
        self._connected = asyncio.Event()
        self._connected.set()

    @classmethod
    async def ensure(
        cls,
        socket: Path,
        state: Path,
        *,
        name: str = "launcher",
        preload: Sequence[str] = (),
        hold_fd: int | None = None,
        env: Mapping[str, str] | None = None,
        python: str = sys.executable,
        timeout: float = 60.0,
    ) -> PodParent:
        """The parent at ``socket``: adopted if one lives there, else started.

        One that is adopted stays as it was started, whatever ``preload`` and ``hold_fd`` say; compare its ``info``.

        Args:
            state: the folder for the parent's own files.
            preload: modules that make it a zygote.
            hold_fd: a descriptor that it keeps open for as long as it lives.
            env: the parent's environment (its containers have only their own); this process's if None.
            timeout: seconds, the imports included.

        Raises:
            ParentUnreachable: it cannot be started or reached; the message says why.
        """
        until = time.monotonic() + timeout
        while True:
            try:
                return await cls.connect(socket, timeout=max(0.1, until - time.monotonic()))
            except (ConnectionRefusedError, FileNotFoundError, ConnectionResetError):
                pass
            word = await start_parent(
                socket,
                state,
                name=name,
                preload=preload,
                hold_fd=hold_fd,
                env=os.environ if env is None else env,
                python=python,
                timeout=max(0.1, until - time.monotonic()),
            )
            if word.error and not word.already_running:
                raise ParentUnreachable(f"the pod parent {name!r} cannot be started: {word.error}")
            if word.already_running:
                if time.monotonic() > until:
                    raise ParentUnreachable(f"a process holds {socket}.lock but does not answer at {socket}")
                await asyncio.sleep(0.05)

    @classmethod
    async def connect(cls, socket: Path, *, timeout: float = 10.0) -> PodParent:
        """The parent that listens at ``socket``.

        Raises:
            FileNotFoundError, ConnectionRefusedError, ConnectionResetError: none does.
            ParentUnreachable: something does that is no parent of ours, or does not answer in time.
        """
        connection = await Connection.open(socket, timeout)
        try:
            async with asyncio.timeout(timeout):
                info = await connection.greet()
        except TimeoutError:
            await connection.close()
            raise ParentUnreachable(
                f"the process {connection.peer[0]} listens at {socket} but did not answer in {timeout:g} s"
            ) from None
        except BaseException:
            await connection.close()
            raise
        if info.protocol != protocol.VERSION:
            await connection.close()
            raise ParentUnreachable(
                f"the pod parent {info.identity.pid} at {socket} is of mizzen {info.version}, which speaks another "
                f"protocol; stop it with the version that started it"
            )
        parent = cls(socket, connection, info)
        parent._reader = asyncio.create_task(parent._read(), name=f"pod parent {info.name}")
        parent._running = {one.id for one in await parent.list() if one.state != "exited"}
        return parent

    @classmethod
    async def end(cls, socket: Path, state: Path, grace: float = 30.0) -> None:
        """Leave no parent at ``socket`` and nothing of its containers, in whatever condition it is.

        One that answers is shut down; one that does not (it imports, or is stopped) is killed.
        """
        try:
            parent = await cls.connect(socket, timeout=2.0)
            async with asyncio.timeout(grace + 10.0):
                await parent.shutdown(grace)
        except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError, ParentUnreachable, TimeoutError):
            found = read_parent(state)
            if found is not None and identity.kill(found, signal.SIGKILL):
                while identity.is_alive(found):
                    await asyncio.sleep(_FIRST_WAIT)
                reap(found.pid)
            parentlock.sweep(socket)

    async def __aenter__(self) -> PodParent:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the parent; it and its containers go on."""
        if self._reader is not None:
            self._reader.cancel()
            with suppress(asyncio.CancelledError):
                await self._reader
        self._fail_waiting(ParentLost("the connection to the pod parent was closed"))
        for listener in list(self._listeners):
            listener.close()
        await self._connection.close()

    async def start(self, spec: ProcessSpec) -> Container:
        """Start a container; returns when its command is executed or its entry is about to be called.

        Raises:
            StartFailed: it did not start; the message is for status fields. Unless its id was taken or it could not be
                forked, it is listed as exited with the reason ``StartError`` until it is forgotten.
        """
        return await self._ask(protocol.Start(spec), Container)

    async def signal(self, id: str, signum: int, *, group: bool = True) -> None:
        """Signal a running container's process group, or with ``group=False`` only its first process."""
        await self._ask(protocol.Signal(id, signum, group), type(None))

    async def stop(self, id: str, grace: float = 30.0) -> Exit:
        """End a container: SIGTERM to its process group, SIGKILL after ``grace`` seconds. Returns when it is over.

        The parent keeps the time: a caller that is cancelled, or killed, has started the stop all the same.
        """
        return await self._ask(protocol.Stop(id, grace), Exit)

    async def exec(
        self, id: str, argv: Sequence[str], env: Mapping[str, str] | None = None, *, timeout: float = 1.0
    ) -> ExecResult:
        """Run a command in a container's namespaces, environment and working directory."""
        return await self._ask(protocol.Exec(id, list(argv), dict(env or {}), timeout), ExecResult)

    async def list(self) -> list[Container]:
        """All containers that were not forgotten, those that ended included."""
        return await self._ask(protocol.List(), list[Container])

    async def forget(self, id: str) -> None:
        """Take a container that ended off the list. Its folder and log stay."""
        await self._ask(protocol.Forget(id), type(None))

    async def enforce_memory(self) -> Sequence[memory.Excess]:
        """Kill containers over their memory limit that no control group holds to it; call it every few seconds.

        Returns those that were over; each ends with the reason ``OOMKilled``.
        """
        found = memory.over_limit(await self.list())
        for excess in found:
            with suppress(UnknownContainer):
                await self._ask(protocol.Signal(excess.id, signal.SIGKILL, True, oom=True), type(None))
        return found

    async def shutdown(self, grace: float = 30.0) -> None:
        """End all containers as :meth:`stop` does, then the parent. Returns when its process is gone."""
        with suppress(ParentLost):
            await self._ask(protocol.Shutdown(grace), type(None))
        if self._reader is not None:
            await asyncio.wait([self._reader])
        await self.close()

    def events(self) -> Events:
        """What happens from now on: :class:`Started`, :class:`Exited`, and at last :class:`Lost` if the parent dies."""
        listener = Events(self._listeners)
        if self._lost is not None:
            listener.put(self._lost)
        return listener

    async def _ask(self, operation: Operation, kind: type[T]) -> T:
        await self._connected.wait()
        if self._lost is not None:
            raise ParentLost(self._lost.message)
        number = next(self._numbers)
        future: asyncio.Future[msgspec.Raw] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            await self._connection.send(Request(number, operation))
            return msgspec.json.decode(await future, type=kind)
        finally:
            self._waiting.pop(number, None)

    async def _read(self) -> None:
        """Deliver what the parent says until it is gone."""
        while True:
            while (message := await self._connection.receive()) is not None:
                self._deliver(message)
            self._connected.clear()
            self._fail_waiting(ParentLost(f"the connection to the pod parent {self.info.name!r} broke"))
            if not await self._reconnect():
                break
            self._connected.set()
        reap(self.info.identity.pid)
        parentlock.sweep(self._path)
        self._lost = Lost(f"the pod parent {self.info.name!r} (pid {self.info.identity.pid}) has ended")
        self._connected.set()
        for listener in list(self._listeners):
            listener.put(self._lost)

    async def _reconnect(self) -> bool:
        """Connect again if the parent still lives, and tell of what happened meanwhile; False if it is dead."""
        await self._connection.close()
        wait = _FIRST_WAIT
        while identity.is_alive(self.info.identity):
            try:
                self._connection = await Connection.open(self._path, _LONGEST_WAIT)
                await self._connection.send(Request(0, protocol.List()))
                return True
            except (OSError, ParentUnreachable):
                # It is busy, or just ending.
                await asyncio.sleep(wait)
                wait = min(wait * 2, _LONGEST_WAIT)
        return False

    def _deliver(self, message: Message) -> None:
        if message.event is not None:
            self._tell(message.event)
            return
        future = self._waiting.get(message.number)
        if message.number == 0:
            for container in msgspec.json.decode(message.result, type=list[Container]):
                self._catch_up(container)
        elif future is None or future.done():
            # Whoever asked was cancelled.
            return
        elif message.failure is not None:
            future.set_exception(message.failure.error())
        else:
            future.set_result(message.result)

    def _catch_up(self, container: Container) -> None:
        if container.state == "running" and container.id not in self._running:
            self._tell(Started(container))
        elif container.state == "exited" and container.id in self._running:
            self._tell(Exited(container))

    def _tell(self, event: Event) -> None:
        if isinstance(event, Started):
            self._running.add(event.container.id)
        else:
            self._running.discard(event.container.id)
        for listener in list(self._listeners):
            listener.put(event)

    def _fail_waiting(self, error: ParentLost) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(error)


class Events(AsyncIterator[Event | Lost]):
    """Events in their order, for one reader; ends after :class:`Lost` or :meth:`close`."""

    def __init__(self, listeners: set[Events]) -> None:
        self._listeners = listeners
        self._queue: asyncio.Queue[Event | Lost | None] = asyncio.Queue()
        self._over = False
        listeners.add(self)

    def put(self, event: Event | Lost) -> None:
        self._queue.put_nowait(event)

    def close(self) -> None:
        self._listeners.discard(self)
        self._queue.put_nowait(None)

    async def __anext__(self) -> Event | Lost:
        if self._over:
            raise StopAsyncIteration
        event = await self._queue.get()
        if event is None:
            self._over = True
            raise StopAsyncIteration
        if isinstance(event, Lost):
            self._over = True
            self._listeners.discard(self)
        return event
