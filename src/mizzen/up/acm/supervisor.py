"""Keeping a set running: what ends by itself is started again, and all of it ends together.

The broker keeps nothing on disk. When it has to be started anew it gets the same port, and the runtime sends again what
nobody has answered. The runtime's socket is bound here and inherited, so that whoever asks while it is being started
again waits instead of being refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from mizzen.acm.messages.topics import Topics
from mizzen.bus.broker import Broker
from mizzen.bus.errors import BusError
from mizzen.cluster.node.runtime.identity import Identity
from mizzen.up.acm import state
from mizzen.up.acm.home import AcmHome, Credentials, already_running
from mizzen.up.acm.state import PartState, State
from mizzen.up.errors import UpError

_HOST = "127.0.0.1"
_READY_PATIENCE = 60.0
_END_PATIENCE = 20.0
# Seconds before a part that has ended is started again: doubled each time, forgotten once it has run for a while.
_FIRST_PAUSE, _LONGEST_PAUSE, _LONG_RUN = 0.1, 10.0, 5.0


class Settings(msgspec.Struct, kw_only=True):
    """What a set is to be.

    Attributes:
        broker: ``host:port`` of a Kafka that is there; None starts one.
        database: None is a file in the home.
        kubeconfig: of the cluster where models are to run.
    """

    rest_port: int
    credentials: Credentials
    kubeconfig: Path
    broker: str | None = None
    database: str | None = None


class Set:
    """One running set.

    Args:
        say: told what happens, in lines for a log.
        ready: called once, when every part answers.
    """

    def __init__(
        self, home: AcmHome, settings: Settings, say: Callable[[str], None], ready: Callable[[State], None]
    ) -> None:
        self._home = home
        self._settings = settings
        self._say = say
        self._ready = ready
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._ending = asyncio.Event()
        self._state = State(
            supervisor=Identity.of(os.getpid()), phase="starting", started_at=time.time(), url="", broker=""
        )

    async def run(self) -> None:
        """Until SIGTERM or SIGINT.

        Raises:
            UpError: the port is taken, or a part does not come up.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._ending.set)
        with locked(self._home), bound(self._settings.rest_port) as listening:
            self._state.url = f"http://{_HOST}:{listening.getsockname()[1]}"
            try:
                async with contextlib.AsyncExitStack() as stack:
                    given = self._settings.broker
                    self._state.broker = given if given else await stack.enter_async_context(self._own_broker())
                    self._tell()
                    await stack.enter_async_context(self._part("runtime", self._runtime(listening), [listening]))
                    await stack.enter_async_context(self._part("participant", self._participant(), []))
                    if not self._ending.is_set():
                        self._state.phase = "ready"
                        self._tell()
                        self._ready(self._state)
                    await self._ending.wait()
                    self._state.phase = "stopping"
                    self._tell()
            finally:
                self._home.state.unlink(missing_ok=True)

    def _tell(self) -> None:
        try:
            state.write(self._home, self._state)
        except OSError as error:
            self._say(f"{self._home.state} cannot be written: {error.strerror}")

    async def _lasting(self, watch: Coroutine[Any, Any, None]) -> None:
        """A watch that ends by a defect ends everything, rather than leave a part that nobody looks after."""
        try:
            await watch
        except Exception as error:
            self._say(f"a defect ends all of it: {type(error).__name__}: {error}")
            self._ending.set()
            raise

    @contextlib.asynccontextmanager
    async def _own_broker(self) -> AsyncIterator[str]:
        """A broker of our own, started again at the same port when it ends; yields its address."""
        topics = Topics()
        part = self._state.parts["broker"] = PartState()
        broker = Broker(topics=(topics.operation, topics.sync))
        await broker.start()
        address = broker.address
        part.pid, part.ready = broker.pid or 0, True

        async def watch() -> None:
            pause = _FIRST_PAUSE
            while True:
                began = time.monotonic()
                how = await broker.died()
                pause = _FIRST_PAUSE if time.monotonic() - began > _LONG_RUN else pause
                part.pid, part.ready = 0, False
                part.restarts += 1
                self._say(f"{how}; it is started again")
                self._tell()
                while not part.ready:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE)
                    try:
                        await broker.start()
                    except (BusError, OSError) as error:
                        self._say(str(error))
                    else:
                        part.pid, part.ready = broker.pid or 0, True
                self._tell()

        task = asyncio.create_task(self._lasting(watch()))
        try:
            yield address
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await broker.stop()

    def _runtime(self, listening: socket.socket) -> list[str]:
        settings, home = self._settings, self._home
        database = settings.database or f"sqlite:///{home.database}"
        return [
            "runtime",
            f"--broker={self._state.broker}",
            f"--database={database}",
            f"--credentials={home.credentials}",
            f"--key-file={home.encryption_key()}",
            f"--listening={listening.fileno()}",
            *self._own_settings("runtime"),
        ]

    def _participant(self) -> list[str]:
        return [
            "participant",
            f"--broker={self._state.broker}",
            f"--kubeconfig={self._settings.kubeconfig}",
            f"--credentials={self._home.credentials}",
            "--port=0",
            *self._own_settings("participant"),
        ]

    def _own_settings(self, name: str) -> list[str]:
        """Settings that the user has put into the home, and the short sessions that our own broker takes."""
        file = self._home.root / f"{name}.yaml"
        found = [f"--config={file}"] if file.exists() else []
        return found if self._settings.broker else [*found, "--quick"]

    @contextlib.asynccontextmanager
    async def _part(self, name: str, arguments: list[str], inherited: Sequence[socket.socket]) -> AsyncIterator[None]:
        """A process of ours, ready; started again when it ends, ended with the context."""
        part = self._state.parts[name] = PartState()
        process = await self._start(name, arguments, inherited)

        async def watch(process: asyncio.subprocess.Process) -> None:
            pause = _FIRST_PAUSE
            while True:
                began = time.monotonic()
                code = await process.wait()
                if self._ending.is_set():
                    return
                pause = _FIRST_PAUSE if time.monotonic() - began > _LONG_RUN else pause
                part.ready = False
                part.restarts += 1
                self._say(f"the {name} has ended ({_how(code)}); it is started again")
                self._tell()
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                try:
                    process = await self._start(name, arguments, inherited)
                except (UpError, OSError) as error:
                    self._say(str(error))

        task = asyncio.create_task(self._lasting(watch(process)))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await _end(self._processes[name])

    async def _start(
        self, name: str, arguments: list[str], inherited: Sequence[socket.socket]
    ) -> asyncio.subprocess.Process:
        """
        Raises:
            UpError: it has ended, or says nothing for too long.
        """
        reader, writer = os.pipe()
        log = self._home.logs / f"{name}.log"
        command = [sys.executable, "-m", "mizzen.cli", "acm", *arguments]
        command += [f"--parent={os.getpid()}", f"--ready={writer}"]
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[writer, *(one.fileno() for one in inherited)],
                start_new_session=True,
            )
        os.close(writer)
        self._processes[name] = process
        part = self._state.parts[name]
        part.pid = process.pid
        self._tell()
        with os.fdopen(reader, "rb", buffering=0) as pipe:
            told = await _within(self._ending, _READY_PATIENCE, _line(pipe.fileno()))
        if told is None or self._ending.is_set():
            if self._ending.is_set():
                return process
            await _end(process)
            said = _last_line(log)
            raise UpError(
                f"the {name} has not said within {_READY_PATIENCE:.0f} s that it is ready"
                f"{f'; it said last: {said}' if said else ''} (see {log})"
            )
        if not told:
            await process.wait()
            raise UpError(f"the {name} did not start: {_last_line(log) or 'it says nothing'} (see {log})")
        part.ready = True
        self._tell()
        return process


async def _line(descriptor: int) -> bytes:
    """What comes first from a pipe; empty when its other end closes."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        await readable.wait()
        return os.read(descriptor, 100)
    finally:
        loop.remove_reader(descriptor)


async def _within(ending: asyncio.Event, seconds: float, work: Coroutine[Any, Any, bytes]) -> bytes | None:
    """What ``work`` comes to, or None when the time is up or everything ends."""
    task, end = asyncio.create_task(work), asyncio.create_task(ending.wait())
    try:
        await asyncio.wait({task, end}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        end.cancel()
        await asyncio.wait({task, end})


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _END_PATIENCE)
    except TimeoutError:
        process.kill()
        await process.wait()


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line for line in reversed(lines) if line.strip()), "")


@contextlib.contextmanager
def locked(home: AcmHome) -> Iterator[None]:
    """One set in a home.

    Raises:
        UpError: there is one.
    """
    with home.lock.open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise already_running(home) from None
        yield


@contextlib.contextmanager
def bound(port: int) -> Iterator[socket.socket]:
    """A listening socket of this machine's own address.

    Raises:
        UpError: the port is taken.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((_HOST, port))
            listening.listen(128)
        except OSError as error:
            raise UpError(
                f"port {port} of {_HOST} is taken ({error.strerror}); choose another with --rest-port (0 means any)"
            ) from None
        listening.set_inheritable(True)
        yield listening
