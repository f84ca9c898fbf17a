"""vLLM, llama.cpp or any other server of the OpenAI protocol, behind this one's routes.

A model's settings name its address, or a command that starts it on a port of its own. Requests and answers pass
unchanged (but for the model's name, where the other server has another), streams as they come; a client that goes away
ends its request there, too. What is said when no answer comes is KServe's (data plane reference, 3.3).
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import logging
import shlex
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from mizzen.http.client import Client, Timeouts
from mizzen.http.errors import HttpError, TimedOut
from mizzen.http.headers import Headers
from mizzen.http.response import Response
from mizzen.serve.errors import LoadError
from mizzen.serve.generation.relay import Answer, Relay, RelayLane, UpstreamError
from mizzen.serve.lanes.scheduling import Scheduling
from mizzen.serve.observing.metrics import ModelMetrics
from mizzen.serve.runtimes import guardian
from mizzen.serve.spec import ModelSpec

logger = logging.getLogger(__name__)

CONNECT = 5.0

# Fields of a request that concern the other server, and of its answer that concern the client.
_PASSED = {b"accept", b"authorization", b"traceparent", b"tracestate", b"x-request-id"}
_RETURNED = {b"content-type", b"cache-control", b"retry-after", b"x-accel-buffering", b"x-request-id"}


class Settings(Struct, kw_only=True):
    """Attributes:
    upstream: the other server's address, ``http://host:port/v1``.
    upstream_command: starts it; ``{port}`` and ``{model_dir}`` stand for its port and the model's folder.
    upstream_model: what it calls the model; None is what we call it.
    upstream_api_key: sent instead of the client's own.
    upstream_timeout: seconds until its answer begins.
    upstream_startup: seconds until a server that was started here must answer.
    upstream_health: the path that says that it does; others are tried if it is not there.
    """

    upstream: str | None = None
    upstream_command: str | list[str] | None = None
    upstream_model: str | None = None
    upstream_api_key: str | None = None
    upstream_timeout: float = 600.0
    upstream_startup: float = 600.0
    upstream_health: str = "/health"


def build(spec: ModelSpec, environ: Mapping[str, str]) -> Upstream:
    """Raises:
    LoadError: a setting cannot be used.
    """
    given = {name: value for name, value in spec.settings.items() if name in Settings.__struct_fields__}
    try:
        settings = msgspec.convert(given, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise LoadError(f"model {spec.name}: {error}") from None
    return Upstream(spec.name, spec.directory, settings, environ, spec.version)


class Upstream(Relay):
    """Args:
    directory: the model's files, for the command.
    """

    def __init__(
        self, name: str, directory: Path, settings: Settings, environ: Mapping[str, str], version: str | None = None
    ) -> None:
        super().__init__(name, version)
        self.platform = "openai"
        self._directory = directory
        self._settings = settings
        self._environ = environ
        self._base = _base(name, settings)
        self._child: Child | None = None
        self._client: Client | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stuck: Callable[[str], None] | None = None
        self._ending = False
        self._fate = ""

    def load(self) -> None:
        command = self._settings.upstream_command
        if command is None:
            return
        port = _free_port()
        self._base = f"http://127.0.0.1:{port}/v1"
        words = shlex.split(command) if isinstance(command, str) else command
        self._child = Child(
            [word.replace("{port}", str(port)).replace("{model_dir}", str(self._directory)) for word in words],
            self._environ,
        )
        try:
            self._child.await_health(port, self._settings.upstream_health, self._settings.upstream_startup)
        except LoadError as error:
            self._child.end()
            raise LoadError(f"model {self.name}: {error}") from None
        threading.Thread(target=self._watch, name=f"upstream of {self.name}", daemon=True).start()

    def unload(self) -> None:
        self._ending = True
        if self._child is not None:
            self._child.end()

    def open_lane(self, metrics: ModelMetrics, scheduling: Scheduling, stuck: Callable[[str], None]) -> RelayLane:
        self._stuck = stuck
        return UpstreamLane(self, metrics, scheduling)

    @contextlib.asynccontextmanager
    async def ask(self, path: str, body: bytes, headers: Headers) -> AsyncIterator[Answer]:
        self._loop = asyncio.get_running_loop()
        if self._fate and self._stuck is not None:
            self._stuck(self._fate)
        if self._client is None:
            secure = self._base.startswith("https:")
            self._client = Client(environ=self._environ, ssl=ssl.create_default_context() if secure else None)
        timeouts = Timeouts(connect=CONNECT, head=self._settings.upstream_timeout)
        fields = [(b"content-type", b"application/json"), *self._passed(headers)]
        with _told():
            response = await self._client.request(
                "POST", f"{self._base}/{path}", headers=fields, body=self._renamed(body), timeouts=timeouts
            )
        async with response:
            yield Passed(response)

    def close(self) -> None:
        """End the connections. For the loop; requests under way are cut off."""
        if self._client is not None:
            client, self._client = self._client, None
            self._closing = asyncio.get_running_loop().create_task(client.close())

    def _passed(self, headers: Headers) -> Headers:
        found = [pair for pair in headers if pair[0] in _PASSED]
        key = self._settings.upstream_api_key
        if key is not None:
            found = [pair for pair in found if pair[0] != b"authorization"]
            found.append((b"authorization", b"Bearer " + key.encode()))
        return found

    def _renamed(self, body: bytes) -> bytes:
        name = self._settings.upstream_model
        if name is None:
            return body
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        fields["model"] = msgspec.Raw(msgspec.json.encode(name))
        return msgspec.json.encode(fields)

    def _watch(self) -> None:
        """Wait for the command's end, which nobody has asked for."""
        assert self._child is not None
        fate = self._child.wait()
        if self._ending:
            return
        self._fate = f"its server {fate}"
        logger.error("model %s: %s", self.name, self._fate)
        if self._loop is not None and self._stuck is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the server ends as well
                self._loop.call_soon_threadsafe(self._stuck, self._fate)


class UpstreamLane(RelayLane):
    """Ends the connections with the model."""

    def __init__(self, model: Upstream, metrics: ModelMetrics, scheduling: Scheduling) -> None:
        super().__init__(model, metrics, scheduling)
        self._upstream = model

    def close(self) -> None:
        self._upstream.close()


class Passed(Answer):
    """Another server's answer, as it passes through."""

    def __init__(self, response: Response) -> None:
        self._response = response
        self.status = response.status
        self.headers = [pair for pair in response.headers if pair[0] in _RETURNED]
        self.streams = (response.header(b"content-type") or b"").startswith(b"text/event-stream")

    async def read(self) -> bytes:
        with _told():
            return await self._response.read()

    async def pieces(self) -> AsyncIterator[bytes]:
        with _told():
            while piece := await self._response.piece():
                yield piece


class Child:
    """The other server's process, and the one that guards it.

    Args:
        command: words.
    """

    def __init__(self, command: list[str], environ: Mapping[str, str]) -> None:
        self._said: deque[str] = deque(maxlen=5)
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", guardian.__file__, *command],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environ),
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def await_health(self, port: int, path: str, patience: float) -> None:
        """Wait until it answers. Blocking.

        Raises:
            LoadError: it has ended, or takes too long.
        """
        until = time.monotonic() + patience
        paths = [path, "/v1/models"]
        while True:
            for one in paths:
                if _healthy(port, one):
                    return
            if self._process.poll() is not None:
                raise LoadError(f"its server {self.wait()}")
            if time.monotonic() >= until:
                raise LoadError(f"its server does not answer {' nor '.join(paths)} after {patience:g} s")
            time.sleep(0.1)

    def wait(self) -> str:
        """Wait for its end, and say how it came."""
        code = self._process.wait()
        self._reader.join(1.0)
        said = f": {' / '.join(self._said)}" if self._said else ""
        return f"ended with exit code {code}{said}"

    def end(self) -> None:
        """End it, and wait until it has."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(2.5 * guardian.GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                if line.strip():
                    self._said.append(line.strip())
                sys.stderr.write(line)


@contextlib.contextmanager
def _told() -> Any:
    """Say in the protocol's words why the other server's answer does not come."""
    try:
        yield
    except TimedOut as error:
        raise UpstreamError(f"Timed out when communicating with upstream: {error}", 504, "GatewayTimeout") from error
    except HttpError as error:
        raise UpstreamError(f"Failed to communicate with upstream: {error}", 503, "ServiceUnavailableError") from error


def _base(name: str, settings: Settings) -> str:
    url = settings.upstream
    if settings.upstream_command is not None:
        if url is not None:
            raise LoadError(f"model {name}: upstream and upstream_command are given, and only one of them can be")
        return ""
    parts = urlsplit(url or "")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        raise LoadError(f"model {name}: upstream must be an address such as http://localhost:8000/v1, not {url!r}")
    return str(url).rstrip("/")


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _healthy(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2.0)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < 300
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
