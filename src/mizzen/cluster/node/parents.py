"""The pod parents of a node: the launcher and a zygote for each set of modules, started when they are needed.

They outlive the agent. One that starts finds the parents that live by their sockets and takes their containers over;
nothing is started again for it, and no exit is lost. A parent that dies takes its containers with it, which is told
like any other exit, and it is started again with the next container that needs it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import signal
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import msgspec

from mizzen import __version__
from mizzen.cluster.node.recipes import Zygote
from mizzen.cluster.node.runtime import spec as runtime
from mizzen.cluster.node.runtime.client import Events, PodParent
from mizzen.cluster.node.runtime.errors import ParentLost, ParentUnreachable, Refused, StartFailed, UnknownContainer
from mizzen.cluster.node.runtime.protocol import Exited, Lost
from mizzen.cluster.node.runtime.spec import Container, ExecResult, Exit, ProcessSpec

log = logging.getLogger(__name__)

LAUNCHER = "launcher"
# What the launcher has imported beforehand, so that an init container does not: some 15 ms each time.
_LAUNCHER_PRELOAD = ("mizzen.storage.initializer",)
_MEMORY_INTERVAL = 5.0
_RETRY = 0.05
_LONGEST_RETRY = 30.0


class Parent(msgspec.Struct, frozen=True):
    """Which pod parent: its name for people, and what it has imported. ``key`` names its socket.

    A zygote is told from another that goes by the same name but was made of other modules, or by another version of
    Mizzen: it lives on until its containers have ended, and new ones come from the new one.
    """

    name: str
    preload: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        if self.name == LAUNCHER:
            return LAUNCHER
        made_of = hashlib.sha256("\0".join((__version__, *self.preload)).encode()).hexdigest()[:8]
        return f"{self.name}-{made_of}"


def launcher() -> Parent:
    return Parent(LAUNCHER, _LAUNCHER_PRELOAD)


def zygote(name: str, declared: Zygote) -> Parent:
    return Parent(name, tuple(declared.preload))


class Held:
    """A run of a container that a parent holds.

    Attributes:
        parent: the key of its parent.
        container: what the parent last said of it; ``None`` until it has answered.
        exited: how it ended, once it has.
    """

    def __init__(self, parent: str, state_dir: Path) -> None:
        self.parent = parent
        self.state_dir = state_dir
        self.container: Container | None = None
        self.exited: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()

    @property
    def is_running(self) -> bool:
        return not self.exited.done()

    @property
    def must_be_watched(self) -> bool:
        return self.is_running and self.container is not None and self.container.memory == "watch"

    def settle(self, exit: Exit) -> None:
        if not self.exited.done():
            self.exited.set_result(exit)


class Parents:
    """Use as an async context manager; leaving it lets go of the parents and ends none.

    Args:
        folder: where their sockets and own folders are.
        hold_fd: a descriptor that each of them keeps open: the lock of the address block.
        known: the parents that are asked for containers now.
        warm: those of them that are always to be there.
    """

    def __init__(
        self,
        folder: Path,
        *,
        known: Callable[[], Sequence[Parent]],
        warm: Callable[[], Sequence[Parent]],
        hold_fd: int | None = None,
    ) -> None:
        self._folder = folder
        self._hold_fd = hold_fd
        self._known = known
        self._warm = warm
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()
        self._connected: dict[str, PodParent] = {}
        self._starting: dict[str, asyncio.Lock] = {}
        self._held: dict[str, Held] = {}

    async def __aenter__(self) -> Parents:
        self._folder.mkdir(parents=True, exist_ok=True)
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for parent in list(self._connected.values()):
                await parent.close()
            for task in list(self._tasks):
                task.cancel()
        finally:
            await self._group.__aexit__(kind, error, trace)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def held(self) -> Mapping[str, Held]:
        """Every run that a parent holds and nobody has forgotten, by its id."""
        return self._held

    def began(self, key: str) -> float:
        """Since when the parent lives, in seconds since the epoch; infinite if it does not."""
        parent = self._connected.get(key)
        return parent.info.started_at if parent is not None else math.inf

    async def adopt(self) -> None:
        """Connect to every parent that lives, and take note of what it holds. Sweeps up after those that do not."""
        async with asyncio.TaskGroup() as group:
            for socket in self._folder.glob("*.sock"):
                group.create_task(self._adopt_one(socket))
        for key in list(self._connected):
            await self._retire(key)

    async def _adopt_one(self, socket: Path) -> None:
        try:
            parent = await PodParent.connect(socket)
        except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError):
            pass
        except ParentUnreachable as error:
            log.warning("%s; it is ended", error)
        else:
            with suppress(ParentLost):
                await self._take(socket.stem, parent)
            return
        await PodParent.end(socket, socket.with_suffix(""), grace=0.0)
        socket.unlink(missing_ok=True)

    async def _retire(self, key: str) -> None:
        """End a parent that no recipe names any more, once it holds nothing."""
        parent = self._connected.get(key)
        if parent is None or key in {which.key for which in self._known()} or self._is_needed(key):
            return
        log.info("the pod parent %s is no longer needed", key)
        del self._connected[key]
        await parent.shutdown()

    def _is_needed(self, key: str) -> bool:
        return any(held.parent == key for held in self._held.values())

    async def ensure(self, which: Parent) -> PodParent:
        """The parent, started if it does not live.

        Raises:
            ParentUnreachable: it cannot be started; the message says why.
        """
        async with self._starting.setdefault(which.key, asyncio.Lock()):
            found = self._connected.get(which.key)
            if found is not None:
                return found
            socket = self._folder / f"{which.key}.sock"
            parent = await PodParent.ensure(
                socket,
                socket.with_suffix(""),
                name=which.name,
                preload=which.preload,
                hold_fd=self._hold_fd,
            )
            await self._take(which.key, parent)
            return parent

    async def _take(self, key: str, parent: PodParent) -> None:
        self._connected[key] = parent
        # Before the list, so that nothing happens unheard in between.
        self._spawn(self._follow(key, parent.events()))
        for container in await parent.list():
            held = self._held[container.id] = Held(key, Path(container.state_dir))
            self._note(held, container)

    def _note(self, held: Held, container: Container) -> None:
        held.container = container
        if container.exit is not None:
            held.settle(container.exit)
        elif container.state == "starting":
            # That a start failed is told only to who asked for it, and that was another agent.
            self._spawn(self._until_started(held, container.id))

    async def _until_started(self, held: Held, id: str) -> None:
        while held.is_running and held.container is not None and held.container.state == "starting":
            await asyncio.sleep(_RETRY)
            parent = self._connected.get(held.parent)
            if parent is None:
                return
            with suppress(ParentLost):
                for container in await parent.list():
                    if container.id == id:
                        held.container = container
                        if container.exit is not None:
                            held.settle(container.exit)

    async def _follow(self, key: str, events: Events) -> None:
        async for event in events:
            match event:
                case Exited(container):
                    held = self._held.get(container.id)
                    if held is not None and container.exit is not None:
                        held.container = container
                        held.settle(container.exit)
                case Lost(message):
                    self._lost(key, message)

    def _lost(self, key: str, message: str) -> None:
        log.warning("%s", message)
        self._connected.pop(key, None)
        for held in self._held.values():
            if held.parent == key and held.is_running:
                held.settle(runtime.read_exit(held.state_dir) or _died_with(message))
        for which in self._warm():
            if which.key == key:
                self._spawn(self.keep(which))

    async def keep(self, which: Parent) -> None:
        """Start a parent that is to be there before anybody asks for it; a failure is logged and tried again."""
        pause = 1.0
        while True:
            try:
                await self.ensure(which)
                return
            except ParentUnreachable as error:
                log.warning("%s", error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_RETRY)

    async def start(self, which: Parent, spec: ProcessSpec) -> Container:
        """Start a run. It is known as held from the moment that the parent is asked.

        Raises:
            StartFailed: it did not start, and never will under this id.
            ParentUnreachable, ParentLost: there is no parent; it may be asked again.
        """
        parent = await self.ensure(which)
        held = self._held.get(spec.id)
        if held is None or not held.is_running or held.parent != which.key:
            held = self._held[spec.id] = Held(which.key, Path(spec.state_dir))
        try:
            container = await parent.start(spec)
        except StartFailed as failure:
            if failure.reason == "AlreadyExists":
                # Asked before by an agent, or over a connection, that did not live to hear the answer.
                container = await self._one(parent, spec.id)
                self._note(held, container)
                return container
            self._held.pop(spec.id, None)
            with suppress(UnknownContainer, Refused, ParentLost):
                await parent.forget(spec.id)
            raise
        except ParentLost:
            if self._connected.get(which.key) is not parent:
                # It was dead before it was asked. (Where only the connection broke, it may have heard.)
                self._held.pop(spec.id, None)
            raise
        held.container = container
        return container

    async def _one(self, parent: PodParent, id: str) -> Container:
        for container in await parent.list():
            if container.id == id:
                return container
        raise ParentLost(f"the pod parent {parent.info.name!r} no longer knows {id}")

    async def stop(self, id: str, grace: float) -> Exit | None:
        """End a run, and return how it ended; ``None`` if no parent ever held it."""
        while True:
            held = self._held.get(id)
            if held is None:
                return None
            if not held.is_running:
                return held.exited.result()
            parent = self._connected.get(held.parent)
            if parent is None:
                held.settle(runtime.read_exit(held.state_dir) or _died_with("its pod parent was gone"))
                continue
            try:
                held.settle(await parent.stop(id, grace))
                continue
            except UnknownContainer:
                if not held.is_running:
                    continue
                if held.container is None:
                    # The request to start it had not reached the parent.
                    self._held.pop(id, None)
                    return None
                held.settle(runtime.read_exit(held.state_dir) or _died_with("it was gone when it was to be ended"))
            except ParentLost:
                # The connection is made again in a moment, or the loss is told.
                await asyncio.sleep(_RETRY)

    async def exec(self, id: str, argv: Sequence[str], timeout: float) -> ExecResult:
        """Run a command inside a running container. Raises a :class:`.runtime.errors.RuntimeFailure`."""
        held = self._held.get(id)
        parent = self._connected.get(held.parent) if held is not None else None
        if parent is None:
            raise UnknownContainer(f"the container {id!r} is not running")
        return await parent.exec(id, argv, timeout=timeout)

    async def forget(self, id: str) -> None:
        """Drop a run that ended. What it left on disk stays."""
        held = self._held.pop(id, None)
        parent = self._connected.get(held.parent) if held is not None else None
        if held is not None and parent is not None:
            with suppress(UnknownContainer, Refused, ParentLost):
                await parent.forget(id)
            await self._retire(held.parent)

    async def watch_memory(self) -> None:
        """Hold containers to their memory limits where no control group does, until cancelled."""
        while True:
            await asyncio.sleep(_MEMORY_INTERVAL)
            watched = {held.parent for held in self._held.values() if held.must_be_watched}
            for key in watched & self._connected.keys():
                with suppress(ParentLost):
                    for excess in await self._connected[key].enforce_memory():
                        log.info("%s used %d bytes of %d", excess.id, excess.used, excess.limit)


def _died_with(message: str) -> Exit:
    return Exit(
        exit_code=128 + signal.SIGKILL,
        signal=signal.SIGKILL,
        reason="Error",
        message=message,
        finished_at=time.time(),
    )
