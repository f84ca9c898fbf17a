"""What a probe or a hook does once: ask by HTTP, open a connection, call gRPC's health service, or run a command.

HTTP is spoken on a connection of its own that is closed afterwards: a probe is to find out whether the server takes
connections, which one that was kept would not tell.
"""

from __future__ import annotations

import asyncio
import functools
import os
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httptools
import msgspec

from mizzen.apis.meta import Mapping
from mizzen.cluster.node import grpchealth
from mizzen.cluster.node.runtime.errors import RuntimeFailure
from mizzen.cluster.node.runtime.spec import ExecResult

_LARGEST_BODY = 10 * 1024
_LONGEST_OUTPUT = 1024

# Runs a command inside the container, with seconds until it is killed.
Run = Callable[[Sequence[str], float], Awaitable[ExecResult]]


class Result(msgspec.Struct, frozen=True):
    """Whether a check succeeded, and if not, what happened instead."""

    ok: bool
    message: str = ""


class Target(msgspec.Struct, frozen=True):
    """Whom a check is about.

    Attributes:
        address: where the container listens.
        ports: its named ports.
        run: runs a command inside it.
    """

    address: str
    ports: dict[str, int]
    run: Run

    def port(self, given: int | str) -> int:
        """The number of a port that may be given by its name. Raises ``ValueError``."""
        if isinstance(given, int):
            return given
        if given in self.ports:
            return self.ports[given]
        if given.isdecimal():
            return int(given)
        raise ValueError(f"the container has no port named {given!r} (it has: {', '.join(self.ports) or 'none'})")


def named_ports(container: Mapping) -> dict[str, int]:
    return {port["name"]: int(port["containerPort"]) for port in container.get("ports") or () if port.get("name")}


async def check(handler: Mapping, target: Target, timeout: float) -> Result:
    """Do what the handler of a probe or hook says, in at most ``timeout`` seconds."""
    try:
        if handler.get("exec"):
            return await _run(handler["exec"].get("command") or [], target, timeout)
        async with asyncio.timeout(timeout):
            if handler.get("httpGet"):
                return await _get(handler["httpGet"], target)
            if handler.get("tcpSocket"):
                return await _open(handler["tcpSocket"], target)
            if handler.get("grpc"):
                action = handler["grpc"]
                port = target.port(action["port"])
                await grpchealth.check(target.address, port, action.get("service") or "", timeout)
                return Result(True)
    except TimeoutError:
        return Result(False, f"{_where(handler, target)}: no answer within {timeout:g} s")
    except (ValueError, grpchealth.Unhealthy) as error:
        return Result(False, str(error))
    except OSError as error:
        return Result(False, f"{_where(handler, target)}: {_words(error)}")
    return Result(False, "it has no handler: exec, httpGet, tcpSocket or grpc")


def _where(handler: Mapping, target: Target) -> str:
    action = handler.get("httpGet") or handler.get("tcpSocket") or handler.get("grpc") or {}
    return f"{action.get('host') or target.address}:{action.get('port')}"


async def _run(command: Sequence[str], target: Target, timeout: float) -> Result:
    try:
        done = await target.run(command, timeout)
    except RuntimeFailure as error:
        return Result(False, str(error))
    output = done.output[:_LONGEST_OUTPUT].decode(errors="replace").strip()
    if done.timed_out:
        return Result(False, f"the command had not ended after {timeout:g} s{': ' + output if output else ''}")
    return Result(done.exit_code == 0, output or f"the command ended with exit code {done.exit_code}")


async def _open(action: Mapping, target: Target) -> Result:
    host, port = action.get("host") or target.address, target.port(action["port"])
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, host, port)
    transport.close()
    return Result(True)


async def _get(action: Mapping, target: Target) -> Result:
    host, port = action.get("host") or target.address, target.port(action["port"])
    scheme = (action.get("scheme") or "HTTP").lower()
    path = action.get("path") or "/"
    path = path if path.startswith("/") else f"/{path}"
    headers = {field["name"]: field.get("value") or "" for field in action.get("httpHeaders") or ()}
    message = _request(host, port, path, headers)
    answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    transport, _ = await asyncio.get_running_loop().create_connection(
        lambda: _Exchange(message, answered), host, port, ssl=_any_certificate() if scheme == "https" else None
    )
    try:
        status = await answered
    finally:
        transport.close()
    if 200 <= status < 400:
        return Result(True)
    return Result(False, f"HTTP probe failed with statuscode: {status} ({scheme}://{host}:{port}{path})")


def _request(host: str, port: int, path: str, headers: dict[str, str]) -> bytes:
    named = {name.lower() for name in headers}
    defaults = {"Host": f"{host}:{port}", "User-Agent": "kube-probe/mizzen", "Accept": "*/*", "Connection": "close"}
    fields = {name: value for name, value in defaults.items() if name.lower() not in named} | headers
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    text = f"GET {path} HTTP/1.1\r\n{head}\r\n"
    if "\r\n\r\n" in text[:-4] or "\n" in path:
        raise ValueError("the path or a header of the probe holds a line break")
    return text.encode("latin-1", "replace")


class _Exchange(asyncio.Protocol):
    """Sends a request, and gives back the status when the answer is complete (or long enough)."""

    def __init__(self, message: bytes, answered: asyncio.Future[int]) -> None:
        self._message = message
        self._answered = answered
        self._parser = httptools.HttpResponseParser(self)
        self._status = 0
        self._received = 0

    def connection_made(self, transport: Any) -> None:
        transport.write(self._message)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(ValueError(f"the answer is not HTTP/1.1: {error}"))
            return
        if self._received > _LARGEST_BODY and self._status >= 200:
            self._succeed()

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()

    def on_message_complete(self) -> None:
        if self._status >= 200:
            self._succeed()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._status >= 200:
            # A body without a length ends with the connection.
            self._succeed()
        else:
            self._fail(exc or ConnectionResetError("the server closed the connection without an answer"))

    def _succeed(self) -> None:
        if not self._answered.done():
            self._answered.set_result(self._status)

    def _fail(self, error: Exception) -> None:
        if not self._answered.done():
            self._answered.set_exception(error)


@functools.cache
def _any_certificate() -> ssl.SSLContext:
    """A probe asks whether the server answers, not who it is."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _words(error: OSError) -> str:
    if error.errno and error.errno > 0:
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__
