"""What a model's default ``predict`` and ``explain`` do: ask its predictor, in the protocol that one speaks.

A request that came in V1 and was made into V2 is answered in V1 again, and the other way round; one that the model
itself wrote in the predictor's protocol goes as it is, and so does its answer. Connections are kept for each event loop
that asks: the model's own, and one more for plain code that waits for the answer.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from mizzen.http.headers import FRAMING, HOP_BY_HOP, Headers
from mizzen.serve.codecs.bodies import encode
from mizzen.serve.custom.errors import InferenceError, InvalidInput, UnsupportedProtocol
from mizzen.serve.custom.messages import InferRequest, InferResponse
from mizzen.serve.custom.tensors import RequestedOutput, plain
from mizzen.serve.custom.thread import ModelThread
from mizzen.serve.forwarding import conversion
from mizzen.serve.forwarding.config import PredictorConfig, PredictorProtocol
from mizzen.serve.forwarding.errors import PredictorError, Unreachable
from mizzen.serve.forwarding.headers import forwarded
from mizzen.serve.forwarding.peer import Peer
from mizzen.serve.forwarding.rest import JSON_LENGTH, Reply

if TYPE_CHECKING:
    from mizzen.serve.custom.model import Model

JSON = (b"content-type", b"application/json")
BINARY = (b"content-type", b"application/octet-stream")

# Before asking again, doubling, in seconds.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 1.0

# For a question about readiness, in seconds.
HEALTH_WITHIN = 3.0

Verb = Literal["predict", "explain"]


def _no_predictor(model: Model) -> str:
    lacks = "" if model.predicts else f"{type(model).__name__} has no predict of its own, and "
    return f"Could not find predictor_host: {lacks}no server is named that is to be asked (--predictor_host)."


class Forwarder:
    """Asks a model's predictor (and explainer) for it."""

    def __init__(self, model: Model, environ: Mapping[str, str] | None = None) -> None:
        self._model = model
        self._environ = dict(os.environ if environ is None else environ)
        self._peers: dict[tuple[asyncio.AbstractEventLoop, str], Peer] = {}
        self._thread: ModelThread | None = None

    async def ask(
        self,
        verb: Verb,
        payload: Any,
        headers: Mapping[str, str] | None = None,
        told: dict[str, str] | None = None,
    ) -> Any:
        """Ask, and convert there and back as needed.

        Args:
            payload: a V1 or V2 JSON object, bytes, an :class:`InferRequest` or a gRPC message of one.
            headers: the request's fields; those that name the request and its sender go on.
            told: filled with fields of the predictor's answer.

        Raises:
            NotImplementedError: no predictor is known (501).
            PredictorError: with the status and words of the predictor's error.
            Unreachable: no answer came.
        """
        config = self._config(verb)
        if hasattr(payload, "raw_input_contents"):
            payload = InferRequest.from_grpc(payload)
        question: Callable[[], Awaitable[Any]]
        if verb == "explain" or config.predictor_protocol == PredictorProtocol.REST_V1.value:
            question = partial(self._v1, config, verb, payload, headers, told)
        elif config.predictor_protocol == PredictorProtocol.REST_V2.value:
            question = partial(self._v2, config, payload, headers, told)
        elif config.predictor_protocol == PredictorProtocol.GRPC_V2.value:
            question = partial(self._grpc, config, payload, headers)
        else:
            raise UnsupportedProtocol(config.predictor_protocol)
        return await _again(question, config.predictor_request_retries)

    def blocking(self, payload: Any, headers: Mapping[str, str] | None = None) -> Any:
        """As :meth:`ask`, for plain code. It waits for another thread's loop, as its own is the one that it blocks."""
        if self._thread is None:
            self._thread = ModelThread(f"{self._model.name} asks its predictor")
        return self._thread.run(self.ask("predict", payload, headers))

    async def trouble(self) -> str:
        """Why the predictor cannot answer now; empty if it can."""
        config = self._config("predict")
        try:
            peer = self._peer(config)
            if await peer.ready(self._model.name, HEALTH_WITHIN):
                return ""
        except (PredictorError, Unreachable) as error:
            return f"Its predictor is not ready: {error}"
        return "Its predictor is not ready."

    async def close(self) -> None:
        """End the connections of this loop, and the thread of :meth:`blocking`."""
        here = asyncio.get_running_loop()
        for (loop, address), peer in list(self._peers.items()):
            if loop is here:
                await peer.close()
                del self._peers[loop, address]
        if self._thread is not None:
            self._thread.close()

    def _config(self, verb: Verb) -> PredictorConfig:
        config = self._model.predictor_config
        if verb == "explain":
            base = config or PredictorConfig(None)
            return PredictorConfig(
                self._model.explainer_host,
                predictor_use_ssl=base.predictor_use_ssl,
                predictor_request_timeout_seconds=base.predictor_request_timeout_seconds,
                predictor_request_retries=base.predictor_request_retries,
            )
        if config is None or not config.predictor_host:
            raise NotImplementedError(_no_predictor(self._model))
        return config

    def _peer(self, config: PredictorConfig) -> Peer:
        key = (asyncio.get_running_loop(), f"{config.predictor_protocol} {config.predictor_base_url}")
        found = self._peers.get(key)
        if found is None:
            for loop, address in list(self._peers):  # of loops that have ended, as asyncio.run leaves them
                if loop.is_closed():
                    del self._peers[loop, address]
            found = self._peers[key] = Peer(config, self._environ)
        return found

    async def _v1(
        self,
        config: PredictorConfig,
        verb: Verb,
        payload: Any,
        headers: Mapping[str, str] | None,
        told: dict[str, str] | None,
    ) -> Any:
        rest = self._peer(config).rest
        request = payload if isinstance(payload, InferRequest) else None
        media = JSON
        if request is not None:
            body = encode(conversion.to_v1(request))
        elif isinstance(payload, bytes | str):
            body = payload.encode() if isinstance(payload, str) else payload
            said = (headers or {}).get("content-type")
            media = (b"content-type", said.encode("latin-1", "replace")) if said else BINARY
        else:
            body = encode(payload)
        path = rest.path(verb, self._model.name, v2=False)
        reply = await rest.post(path, body, [media, *forwarded(headers)])
        _tell(told, reply)
        answer = reply.json()
        return conversion.to_v2_answer(answer, request) if request is not None else answer

    async def _v2(
        self,
        config: PredictorConfig,
        payload: Any,
        headers: Mapping[str, str] | None,
        told: dict[str, str] | None,
    ) -> Any:
        peer = self._peer(config)
        path = peer.rest.path("predict", self._model.name, v2=True)
        if conversion.is_v2(payload):
            reply = await peer.rest.post(path, encode(payload), [JSON, *forwarded(headers)])
            _tell(told, reply)
            return _response(reply)
        request, converted = await self._request(peer, payload)
        body, length = _written(request)
        fields: Headers = [JSON] if length is None else [BINARY, (JSON_LENGTH, b"%d" % length)]
        reply = await peer.rest.post(path, body, [*fields, *forwarded(headers)])
        _tell(told, reply)
        response = _response(reply)
        return conversion.to_v1_answer(response) if converted else response

    async def _grpc(self, config: PredictorConfig, payload: Any, headers: Mapping[str, str] | None) -> Any:
        peer = self._peer(config)
        if conversion.is_v2(payload):
            payload = InferRequest.from_rest(self._model.name, payload)
        request, converted = await self._request(peer, payload)
        response = await peer.infer(request, self._model.name, forwarded(headers))
        return conversion.to_v1_answer(response) if converted else response

    async def _request(self, peer: Peer, payload: Any) -> tuple[InferRequest, bool]:
        """A payload as a V2 request, and whether it had to be converted."""
        if isinstance(payload, InferRequest):
            return payload, False
        return conversion.to_v2(payload, self._model.name, await peer.inputs(self._model.name)), True


def _written(request: InferRequest) -> tuple[bytes, int | None]:
    """A V2 request's body. Tensors set so go as raw blocks; a type that has no JSON form must, there and back."""
    halves = [one for one in request.inputs if one.datatype == "FP16"]
    for one in halves:
        if one._raw_data is None:
            one.set_data_from_numpy(one.as_numpy(), binary_data=True)
    if halves:
        wanted = [
            RequestedOutput(one.name, plain(one.parameters) | {"binary_data": True})
            for one in request.request_outputs or ()
        ]
        parameters = plain(request.parameters) | {"binary_data_output": True}
        request = InferRequest(
            request.model_name, request.inputs, request.id, parameters=parameters, request_outputs=wanted or None
        )
    body, length = request.to_rest()
    return (body if isinstance(body, bytes) else encode(body)), length


def _response(reply: Reply) -> InferResponse:
    try:
        if reply.json_length is not None:
            return InferResponse.from_bytes(reply.body, reply.json_length)
        response = InferResponse.from_rest(reply.json())
    except InvalidInput as error:
        raise InferenceError(f"the predictor's answer is no V2 answer: {error}", 502) from error
    response.parameters = plain(response.parameters) or None
    return response


def _tell(told: dict[str, str] | None, reply: Reply) -> None:
    """Fields of the predictor's answer, for the model to pass on; not those that are about its bytes."""
    if told is None:
        return
    for name, value in reply.headers:
        if name not in _ABOUT_BYTES:
            told[name.decode("latin-1")] = value.decode("latin-1")


_ABOUT_BYTES = HOP_BY_HOP | FRAMING | {b"date", b"server", b"content-type", JSON_LENGTH}


async def _again(question: Callable[[], Awaitable[Any]], retries: int) -> Any:
    """Ask, and ask again where the predictor had not begun to answer: it could not be reached, or was not ready."""
    pause = FIRST_PAUSE
    for left in range(max(retries, 0), -1, -1):
        try:
            return await question()
        except (PredictorError, Unreachable) as error:
            if not left or error.status != 503:
                raise
        await asyncio.sleep(pause * random.uniform(0.8, 1.2))
        pause = min(2 * pause, LONGEST_PAUSE)
    raise AssertionError("the last attempt returns or raises")
