"""The small methods of ``GRPCInferenceService``: what the server and its models are, and what is loaded."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.json_format import ParseDict
from msgspec import to_builtins

from mizzen.serve import about
from mizzen.serve.configuration import configuration
from mizzen.serve.errors import InvalidInput
from mizzen.serve.observing.statistics import statistics
from mizzen.serve.protocols.grpc.kept import Kept
from mizzen.serve.protocols.grpc.schema import (
    INFERENCE,
    ModelConfigResponse,
    ModelMetadataResponse,
    ModelReadyResponse,
    ModelStatisticsResponse,
    RepositoryIndexResponse,
    RepositoryModelLoadResponse,
    RepositoryModelUnloadResponse,
    ServerLiveResponse,
    ServerMetadataResponse,
    ServerReadyResponse,
)
from mizzen.serve.repository import Repository
from mizzen.serve.served import Served, State


class Answers:
    """Attributes:
    methods: what answers each, by full name: a message for a message.
    acts: those that take their time.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._kept = Kept()
        answers: dict[str, Callable[[Any], Any]] = {
            "ServerLive": lambda request: ServerLiveResponse(live=True),
            "ServerReady": lambda request: ServerReadyResponse(ready=about.is_ready(repository)),
            "ServerMetadata": self._server,
            "ModelReady": self._ready,
            "ModelMetadata": self._metadata,
            "ModelConfig": self._config,
            "ModelStatistics": self._statistics,
            "RepositoryIndex": self._index,
        }
        self.acts = {
            f"{INFERENCE}/RepositoryModelLoad": self._load,
            f"{INFERENCE}/RepositoryModelUnload": self._unload,
        }
        self.methods = {f"{INFERENCE}/{name}": answer for name, answer in answers.items()}

    def _get(self, request: Any) -> Served:
        return self._repository.get(request.name, request.version or None)

    def _server(self, request: Any) -> Any:
        return ServerMetadataResponse(name=about.NAME, version=about.VERSION, extensions=about.EXTENSIONS)

    def _ready(self, request: Any) -> Any:
        if self._repository.is_unloaded(request.name):
            return ModelReadyResponse(ready=False)
        served = self._get(request)
        return ModelReadyResponse(ready=(served.ready or served.dormant) and not self._repository.draining)

    def _metadata(self, request: Any) -> Any:
        model = self._get(request).model
        response = ModelMetadataResponse(
            name=model.name, versions=self._repository.versions(model.name), platform=model.platform
        )
        for tensors, fields in ((model.inputs, response.inputs), (model.outputs, response.outputs)):
            for tensor in tensors:
                fields.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        return response

    def _config(self, request: Any) -> Any:
        response = ModelConfigResponse()
        # Triton's message has more fields than ours.
        ParseDict(configuration(self._get(request)), response.config, ignore_unknown_fields=True)
        return response

    def _statistics(self, request: Any) -> Any:
        if request.name and not request.version:
            versions: Sequence[str | None] = self._repository.versions(request.name) or [None]
            chosen = [self._repository.get(request.name, version) for version in versions]
        else:
            chosen = [self._get(request)] if request.name else list(self._repository)
        response = ModelStatisticsResponse()
        for served in chosen:
            response.model_stats.add(**to_builtins(statistics(served)))
        return response

    def _index(self, request: Any) -> Any:
        response = RepositoryIndexResponse()
        for entry in self._repository.index():
            if not request.ready or entry.state == State.READY.value:
                response.models.add(
                    name=entry.name, version=entry.version or "", state=entry.state, reason=entry.reason
                )
        return response

    async def _load(self, request: Any) -> Any:
        name = _named(request)
        parameters = {key: _parameter(key, value) for key, value in request.parameters.items()}
        await self._kept.finish(self._repository.open(name, parameters))
        return RepositoryModelLoadResponse(model_name=name, isLoaded=True)

    async def _unload(self, request: Any) -> Any:
        name = _named(request)
        await self._kept.finish(self._repository.shut(name))
        return RepositoryModelUnloadResponse(model_name=name, isUnloaded=True)


def _named(request: Any) -> str:
    """KServe has the name in the first field, Triton in the second."""
    name: str = request.model_name or request.repository_name
    if not name:
        raise InvalidInput("the request names no model")
    return name


def _parameter(name: str, value: Any) -> Any:
    kind = value.WhichOneof("parameter_choice")
    if kind is None:
        raise InvalidInput(f"the parameter {name} has no value")
    found = getattr(value, kind)
    # As REST has it: JSON knows no bytes.
    return base64.b64encode(found).decode() if kind == "bytes_param" else found
