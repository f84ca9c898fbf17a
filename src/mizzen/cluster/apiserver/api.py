"""The verbs: what each method on each resource path does, from a parsed request to a reply.

Nothing here is HTTP any more, and nothing is particular to a kind. The server hands in a :class:`Request`; what comes
back is a :class:`Reply` or a :class:`Stream`, or an :class:`ApiError` is raised.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import orjson

from mizzen.cluster.apiserver import subresources, writes
from mizzen.cluster.apiserver.admission import Admission, StoreReader
from mizzen.cluster.apiserver.config import ApiServerConfig
from mizzen.cluster.apiserver.deletion import DeleteOptions, Deletion, delete_options, deleted_status
from mizzen.cluster.apiserver.listing import list_objects
from mizzen.cluster.apiserver.logs import log_stream
from mizzen.cluster.apiserver.negotiation import JSON, Form, negotiate
from mizzen.cluster.apiserver.pipeline import Outcome, Pipeline, offloaded
from mizzen.cluster.apiserver.registry import Registry
from mizzen.cluster.apiserver.reply import Reply, Stream, json_reply
from mizzen.cluster.apiserver.requests import ListOptions, ResourcePath, WriteOptions, list_options, write_options
from mizzen.cluster.apiserver.resources import Resource
from mizzen.cluster.apiserver.store import Entry, Key, Store
from mizzen.cluster.apiserver.views import ListMeta, View, view_of
from mizzen.cluster.apiserver.watch import Hubs, Watcher
from mizzen.cluster.apiserver.writes import Body
from mizzen.kube import times
from mizzen.kube.errors import ApiError, not_found

# A table row costs some 60 us, so a long table is made in a thread.
_ROW_WEIGHT = 1024


class Request(msgspec.Struct, frozen=True):
    """One request for a resource, its body read."""

    method: str
    path: ResourcePath
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    user: str


class Api:
    """The resources of one server."""

    def __init__(self, config: ApiServerConfig, store: Store, registry: Registry) -> None:
        self.store = store
        self.registry = registry
        self.hubs = Hubs(store)
        self._node_socket = config.node_socket
        admission = Admission(config.admitters, StoreReader(store, registry))
        self.pipeline = Pipeline(store, admission, times.now)
        self.deletion = Deletion(self.pipeline, admission)

    async def handle(self, request: Request) -> Reply | Stream:
        """Answer a request. Raises :class:`ApiError`."""
        path = request.path
        resource = self.registry.find(path.group, path.version, path.plural)
        if resource is None or (path.namespace and not resource.definition.namespaced):
            raise no_such_resource()
        if path.subresource:
            reply = await self._on_subresource(request, resource)
        elif path.name:
            if resource.definition.namespaced and not path.namespace:
                raise no_such_resource()
            reply = await self._on_object(request, resource)
        else:
            reply = await self._on_collection(request, resource)
        if resource.deprecation and isinstance(reply, Reply):
            reply.warnings = [resource.deprecation, *reply.warnings]
        return reply

    async def _on_collection(self, request: Request, resource: Resource) -> Reply | Stream:
        namespace = request.path.namespace
        match request.method:
            case "GET":
                options = list_options(request.query)
                view, form = self._view(request, resource)
                if options.watch:
                    return self._watch(resource, namespace, options, view, form)
                return await self._list(resource, namespace, options, view)
            case "POST" if namespace or not resource.definition.namespaced:
                resource.check_create()
                outcome = await writes.create(self.pipeline, resource, namespace, _body(request), _options(request))
                return self._written(request, resource, outcome)
            case "DELETE" if namespace or not resource.definition.namespaced:
                return await self._delete_collection(request, resource)
        raise method_not_allowed()

    async def _on_object(self, request: Request, resource: Resource) -> Reply | Stream:
        namespace, name = request.path.namespace, request.path.name
        match request.method:
            case "GET":
                view, _ = self._view(request, resource)
                return Reply(view.single(self._entry(resource, namespace, name).data) + b"\n")
            case "PUT":
                options = _options(request)
                outcome = await writes.update(self.pipeline, resource, namespace, name, _body(request), options)
                return self._written(request, resource, outcome)
            case "PATCH":
                options = _options(request)
                outcome = await writes.patch_object(self.pipeline, resource, namespace, name, _body(request), options)
                return self._written(request, resource, outcome)
            case "DELETE":
                return await self._delete(request, resource, namespace, name)
        raise method_not_allowed()

    async def _on_subresource(self, request: Request, resource: Resource) -> Reply | Stream:
        path = request.path
        found = resource.subresource(path.subresource)
        if found is None or not path.name or path.rest or bool(path.namespace) != resource.definition.namespaced:
            raise no_such_resource()
        verb = {"GET": "get", "PUT": "update", "PATCH": "patch", "POST": "create", "DELETE": "delete"}
        if verb.get(request.method) not in found.verbs:
            raise method_not_allowed()
        namespace, name, body = path.namespace, path.name, _body(request)
        match found.name, request.method:
            case "status", "PATCH":
                outcome = await writes.patch_object(
                    self.pipeline, resource, namespace, name, body, _options(request), "status"
                )
            case "status", "PUT":
                outcome = await writes.update(
                    self.pipeline, resource, namespace, name, body, _options(request), "status"
                )
            case "status", "GET":
                view, _ = self._view(request, resource)
                return Reply(view.single(self._entry(resource, namespace, name).data) + b"\n")
            case "scale", "GET":
                data = resource.present(self._entry(resource, namespace, name).data)
                return json_reply(subresources.scale_of(resource, data))
            case "scale", _:
                patches = request.method == "PATCH"
                outcome = await subresources.write_scale(
                    self.pipeline, resource, namespace, name, body, _options(request), patches=patches
                )
                return Reply(outcome.data + b"\n", warnings=outcome.warnings)
            case "finalize", _:
                outcome = await subresources.finalize(self.pipeline, resource, name, body, _options(request))
            case "binding", _:
                await subresources.bind(self.pipeline, resource, namespace, name, body, _options(request))
                return json_reply(subresources.created_status(), 201)
            case "eviction", _:
                return await self._evict(request, resource)
            case "log", _:
                pod = self._entry(resource, namespace, name).decode()
                return log_stream(self._node_socket, pod, request.query)
            case _:
                raise no_such_resource()
        return self._written(request, resource, outcome)

    async def _list(self, resource: Resource, namespace: str, options: ListOptions, view: View) -> Reply:
        found = await list_objects(self.store, resource, namespace, options)
        meta = ListMeta(str(found.revision), found.token, found.remaining)
        weight = len(found.items) * _ROW_WEIGHT if view.decodes else 0
        return Reply(await offloaded(weight, lambda: view.listing(found.items, meta)))

    def _watch(self, resource: Resource, namespace: str, options: ListOptions, view: View, form: Form) -> Stream:
        hub = self.hubs.of(resource.storage)
        watcher = Watcher(self.store, hub, resource, namespace, options, view)
        return Stream(watcher.run, "application/json;stream=watch" if form.stream else JSON)

    async def _delete(self, request: Request, resource: Resource, namespace: str, name: str) -> Reply:
        warnings: list[str] = []
        ended = await self.deletion.delete(resource, namespace, name, _delete_options(request), warnings)
        if ended.gone and not resource.returns_deleted:
            reply = json_reply(deleted_status(resource, name, ended.uid))
        else:
            reply = Reply(ended.data + b"\n")
        reply.warnings = warnings
        return reply

    async def _delete_collection(self, request: Request, resource: Resource) -> Reply:
        options, listed = _delete_options(request), list_options(request.query)
        view, _ = self._view(request, resource)
        found = await list_objects(self.store, resource, request.path.namespace, listed)
        ended = await self.delete_all(resource, found.items, options)
        return Reply(view.listing(ended, ListMeta(str(self.store.revision), found.token, found.remaining)))

    async def delete_all(self, resource: Resource, items: list[bytes], options: DeleteOptions) -> list[bytes]:
        """Delete these objects, as far as they are still there; returns their last or present states."""
        ended = []
        for data in items:
            metadata = orjson.loads(data)["metadata"]
            only = msgspec.structs.replace(options, uid=metadata["uid"])
            try:
                done = await self.deletion.delete(resource, metadata.get("namespace") or "", metadata["name"], only, [])
            except ApiError as error:
                # Somebody else was quicker; what they made of it is not what was listed.
                if error.reason in ("NotFound", "Conflict"):
                    continue
                raise
            ended.append(done.data)
        return ended

    async def _evict(self, request: Request, resource: Resource) -> Reply:
        path = request.path
        eviction = (await _body(request).decoded(_options(request))).value
        given = orjson.dumps(eviction.get("deleteOptions") or {})
        options = delete_options(request.query, given, JSON, request.user)
        await self.deletion.delete(resource, path.namespace, path.name, options, [])
        return json_reply(subresources.created_status(), 201)

    def _entry(self, resource: Resource, namespace: str, name: str) -> Entry:
        entry = self.store.get(Key(resource.storage, namespace, name))
        if entry is None:
            raise not_found(resource.definition, name)
        return entry

    def _view(self, request: Request, resource: Resource) -> tuple[View, Form]:
        form = negotiate(request.headers.get("Accept", ""))
        return view_of(resource, form, request.query.get("includeObject", "")), form

    def _written(self, request: Request, resource: Resource, outcome: Outcome) -> Reply:
        view, _ = self._view(request, resource)
        # The outcome is in the version of the request already, and showing it in that version changes nothing.
        return Reply(view.single(outcome.data) + b"\n", 201 if outcome.created else 200, warnings=outcome.warnings)


def no_such_resource() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def method_not_allowed() -> ApiError:
    message = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", message, {})


def _body(request: Request) -> Body:
    return Body(request.body, request.headers.get("Content-Type", ""))


def _options(request: Request) -> WriteOptions:
    return write_options(request.query, request.headers.get("User-Agent", ""), request.user)


def _delete_options(request: Request) -> DeleteOptions:
    return delete_options(request.query, request.body, request.headers.get("Content-Type", ""), request.user)
