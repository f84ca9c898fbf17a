"""The HTTPS server: one handler for every path, on aiohttp's low-level server and uvloop.

It reads requests, asks who sends them, hands them to the room that answers, and writes replies and streams with the
headers clients insist on. :func:`run` is the whole life of an API server, from opening the store to the last watch.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import platform
import zlib
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict

from mizzen.apis.apiextensions import CUSTOM_RESOURCE_DEFINITION
from mizzen.cluster.apiserver import builtin
from mizzen.cluster.apiserver.api import Api, Request, method_not_allowed
from mizzen.cluster.apiserver.auth import ANONYMOUS, Authenticator, server_context, unauthorized
from mizzen.cluster.apiserver.builtin.addresses import Addresses
from mizzen.cluster.apiserver.builtin.services import Services
from mizzen.cluster.apiserver.config import ApiServerConfig
from mizzen.cluster.apiserver.custom.definition import CustomResourceDefinitions
from mizzen.cluster.apiserver.custom.definitions import Definitions
from mizzen.cluster.apiserver.discovery import Discovery
from mizzen.cluster.apiserver.housekeeping import Housekeeping
from mizzen.cluster.apiserver.negotiation import negotiate
from mizzen.cluster.apiserver.registry import Registry
from mizzen.cluster.apiserver.reply import Reply, Stream, json_reply, text_reply
from mizzen.cluster.apiserver.requests import resource_path
from mizzen.cluster.apiserver.store import DiskFull, Store, StoreError
from mizzen.kube.errors import ApiError

if TYPE_CHECKING:
    from mizzen.cluster.apiserver.openapi import OpenApi

log = logging.getLogger(__name__)

VERSION = "v1.33.0+mizzen"
_BODY_LIMIT = 3 * 1024 * 1024
# How long a client may take to send a body, and to take a piece of an answer, in seconds.
_BODY_SECONDS = 60.0
_STALLED_SECONDS = 60.0
_COMPRESSED_FROM = 128 * 1024
_PIECE = 256 * 1024
# Every object in memory is looked at in a full collection. With Python's own thresholds that happens several times a
# second under load and holds requests up for tens of milliseconds. The server makes few cycles: seldom is enough.
_COLLECT = (20_000, 10, 100)
# Selectors make long request lines.
_LINE_LIMIT = 64 * 1024
_SHUTDOWN_SECONDS = 3.0
# Watches end by themselves when their hub closes; whatever else streams is ended after this.
_LAST_WORDS_SECONDS = 0.2
# Asked for by a name that is no legal media type, answered by one that is, as kube-apiserver does.
_SWAGGER_ASKED = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
_SWAGGER = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_HEALTH = ("/healthz", "/livez", "/readyz")
_HEADERS = {"Cache-Control": "no-cache, private"}


async def run(config: ApiServerConfig, *, ready: Callable[[], None]) -> None:
    """Serve until the task is cancelled, then end every stream cleanly and close the store.

    ``ready`` is called once requests are answered.

    Raises:
        StoreError: the store cannot be opened.
    """
    gc.set_threshold(*_COLLECT)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(Store.open(config.data_dir / "store.db", reserve=config.reserve))
        services = Services(Addresses(config.service_network))
        stack.callback(services.follow(store))
        registry = Registry(builtin.resources(services))
        api = Api(config, store, registry)
        definitions = Definitions(store, registry, api.hubs.close_one)
        registry.replace(CUSTOM_RESOURCE_DEFINITION.qualified, [CustomResourceDefinitions(definitions.taken)])
        stack.callback(definitions.follow())
        housekeeping = Housekeeping(api, definitions)
        await housekeeping.prepare()
        server = Server(api, Authenticator(config.credentials))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(store.writing())
            tasks.create_task(housekeeping.run())
            await server.serve(config, ready)


class Server:
    """Answers HTTP requests."""

    def __init__(self, api: Api, authenticator: Authenticator) -> None:
        self._api = api
        self._authenticator = authenticator
        self._discovery = Discovery(api.registry)
        self._openapi: OpenApi | None = None
        # What ends a stream from outside, for every stream that is being written.
        self._streams: set[asyncio.Timeout] = set()

    async def serve(self, config: ApiServerConfig, ready: Callable[[], None]) -> None:
        """Answer until cancelled."""
        loop = asyncio.get_running_loop()
        # A handler is cancelled when its client goes away, so that no watch outlives its reader.
        protocol = web.Server(
            self._answer,
            handler_cancellation=True,
            access_log=None,
            logger=_protocol_log(),
            max_line_size=_LINE_LIMIT,
            max_field_size=_LINE_LIMIT,
        )
        listener = await loop.create_server(protocol, sock=config.sock, ssl=server_context(config.credentials))
        try:
            ready()
            await asyncio.Event().wait()
        finally:
            listener.close()
            self._api.hubs.close()
            for stream in self._streams:
                stream.reschedule(loop.time() + _LAST_WORDS_SECONDS)
            await protocol.shutdown(_SHUTDOWN_SECONDS)

    async def _answer(self, http: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._answered(http)
        except (ConnectionError, TimeoutError):
            # The client has gone, or has stopped reading or writing in the middle. There is nothing left to say to it:
            # what is returned here finds the connection closed, which aiohttp takes quietly.
            if http.transport is not None:
                http.transport.abort()
            return web.Response()

    async def _answered(self, http: web.BaseRequest) -> web.StreamResponse:
        try:
            found = await self._found(http)
            if isinstance(found, Stream):
                return await self._send_stream(http, found)
        except ApiError as error:
            found = _error_reply(error)
        except DiskFull as error:
            found = _error_reply(ApiError(507, "InsufficientStorage", str(error)))
        except StoreError as error:
            found = _error_reply(ApiError(500, "InternalError", str(error)))
        except _PlainNotFound:
            found = text_reply("404 page not found\n", 404)
        except (ConnectionError, TimeoutError):
            raise
        except Exception:
            log.exception("%s %s failed", http.method, http.path)
            text = "an internal error occurred; the server's log says more"
            found = _error_reply(ApiError(500, "InternalError", text))
        return await _send(http, found)

    async def _found(self, http: web.BaseRequest) -> Reply | Stream:
        user = self._authenticator.user(http.headers, http.get_extra_info("peercert"))
        path = http.path.rstrip("/") or "/"
        if user is ANONYMOUS and not (_is_health(path) or path == "/version"):
            raise unauthorized()
        # Authorization has its place here: before anybody learns what exists.
        named = resource_path(http.path)
        if named is None:
            return await self._document(http, path)
        if not self._api.registry.has_version(named.group, named.version):
            raise _PlainNotFound
        body = await _read(http) if http.can_read_body else b""
        query = {name: http.query[name] for name in http.query}
        return await self._api.handle(Request(http.method, named, query, http.headers, body, user.name))

    async def _document(self, http: web.BaseRequest, path: str) -> Reply:
        if http.method != "GET":
            raise method_not_allowed()
        if _is_health(path):
            return text_reply("ok")
        if path == "/version":
            return json_reply(version())
        if path.startswith(("/openapi/v2", "/openapi/v3")):
            return await self._openapi_document(path, http)
        form = negotiate(http.headers.get("Accept", ""), ("object", "discovery"))
        found = self._discovery.document(path, form)
        if found is None:
            raise _PlainNotFound
        body, media = found
        return Reply(body, content_type=media)

    async def _send_stream(self, http: web.BaseRequest, stream: Stream) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": stream.content_type, **_HEADERS})
        response.enable_chunked_encoding()

        async def write(data: bytes) -> None:
            if not response.prepared:
                await response.prepare(http)
            if data:
                async with asyncio.timeout(_STALLED_SECONDS):
                    await response.write(data)

        end = asyncio.timeout(None)
        try:
            async with end:
                self._streams.add(end)
                await stream.run(write)
        except TimeoutError:
            if not end.expired():
                raise
        finally:
            self._streams.discard(end)
        await write(b"")
        await response.write_eof()
        return response

    async def _openapi_document(self, path: str, http: web.BaseRequest) -> Reply:
        if self._openapi is None:
            # Most installations are never asked, and the schemas it reads weigh some megabytes.
            from mizzen.cluster.apiserver.openapi import OpenApi

            self._openapi = OpenApi(self._api.registry, VERSION)
        if path == "/openapi/v2":
            accept = http.headers.get("Accept", "")
            if _SWAGGER_ASKED not in accept and _SWAGGER not in accept:
                raise ApiError(406, "NotAcceptable", f"only the following media types are accepted: {_SWAGGER}", {})
            body, hashed = await self._openapi.swagger()
            return Reply(body, gzipped=True, content_type=_SWAGGER, headers={"ETag": f'"{hashed}"'})
        name = path.removeprefix("/openapi/v3").strip("/")
        if not name:
            return json_reply(self._openapi.index())
        found = await self._openapi.document(name)
        if found is None:
            raise _PlainNotFound
        body, hashed = found
        reply = Reply(body, gzipped=True, headers={"ETag": f'"{hashed}"'})
        if http.query.get("hash") == hashed:
            # Under its hash a document never changes.
            reply.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return reply


class _PlainNotFound(Exception):
    """Nothing is served at the path, not even a group; the answer is plain text, as everywhere."""


async def _read(http: web.BaseRequest) -> bytes:
    """The body of a request. Raises 413 if it is too large, and ``TimeoutError`` if it does not come."""
    if (http.content_length or 0) > _BODY_LIMIT:
        raise _too_large()
    if http.headers.get("Expect", "").lower() == "100-continue":
        await http.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    parts: list[bytes] = []
    size = 0
    async with asyncio.timeout(_BODY_SECONDS):
        async for part in http.content.iter_any():
            size += len(part)
            if size > _BODY_LIMIT:
                raise _too_large()
            parts.append(part)
    return b"".join(parts)


async def _send(http: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    headers = CIMultiDict({"Content-Type": reply.content_type, **_HEADERS, **reply.headers})
    for warning in reply.warnings:
        headers.add("Warning", f'299 - "{_quoted(warning)}"')
    body = reply.body
    if "gzip" not in http.headers.get("Accept-Encoding", ""):
        body = await asyncio.to_thread(zlib.decompress, body, 31) if reply.gzipped else body
    elif reply.gzipped or len(body) >= _COMPRESSED_FROM:
        body = body if reply.gzipped else await asyncio.to_thread(_compressed, body)
        headers["Content-Encoding"] = "gzip"
        headers["Vary"] = "Accept-Encoding"
    if len(body) <= _PIECE:
        return web.Response(body=body, status=reply.code, headers=headers)
    response = web.StreamResponse(status=reply.code, headers=headers)
    response.content_length = len(body)
    await response.prepare(http)
    for start in range(0, len(body), _PIECE):
        async with asyncio.timeout(_STALLED_SECONDS):
            await response.write(body[start : start + _PIECE])
    await response.write_eof()
    return response


def _protocol_log() -> logging.Logger:
    """The log of the HTTP protocol, without what clients get wrong: they are told, and that is enough."""

    def is_ours(record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))

    found = logging.getLogger(f"{__name__}.protocol")
    if not found.filters:
        found.addFilter(is_ours)
    return found


def _error_reply(error: ApiError) -> Reply:
    reply = json_reply(error.status, error.code)
    seconds = (error.details or {}).get("retryAfterSeconds")
    if seconds:
        reply.headers = {"Retry-After": str(seconds)}
    return reply


def _too_large() -> ApiError:
    message = f"Request entity too large: limit is {_BODY_LIMIT}"
    return ApiError(413, "RequestEntityTooLarge", message)


def _is_health(path: str) -> bool:
    return path in _HEALTH or path.startswith(tuple(f"{health}/" for health in _HEALTH))


def _compressed(body: bytes) -> bytes:
    # Level 1: the way is short, so what counts is the time it takes.
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(body) + packer.flush()


def _quoted(text: str) -> str:
    """A warning as a quoted string of a header, on one line of printable ASCII."""
    printable = "".join(character if " " <= character <= "~" else "?" for character in text)
    return printable.replace("\\", "\\\\").replace('"', '\\"')[:4096]


def version() -> dict[str, str]:
    """What ``/version`` says."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    major, minor, _ = VERSION.removeprefix("v").split(".", 2)
    return {
        "major": major,
        "minor": minor,
        "gitVersion": VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "2025-04-23T13:00:00Z",
        "goVersion": "none",
        "compiler": platform.python_implementation(),
        "platform": f"{platform.system().lower()}/{machine}",
    }
