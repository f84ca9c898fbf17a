"""A client of the Kubernetes API: dictionaries in, dictionaries out, one method a verb.

Measured against listing 5,000 pods, this shape (aiohttp on uvloop, orjson, no model classes) took 0.27 s where the
official client took 3.9 s; controllers that want types decode what they read (:mod:`mizzen.apis`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Literal

import aiohttp
import msgspec
import orjson

from mizzen.apis.meta import ResourceDef
from mizzen.errors import MizzenError
from mizzen.kube.config import ClusterConfig
from mizzen.kube.errors import ApiError

Patch = Literal["json", "merge", "strategic"]

_PATCH_TYPES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}
Objects = list[dict[str, Any]]
RawItems = list[msgspec.Raw]
_APPLY = "application/apply-patch+yaml"
# Asks for metadata alone; a server that does not know the form answers with whole objects, which serve as well.
_METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json"
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"


# Seconds for a whole answer, but for streams; kube-apiserver itself gives up on a request after 60.
_PATIENCE = 90


class Unreachable(MizzenError):
    """The API server did not answer: it is down, restarting, or not where the configuration says."""


class ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class RawList(msgspec.Struct):
    """A list whose items are still bytes."""

    metadata: ListMeta
    items: list[msgspec.Raw] | None = None
    kind: str = ""


class WatchEvent(msgspec.Struct):
    """One line of a watch: ``type`` is ADDED, MODIFIED, DELETED, BOOKMARK or ERROR; the object is still bytes."""

    type: str
    object: msgspec.Raw


class Client:
    """Talks to one API server.

    Use it as an async context manager, or call :meth:`close`. Every method raises :class:`ApiError` for what the API
    refuses and :class:`Unreachable` when it does not answer.

    Args:
        config: which server, as whom.
        field_manager: the name under which this program's fields are managed.
    """

    def __init__(self, config: ClusterConfig, *, field_manager: str = "mizzen") -> None:
        self.config = config
        self.field_manager = field_manager
        headers = {"User-Agent": f"{field_manager}/mizzen", "Accept": "application/json"}
        if config.token:
            headers["Authorization"] = f"Bearer {config.token}"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=config.ssl_context() or False),
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
            auto_decompress=True,
            # One line of a watch may be a whole InferenceService CRD.
            read_bufsize=2**20,
        )

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._session.close()

    async def get(
        self, resource: ResourceDef, name: str, namespace: str = "", *, subresource: str | None = None
    ) -> dict[str, Any]:
        return await self._call("GET", resource.path(namespace, name, subresource))

    async def get_metadata(self, resource: ResourceDef, name: str, namespace: str = "") -> dict[str, Any]:
        """One object without all that is not its ``metadata``."""
        answer: dict[str, Any] = await self.raw("GET", resource.path(namespace, name), accept=_METADATA)
        return answer

    async def list(
        self,
        resource: ResourceDef,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> Objects:
        """Every object, with its kind and apiVersion. An empty namespace means all of them."""
        found, _ = await self.list_raw(
            resource, namespace, label_selector=label_selector, field_selector=field_selector
        )
        kinds = {"apiVersion": resource.api_version, "kind": resource.kind}
        return [kinds | msgspec.json.decode(item) for item in found]

    async def list_raw(
        self,
        resource: ResourceDef,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        page: int = 500,
    ) -> tuple[RawItems, str]:
        """Every object as bytes, and the resourceVersion that a watch goes on from.

        With ``metadata_only`` the objects are without all that is not their ``metadata``.
        """
        query = _given({"labelSelector": label_selector, "fieldSelector": field_selector, "limit": str(page)})
        items: RawItems = []
        while True:
            accept = _METADATA_LIST if metadata_only else ""
            body = await self._bytes("GET", resource.path(namespace), query, accept=accept)
            try:
                answer = msgspec.json.decode(body, type=RawList)
            except msgspec.DecodeError as error:
                raise self._unreadable(f"GET {resource.path(namespace)}", error) from error
            items += answer.items or []
            if not answer.metadata.continue_:
                return items, answer.metadata.resource_version
            query["continue"] = answer.metadata.continue_

    async def watch(
        self,
        resource: ResourceDef,
        namespace: str = "",
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        accept: str = "",
        timeout: int | None = None,
    ) -> AsyncIterator[WatchEvent]:
        """Changes after ``resource_version``, with bookmarks, until the server ends the stream.

        With ``metadata_only`` the objects are without all that is not their ``metadata``; with ``accept`` they are in
        any form that the API offers, such as a Table.

        Raises:
            ApiError: the stream was refused or broken by an ERROR event; code 410 asks for a new list.
        """
        query = _given(
            {
                "watch": "true",
                "allowWatchBookmarks": "true",
                "resourceVersion": resource_version,
                "labelSelector": label_selector,
                "fieldSelector": field_selector,
                "timeoutSeconds": str(timeout or ""),
            }
        )
        decoder = msgspec.json.Decoder(WatchEvent)
        accept = _METADATA if metadata_only else accept
        async with self._request("GET", resource.path(namespace), query, accept=accept) as response:
            buffer = bytearray()
            async for chunk in _chunks(response, self.config.server):
                buffer += chunk
                if b"\n" not in chunk:
                    continue
                *lines, rest = bytes(buffer).split(b"\n")
                buffer = bytearray(rest)
                for line in filter(None, lines):
                    try:
                        event = decoder.decode(line)
                    except msgspec.DecodeError as error:
                        raise self._unreadable("a watch", error) from error
                    if event.type == "ERROR":
                        raise ApiError.from_status(msgspec.json.decode(event.object))
                    yield event

    async def create(
        self,
        resource: ResourceDef,
        body: Mapping[str, Any],
        namespace: str = "",
        *,
        subresource: str | None = None,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        metadata = body.get("metadata") or {}
        name = metadata.get("name") if subresource else None
        path = resource.path(namespace or metadata.get("namespace") or "", name, subresource)
        query = _given({"fieldManager": self.field_manager, "dryRun": "All" if dry_run else ""})
        return await self._call("POST", path, query, body)

    async def update(
        self, resource: ResourceDef, body: Mapping[str, Any], *, subresource: str | None = None
    ) -> dict[str, Any]:
        metadata = body["metadata"]
        path = resource.path(metadata.get("namespace") or "", metadata["name"], subresource)
        return await self._call("PUT", path, {"fieldManager": self.field_manager}, body)

    async def patch(
        self,
        resource: ResourceDef,
        name: str,
        namespace: str,
        body: Any,
        *,
        kind: Patch = "merge",
        subresource: str | None = None,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        path = resource.path(namespace, name, subresource)
        query = _given({"fieldManager": self.field_manager, "dryRun": "All" if dry_run else ""})
        return await self._call("PATCH", path, query, body, _PATCH_TYPES[kind])

    async def apply(
        self,
        resource: ResourceDef,
        body: Mapping[str, Any],
        *,
        force: bool = True,
        subresource: str | None = None,
        dry_run: bool = False,
        field_validation: str = "",
    ) -> dict[str, Any]:
        """Server-side apply: make these fields so, and drop those this manager applied before and leaves out now."""
        metadata = body["metadata"]
        path = resource.path(metadata.get("namespace") or "", metadata["name"], subresource)
        query = _given(
            {
                "fieldManager": self.field_manager,
                "force": "true" if force else "false",
                "dryRun": "All" if dry_run else "",
                "fieldValidation": field_validation,
            }
        )
        return await self._call("PATCH", path, query, body, _APPLY)

    async def delete(
        self,
        resource: ResourceDef,
        name: str,
        namespace: str = "",
        *,
        propagation: str = "Background",
        grace_period: int | None = None,
        uid: str = "",
        resource_version: str = "",
    ) -> dict[str, Any]:
        """Delete one object. With ``uid``, only that very object and none that took its name since (409).

        With ``resource_version``, only if nobody has changed it since (409).
        """
        body: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        if grace_period is not None:
            body["gracePeriodSeconds"] = grace_period
        if uid or resource_version:
            body["preconditions"] = _given({"uid": uid, "resourceVersion": resource_version})
        return await self._call("DELETE", resource.path(namespace, name), None, body)

    @asynccontextmanager
    async def logs(self, name: str, namespace: str, query: Mapping[str, str]) -> AsyncIterator[aiohttp.StreamReader]:
        """A container's log as a stream of bytes; ``query`` as the API takes it (container, follow, tailLines, ...)."""
        async with self._request("GET", f"/api/v1/namespaces/{namespace}/pods/{name}/log", query) as response:
            try:
                yield response.content
            except aiohttp.ClientError as error:
                raise Unreachable(f"{self.config.server} broke off the log of {name}: {error}") from error

    async def raw(self, method: str, path: str, query: Mapping[str, str] | None = None, accept: str = "") -> Any:
        """Any path of the API, decoded from JSON: discovery, tables, ``/readyz``."""
        body = await self._bytes(method, path, query, accept=accept)
        return self._decoded(body, f"{method} {path}")

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        answer: dict[str, Any] = self._decoded(
            await self._bytes(method, path, query, body, content_type), f"{method} {path}"
        )
        return answer

    def _decoded(self, body: bytes, what: str) -> Any:
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise self._unreadable(what, error) from error

    def _unreadable(self, what: str, error: Exception) -> Unreachable:
        """Something answers there, but no Kubernetes API: a proxy's page, or a server of another kind."""
        return Unreachable(f"{self.config.server} answered {what} with what no Kubernetes API says: {error}")

    async def _bytes(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "",
    ) -> bytes:
        try:
            async with (
                asyncio.timeout(_PATIENCE),
                self._request(method, path, query, body, content_type, accept) as response,
            ):
                return await response.read()
        except TimeoutError as error:
            text = f"{self.config.server} has not answered {method} {path} within {_PATIENCE} seconds"
            raise Unreachable(text) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"{self.config.server} broke off its answer to {method} {path}: {error}") from error

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "",
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Accept": accept} if accept else {}
        data = None
        if body is not None:
            data = orjson.dumps(body)
            headers["Content-Type"] = content_type
        try:
            response = await self._session.request(
                method, self.config.server + path, params=query, data=data, headers=headers
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"the API server at {self.config.server} does not answer: {error}") from error
        async with response:
            if response.status >= 400:
                raise await _refusal(response)
            yield response


async def _chunks(response: aiohttp.ClientResponse, server: str) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.content.iter_any():
            yield chunk
    except (aiohttp.ClientError, OSError) as error:
        raise Unreachable(f"{server} broke off a watch: {error}") from error


async def _refusal(response: aiohttp.ClientResponse) -> ApiError:
    try:
        body = await response.read()
    except (aiohttp.ClientError, OSError) as error:
        return ApiError(response.status, "", f"{response.reason}; the answer broke off: {error}")
    try:
        status = orjson.loads(body)
        if isinstance(status, dict) and status.get("kind") == "Status":
            return ApiError.from_status(status, response.status)
    except orjson.JSONDecodeError:
        pass
    text = body.decode("utf-8", "replace").strip() or response.reason or "no message"
    return ApiError(response.status, "", text)


def _given(query: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in query.items() if value}
