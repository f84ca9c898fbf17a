"""The Open Inference Protocol (V2) over REST (data plane reference, section 2)."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from mizzen.http.exchange import Exchange
from mizzen.http.headers import JSON
from mizzen.serve import about
from mizzen.serve.codecs import binary, bodies, contents
from mizzen.serve.codecs.bodies import Infer
from mizzen.serve.codecs.slices import LARGE, Slices, unhurried
from mizzen.serve.configuration import configuration
from mizzen.serve.errors import InvalidInput, ServerNotReady
from mizzen.serve.model import NO_OPTIONS, Extras, Tensor
from mizzen.serve.observing.statistics import statistics
from mizzen.serve.openapi import v2
from mizzen.serve.protocols import asking, cloudevents
from mizzen.serve.protocols.cloudevents import Event, Replies
from mizzen.serve.protocols.rest import (
    BINARY_HEADER,
    ENCODING,
    EVENT,
    RestCall,
    attend,
    echo,
    expanded,
    explained,
    marks,
    media_type,
    reply,
    timed,
)
from mizzen.serve.repository import Repository
from mizzen.serve.routing import Router
from mizzen.serve.served import Served

_BINARY = b"content-type: application/octet-stream\r\n" + BINARY_HEADER + b": %d\r\n"


class V2:
    """Args:
    environ: where ``CE_SOURCE``, ``CE_TYPE`` and ``CE_MERGE`` are looked up.
    latency: whether the log has a line with each request's times.
    """

    def __init__(
        self, repository: Repository, environ: Mapping[str, str] | None = None, *, latency: bool = False
    ) -> None:
        self._repository = repository
        self._replies = Replies(os.environ if environ is None else environ)
        self._call = timed(V2Call) if latency else V2Call

    def register(self, router: Router) -> None:
        router.add("GET", "/v2", self.metadata)
        router.add("GET", "/v2/health/live", self.live)
        router.add("GET", "/v2/health/ready", self.ready)
        router.add("GET", "/v2/models", self.list)
        router.add("GET", "/v2/models/stats", self.all_statistics)
        for model in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
            router.add("GET", model, self.model)
            router.add("GET", model + "/ready", self.model_ready)
            router.add("GET", model + "/config", self.config)
            router.add("GET", model + "/stats", self.statistics)
            router.add("POST", model + "/infer", self.infer)

    def paths(self) -> dict[str, Any]:
        return v2.PATHS

    def schemas(self) -> dict[str, Any]:
        return v2.SCHEMAS

    def metadata(self, exchange: Exchange) -> None:
        reply(exchange, {"name": about.NAME, "version": about.VERSION, "extensions": about.EXTENSIONS})

    def live(self, exchange: Exchange) -> None:
        reply(exchange, {"live": True})

    def ready(self, exchange: Exchange) -> None:
        reason = about.why_not_ready(self._repository)
        if reason is not None:
            raise ServerNotReady(reason)
        reply(exchange, {"ready": True})

    def list(self, exchange: Exchange) -> None:
        reply(exchange, {"models": self._repository.names})

    def model(self, exchange: Exchange, name: str, version: str | None = None) -> None:
        model = self._repository.get(name, version).model
        body = {
            "name": name,
            "versions": self._repository.versions(name) or None,
            "platform": model.platform,
            "inputs": model.inputs,
            "outputs": model.outputs,
        }
        reply(exchange, body)

    def model_ready(self, exchange: Exchange, name: str, version: str | None = None) -> None:
        about.check_ready(self._repository, name, version)
        reply(exchange, {"name": name, "ready": True})

    def config(self, exchange: Exchange, name: str, version: str | None = None) -> None:
        reply(exchange, configuration(self._repository.get(name, version)))

    def statistics(self, exchange: Exchange, name: str, version: str | None = None) -> None:
        asked: Sequence[str | None] = [version] if version is not None else self._repository.versions(name) or [None]
        reply(exchange, {"model_stats": [statistics(self._repository.get(name, one)) for one in asked]})

    def all_statistics(self, exchange: Exchange) -> None:
        reply(exchange, {"model_stats": [statistics(served) for served in self._repository]})

    def infer(self, exchange: Exchange, name: str, version: str | None = None) -> None:
        began = time.perf_counter()
        served = self._repository.ready(name, version)
        found = marks(exchange.headers)
        body = exchange.body
        if found is None and len(body) <= LARGE:
            try:
                request = bodies.decode_infer(body, name)
            except InvalidInput as error:
                self._submit_event(exchange, served, explained(exchange, error), began)
                return
            if request.plain and not served.model.reads_headers:
                call = self._call(exchange, request.inputs, served, began, NO_OPTIONS, None, request.id)
                call.request = request
                served.submit(call)
                return
            self._submit(exchange, served, request, began)
        elif found is not None and ENCODING not in found and (BINARY_HEADER in found or len(body) <= LARGE):
            self._infer_marked(exchange, served, body, found, began)
        else:
            attend(exchange, self._infer_long(exchange, served, found or {}, began))

    def _infer_marked(
        self, exchange: Exchange, served: Served, body: bytes, found: dict[bytes, bytes], began: float
    ) -> None:
        name = served.model.name
        if BINARY_HEADER in found:
            request = binary.decode(body, found[BINARY_HEADER], name)
        else:
            try:
                request = bodies.decode_infer(body, name)
            except InvalidInput as error:
                self._submit_event(exchange, served, explained(exchange, error), began)
                return
        event = cloudevents.of_headers(exchange.headers) if EVENT in found else None
        self._submit(exchange, served, request, began, echo(found), event)

    async def _infer_long(self, exchange: Exchange, served: Served, found: dict[bytes, bytes], began: float) -> None:
        body = await expanded(exchange, found[ENCODING]) if ENCODING in found else exchange.body
        if BINARY_HEADER in found or len(body) <= LARGE:
            self._infer_marked(exchange, served, body, found, began)
            return
        try:
            request = await unhurried(bodies.decode_long(body, served.model.name))
        except InvalidInput as error:
            raise explained(exchange, error) from None
        event = cloudevents.of_headers(exchange.headers) if EVENT in found else None
        self._submit(exchange, served, request, began, echo(found), event)

    def _submit_event(self, exchange: Exchange, served: Served, error: InvalidInput, began: float) -> None:
        """A body that is no request may be an event that holds one.

        Raises:
            InvalidInput: what was wrong with it, if it is none.
        """
        if media_type(exchange).encode() != cloudevents.MEDIA_TYPE:
            raise error
        found = cloudevents.of_body(cloudevents.plain(exchange.body), True)
        if found is None:
            raise error
        event, data = found
        request = bodies.decode_infer(bodies.encode(data), served.model.name)
        self._submit(exchange, served, request, began, echo(marks(exchange.headers) or {}), event)

    def _submit(
        self,
        exchange: Exchange,
        served: Served,
        request: Infer,
        began: float,
        lines: bytes = b"",
        event: Event | None = None,
    ) -> None:
        model = served.model
        options = NO_OPTIONS
        deadline = None
        inputs = request.inputs
        if not request.plain:
            inputs = contents.applied(inputs, request.parameters, model)
            if request.parameters is not None:
                deadline = asking.deadline(request.parameters, asyncio.get_running_loop().time())
        if request.outputs is not None:
            for output in request.outputs:
                asking.check_output(output.name, output.parameters)
        if request.parameters is not None or request.outputs is not None or model.reads_headers:
            options = asking.options(model, request.parameters, request.wanted, lambda: _headers(exchange))
        call = self._call(exchange, inputs, served, began, options, deadline, request.id, lines)
        call.request = request
        if event is not None:
            call.event = event, self._replies
        served.submit(call)


def _headers(exchange: Exchange) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in exchange.headers}


class V2Call(RestCall):
    """An inference. ``request`` is what was asked, which decides how the answer is written."""

    __slots__ = ("request",)

    request: Infer

    def encoded(self, outputs: list[Tensor], extras: Extras | None) -> tuple[bytes, bytes]:
        model = self.served.model
        parameters = None if extras is None else extras.parameters
        request = self.request
        if request.outputs is not None or request.parameters is not None:
            outputs = asking.chosen(outputs, request.wanted, model.name)
            blocks = binary.are_wanted(request, outputs)
            if any(blocks):
                length, body = binary.encode(model.name, model.version, self.identifier, outputs, blocks, parameters)
                return body, _BINARY % length
        return bodies.encode_infer(model.name, model.version, self.identifier, outputs, parameters), JSON

    def encoded_long(self, outputs: list[Tensor], extras: Extras | None) -> Slices[tuple[bytes, bytes]]:
        model = self.served.model
        parameters = None if extras is None else extras.parameters
        request = self.request
        if request.outputs is not None or request.parameters is not None:
            outputs = asking.chosen(outputs, request.wanted, model.name)
            if any(binary.are_wanted(request, outputs)):
                return self.encoded(outputs, extras)
        body = yield from bodies.encode_long(model.name, model.version, self.identifier, outputs, parameters)
        return body, JSON

    def reject(self, error: BaseException) -> None:
        super().reject(error.blamed(self.inputs) if isinstance(error, bodies.NoText) else error)
