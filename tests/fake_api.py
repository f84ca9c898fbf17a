"""A small API server that misbehaves on request: for what a real one does rarely, and a client must survive.

It holds objects of any kind under one revision count, lists them in pages, and tells watchers of changes. A test can
delay the events, send them twice, break the streams, forget the past (410) or answer nonsense.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from mizzen.apis.meta import ResourceDef
from mizzen.kube.client import Client
from mizzen.kube.config import ClusterConfig

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FakeApi:
    """Attributes that a test sets:

    ``flowing``: cleared, it holds events back. ``repeats``: how often each event is sent. ``page``: how many objects a
    list shows at once, whatever is asked for. ``answers``: what to answer the next requests with instead, in order.
    """

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.history: list[tuple[str, str, dict[str, Any]]] = []
        self.forgotten = 0
        self.revision = 10
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.repeats = 1
        self.page = 0
        self.answers: list[Answer] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.bodies: list[Any] = []
        self.url = ""
        self._changed = asyncio.Condition()
        self._streams: set[web.StreamResponse] = set()
        self._ended = 0

    async def put(self, resource: ResourceDef, name: str, namespace: str = "default", **fields: Any) -> dict[str, Any]:
        """Create or replace an object; ``metadata`` adds to its metadata. Returns it as an answer would."""
        key = (resource.plural, namespace if resource.namespaced else "", name)
        self.revision += 1
        metadata = {"name": name, "uid": f"uid-{name}-{self.revision}"} | fields.pop("metadata", {})
        if resource.namespaced:
            metadata["namespace"] = namespace
        old = self.objects.get(key)
        if old is not None:
            metadata["uid"] = old["metadata"]["uid"]
        metadata["resourceVersion"] = str(self.revision)
        self.objects[key] = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata} | fields
        await self._tell("ADDED" if old is None else "MODIFIED", resource.plural, self.objects[key])
        return copy.deepcopy(self.objects[key])

    async def remove(self, resource: ResourceDef, name: str, namespace: str = "default") -> dict[str, Any]:
        found = self.objects.pop((resource.plural, namespace if resource.namespaced else "", name))
        self.revision += 1
        last = copy.deepcopy(found)
        last["metadata"]["resourceVersion"] = str(self.revision)
        await self._tell("DELETED", resource.plural, last)
        return last

    async def _tell(self, kind: str, plural: str, found: dict[str, Any]) -> None:
        self.history.append((kind, plural, copy.deepcopy(found)))
        async with self._changed:
            self._changed.notify_all()

    async def bookmark(self, resource: ResourceDef) -> None:
        """Tell the watchers how far they are, though nothing of theirs has changed."""
        self.revision += 1
        found = {"kind": resource.kind, "metadata": {"resourceVersion": str(self.revision)}}
        await self._tell("BOOKMARK", resource.plural, found)

    def forget(self) -> None:
        """From now on nobody can go on from a version before this one."""
        self.forgotten = self.revision

    async def end_streams(self) -> None:
        """End every watch as a server does whose time is up."""
        self._ended += 1
        async with self._changed:
            self._changed.notify_all()

    def break_streams(self) -> None:
        """Break every watch off in the middle of a line."""
        for stream in self._streams:
            transport = stream._req.transport if stream._req else None
            if transport is not None:
                transport.write(b'20\r\n{"type": "MODIFIED", "object": {\r\n')
                transport.close()

    @property
    def watches(self) -> int:
        return len(self._streams)

    def count(self, method: str, *, watch: bool | None = None) -> int:
        return sum(one == method and (watch is None or watch is ("watch" in query)) for one, _, query in self.requests)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        self.requests.append((request.method, request.path, query))
        body = await request.read()
        self.bodies.append(json.loads(body) if body else None)
        if self.answers:
            return await self.answers.pop(0)(request)
        if request.method != "GET":
            return status(405, "MethodNotAllowed")
        plural = request.path.rpartition("/")[2]
        if "watch" in query:
            return await self._watch(request, plural, int(query.get("resourceVersion") or 0))
        return self._list(plural, query)

    def _list(self, plural: str, query: dict[str, str]) -> web.Response:
        found = [obj for (of, *_), obj in sorted(self.objects.items()) if of == plural]
        first = int(query.get("continue") or 0)
        shown = found[first : first + self.page] if self.page else found[first:]
        metadata = {"resourceVersion": str(self.revision)}
        if first + len(shown) < len(found):
            metadata["continue"] = str(first + len(shown))
        # The items of a list do not say of what kind they are.
        items = [{key: value for key, value in obj.items() if key not in ("apiVersion", "kind")} for obj in shown]
        return web.json_response({"kind": "List", "metadata": metadata, "items": items})

    async def _watch(self, request: web.Request, plural: str, version: int) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": "application/json"})
        await stream.prepare(request)
        if version < self.forgotten:
            expired = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
            await stream.write(json.dumps({"type": "ERROR", "object": expired}).encode() + b"\n")
            return stream
        ended, seen = self._ended, 0
        self._streams.add(stream)
        try:
            while ended == self._ended:
                async with self._changed:
                    while len(self.history) <= seen and ended == self._ended:
                        await self._changed.wait()
                for kind, of, found in self.history[seen:]:
                    seen += 1
                    if of != plural or int(found["metadata"]["resourceVersion"]) <= version:
                        continue
                    await self.flowing.wait()
                    line = json.dumps({"type": kind, "object": found}).encode() + b"\n"
                    await stream.write(line * self.repeats)
        finally:
            self._streams.discard(stream)
        return stream


def status(code: int, reason: str, message: str = "no", **details: Any) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
    return web.json_response(body | {"message": message} | ({"details": details} if details else {}), status=code)


def refusing(code: int, reason: str, message: str = "no") -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return status(code, reason, message)

    return answer


def saying(body: bytes | str, code: int = 200, content_type: str = "application/json") -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        data = body.encode() if isinstance(body, str) else body
        return web.Response(body=data, status=code, content_type=content_type)

    return answer


async def hanging_up(request: web.Request) -> web.StreamResponse:
    """Close the connection without an answer."""
    if request.transport is not None:
        request.transport.close()
    return web.Response()


@asynccontextmanager
async def fake_api() -> AsyncIterator[FakeApi]:
    api = FakeApi()
    runner = web.AppRunner(_application(api), handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    api.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield api
    finally:
        await runner.cleanup()


def _application(api: FakeApi) -> web.Application:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", api.answer)
    return application


@asynccontextmanager
async def client_of(api: FakeApi) -> AsyncIterator[Client]:
    async with Client(ClusterConfig(server=api.url), field_manager="tester") as client:
        yield client


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for something to become true; how long is only a limit."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
