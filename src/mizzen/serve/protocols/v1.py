"""KServe's V1 protocol (data plane reference, section 1)."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from mizzen.http.exchange import Exchange
from mizzen.http.headers import JSON
from mizzen.serve import about
from mizzen.serve.codecs import bodies, instances
from mizzen.serve.codecs.instances import Predict
from mizzen.serve.codecs.slices import LARGE, Slices, unhurried
from mizzen.serve.errors import InvalidInput
from mizzen.serve.lanes.payloads import Verb
from mizzen.serve.model import NO_OPTIONS, Extras, Tensor
from mizzen.serve.openapi import v1
from mizzen.serve.protocols import asking, cloudevents
from mizzen.serve.protocols.cloudevents import Event, Replies
from mizzen.serve.protocols.payload import RestPayload, TimedPayload, deadline_of, payload_of
from mizzen.serve.protocols.rest import (
    ENCODING,
    EVENT,
    REQUEST_ID,
    RestCall,
    attend,
    echo,
    expanded,
    explained,
    marks,
    media_type,
    reply,
    tells_times,
    timed,
)
from mizzen.serve.repository import Repository
from mizzen.serve.routing import Router
from mizzen.serve.served import Served

_KEYS = {"predict": "predictions", "explain": "explanations"}


class V1:
    """Args:
    environ: where ``CE_SOURCE``, ``CE_TYPE`` and ``CE_MERGE`` are looked up.
    latency: whether the log has a line with each request's times.
    """

    def __init__(
        self, repository: Repository, environ: Mapping[str, str] | None = None, *, latency: bool = False
    ) -> None:
        self._repository = repository
        self._replies = Replies(os.environ if environ is None else environ)
        self._call = timed(V1Call) if latency else V1Call
        self._latency = latency

    def register(self, router: Router) -> None:
        router.add("POST", "/v1/models/{model}:predict", partial(self.ask, "predict"))
        router.add("POST", "/v1/models/{model}:explain", partial(self.ask, "explain"))
        router.add("GET", "/v1/models", self.list)
        router.add("GET", "/v1/models/{model}", self.status)
        router.hint("/v1/models/{model}", "what is asked of a model is POSTed to its :predict or :explain")

    def paths(self) -> dict[str, Any]:
        return v1.PATHS

    def schemas(self) -> dict[str, Any]:
        return v1.SCHEMAS

    def list(self, exchange: Exchange) -> None:
        reply(exchange, {"models": self._repository.names})

    def status(self, exchange: Exchange, name: str) -> None:
        about.check_ready(self._repository, name)
        reply(exchange, {"name": name, "ready": True})

    def ask(self, verb: Verb, exchange: Exchange, name: str) -> None:
        began = time.perf_counter()
        served = self._repository.ready(name)
        found = marks(exchange.headers)
        body = exchange.body
        if len(body) > LARGE or (found is not None and ENCODING in found):
            attend(exchange, self._ask_long(exchange, served, verb, found or {}, began))
            return
        if getattr(served.lane, "submit_payload", None) is not None:
            self._put(exchange, served, verb, found or {}, payload_of(exchange, body))
            return
        _check(served, verb)
        try:
            request = instances.decode_predict(body, served.model)
        except InvalidInput as error:
            raise explained(exchange, error) from None
        plain = found is None and request is not None and request.parameters is None and verb == "predict"
        if plain and not served.model.reads_headers:
            assert request is not None
            served.submit(self._call(exchange, request.inputs, served, began))
            return
        event = None
        if found is not None and EVENT in found:
            event = cloudevents.of_headers(exchange.headers)
        if request is None:
            event, request = self._event(exchange, served, bodies.decode_json(body))
        self._submit(exchange, served, verb, found, request, event, began)

    async def _ask_long(
        self, exchange: Exchange, served: Served, verb: Verb, found: dict[bytes, bytes], began: float
    ) -> None:
        body = exchange.body
        if ENCODING in found:
            body = await expanded(exchange, found[ENCODING])
        if getattr(served.lane, "submit_payload", None) is not None:
            self._put(exchange, served, verb, found, payload_of(exchange, body))
            return
        _check(served, verb)
        event = cloudevents.of_headers(exchange.headers) if EVENT in found else None
        try:
            request = await unhurried(instances.decode_long(body, served.model))
        except InvalidInput as error:
            raise explained(exchange, error) from None
        if request is None:
            event, request = self._event(exchange, served, bodies.decode_json(body))
        self._submit(exchange, served, verb, found, request, event, began)

    def _event(self, exchange: Exchange, served: Served, value: Any) -> tuple[Event | None, Predict]:
        """The event that a body without rows may be, and the request in it."""
        declared = _is_event(exchange)
        found = cloudevents.of_body(value, declared)
        if found is None:
            raise instances.no_instances()
        event, data = found
        request = instances.decode_predict(bodies.encode(data), served.model)
        if request is None:
            raise instances.no_instances()
        return event if declared else None, request

    def _submit(
        self,
        exchange: Exchange,
        served: Served,
        verb: Verb,
        found: dict[bytes, bytes] | None,
        request: Predict,
        event: Event | None,
        began: float,
    ) -> None:
        model = served.model
        options = NO_OPTIONS
        deadline = None
        if request.parameters is not None or verb != "predict" or model.reads_headers:
            options = asking.options(model, request.parameters, None, lambda: _headers(exchange), verb)
            if request.parameters is not None:
                deadline = asking.deadline(request.parameters, asyncio.get_running_loop().time())
        lines = b"" if found is None else echo(found)
        call = self._call(exchange, request.inputs, served, began, options, deadline, lines=lines)
        if event is not None:
            call.event = event, self._replies
        served.submit(call)

    def _put(self, exchange: Exchange, served: Served, verb: Verb, found: dict[bytes, bytes], payload: Any) -> None:
        event = None
        if EVENT in found:
            event = cloudevents.of_headers(exchange.headers)
            if event is not None and isinstance(payload, bytes):
                payload = cloudevents.plain(payload)
        declared = event is None and _is_event(exchange)
        if event is None and (structured := cloudevents.of_body(payload, declared)) is not None:
            event, payload = structured
            if not declared:
                event = None
        given = found.get(REQUEST_ID)
        identifier = given.decode("latin-1") if given else None
        until = deadline_of(payload, asyncio.get_running_loop().time())
        kind = TimedPayload if self._latency and not tells_times(served) else RestPayload
        name, lines = served.model.name, echo(found)
        call = kind(exchange, name, payload, verb, identifier, lines, event, self._replies, until)
        served.lane.submit_payload(call)  # type: ignore[union-attr]


def _check(served: Served, verb: Verb) -> None:
    """Raises:
    NotImplementedError: the model answers no such question.
    """
    if verb == "explain" and not served.model.explains:
        raise NotImplementedError(f"Model with name {served.model.name} has no explainer.")


def _is_event(exchange: Exchange) -> bool:
    return media_type(exchange).encode() == cloudevents.MEDIA_TYPE


def _headers(exchange: Exchange) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in exchange.headers}


class V1Call(RestCall):
    """A request with rows."""

    __slots__ = ()

    def encoded(self, outputs: list[Tensor], extras: Extras | None) -> tuple[bytes, bytes]:
        return instances.encode_predictions(outputs, _KEYS[self.options.method]), JSON

    def encoded_long(self, outputs: list[Tensor], extras: Extras | None) -> Slices[tuple[bytes, bytes]]:
        body = yield from instances.encode_long(outputs, _KEYS[self.options.method])
        return body, JSON
