"""The predictor as one event loop sees it: its connections, and what it has told of its inputs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from msgspec import ValidationError, convert

from mizzen.http.headers import Headers
from mizzen.serve.custom.messages import InferRequest, InferResponse
from mizzen.serve.custom.tensors import InferOutput, plain
from mizzen.serve.errors import InvalidInput
from mizzen.serve.forwarding import trust
from mizzen.serve.forwarding.config import PredictorConfig, PredictorProtocol
from mizzen.serve.forwarding.errors import PredictorError, Unreachable
from mizzen.serve.forwarding.rest import RestPredictor
from mizzen.serve.model import Options, TensorMetadata

if TYPE_CHECKING:
    from mizzen.serve.protocols.grpc.client import GrpcClient

# For a question about metadata, in seconds.
_METADATA_WITHIN = 5.0

# What KServe tells a predictor about a call.
_CALL = {"request_type": "grpc_v2", "response_type": "grpc_v2"}


class Peer:
    """A predictor, asked from one event loop."""

    def __init__(self, config: PredictorConfig, environ: Mapping[str, str]) -> None:
        self._config = config
        self._environ = environ
        self._known: dict[str, list[TensorMetadata]] = {}

    @cached_property
    def rest(self) -> RestPredictor:
        return RestPredictor(self._config, self._environ)

    @cached_property
    def grpc(self) -> GrpcClient:
        # Protobuf takes a while to import, and most predictors are not asked so.
        from mizzen.serve.protocols.grpc.client import GrpcClient

        context = trust.context(self._environ) if self._config.predictor_use_ssl else None
        return GrpcClient(self._config.predictor_base_url, ssl=context, environ=self._environ)

    async def infer(self, request: InferRequest, model: str, headers: Headers) -> InferResponse:
        """Ask over gRPC.

        Raises:
            PredictorError, Unreachable
        """
        from mizzen.serve.protocols.grpc.client import UpstreamError

        tensors = [one.to_tensor() for one in request.inputs]
        wanted = tuple(one.name for one in request.request_outputs) if request.request_outputs else None
        options = Options(plain(request.parameters) or None, wanted)
        fields = _CALL | {name.decode(): value.decode("latin-1") for name, value in headers}
        try:
            outputs, extras = await self.grpc.infer(
                model,
                tensors,
                options,
                version=request.model_version,
                identifier=request.id,
                headers=fields,
                timeout=float(self._config.predictor_request_timeout_seconds),
            )
        except UpstreamError as error:
            raise _told(error) from error
        return InferResponse(
            request.id,
            model,
            [cast(InferOutput, InferOutput.of(one)) for one in outputs],
            parameters=dict(extras.parameters or {}) or None,
        )

    async def inputs(self, model: str) -> list[TensorMetadata]:
        """The model's inputs as the predictor tells them; empty if it does not. Asked once."""
        known = self._known.get(model)
        if known is None:
            known = self._known[model] = await self._ask_inputs(model)
        return known

    async def ready(self, model: str, timeout: float) -> bool:
        """Whether the predictor's model can answer.

        Raises:
            PredictorError, Unreachable: it cannot be asked.
        """
        protocol = self._config.predictor_protocol
        if protocol == PredictorProtocol.GRPC_V2.value:
            from mizzen.serve.protocols.grpc.client import UpstreamError

            try:
                return await self.grpc.ready(model, timeout=timeout)
            except UpstreamError as error:
                raise _told(error) from error
        name = quote(model, safe="")
        if protocol == PredictorProtocol.REST_V2.value:
            await self.rest.get(f"/v2/models/{name}/ready", timeout)
            return True
        answer = (await self.rest.get(f"/v1/models/{name}", timeout)).json()
        return bool(answer.get("ready", True)) if isinstance(answer, dict) else True

    async def close(self) -> None:
        for name in ("rest", "grpc"):
            made: Any = self.__dict__.get(name)
            if made is not None:
                await made.close()

    async def _ask_inputs(self, model: str) -> list[TensorMetadata]:
        try:
            async with asyncio.timeout(_METADATA_WITHIN):
                reply = await self.rest.get(f"/v2/models/{quote(model, safe='')}", _METADATA_WITHIN)
            body = reply.json()
            listed = body.get("inputs") if isinstance(body, dict) else None
            return [convert(one, TensorMetadata) for one in listed or ()]
        except (PredictorError, Unreachable, TimeoutError, ValidationError, InvalidInput):
            # It speaks gRPC alone, or tells nothing: tensors get the names and types that KServe's servers give them.
            return []


def _told(error: Any) -> PredictorError | Unreachable:
    """gRPC's error as the same one over REST."""
    kind = PredictorError if error.code is not None else Unreachable
    return kind(str(error), error.status)
