"""The Open Inference Protocol (V2) over REST (data plane reference, section 2)."""

from __future__ import annotations

import time
from functools import partial

import mizzen
from mizzen.http.exchange import Exchange
from mizzen.serve.codecs import decode_infer, encode_infer
from mizzen.serve.errors import ServerNotReady
from mizzen.serve.model import Tensor
from mizzen.serve.protocols.rest import RestCall, decoded, reply
from mizzen.serve.repository import Repository
from mizzen.serve.routing import Router


class V2:
    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def register(self, router: Router) -> None:
        router.add("GET", "/v2", self.metadata)
        router.add("GET", "/v2/health/live", self.live)
        router.add("GET", "/v2/health/ready", self.ready)
        router.add("GET", "/v2/models", self.list)
        router.add("GET", "/v2/models/{model}", self.model)
        router.add("GET", "/v2/models/{model}/ready", self.model_ready)
        router.add("POST", "/v2/models/{model}/infer", self.infer)
        for method in ("GET", "POST"):
            for rest in ("", "/ready", "/infer"):
                router.add(method, "/v2/models/{model}/versions/{version}" + rest, self.version)

    def metadata(self, exchange: Exchange) -> None:
        reply(exchange, {"name": "mizzen", "version": mizzen.__version__, "extensions": []})

    def live(self, exchange: Exchange) -> None:
        reply(exchange, {"live": True})

    def ready(self, exchange: Exchange) -> None:
        if self._repository.draining:
            raise ServerNotReady
        reply(exchange, {"ready": True})

    def list(self, exchange: Exchange) -> None:
        reply(exchange, {"models": self._repository.names})

    def model(self, exchange: Exchange, name: str) -> None:
        model = self._repository.get(name).model
        body = {"name": name, "versions": None, "platform": "", "inputs": model.inputs, "outputs": model.outputs}
        reply(exchange, body)

    def model_ready(self, exchange: Exchange, name: str) -> None:
        self._repository.ready(name)
        if self._repository.draining:
            raise ServerNotReady
        reply(exchange, {"name": name, "ready": True})

    def version(self, exchange: Exchange, name: str, version: str) -> None:
        raise NotImplementedError("Model versioning not supported yet.")

    def infer(self, exchange: Exchange, name: str) -> None:
        began = time.perf_counter()
        served = self._repository.ready(name)
        request = decoded(exchange, partial(decode_infer, model=name))
        encode = partial(_encode, name, served.model.version, request.id, request.outputs)
        served.submit(RestCall(exchange, request.inputs, served.metrics, encode, began))


def _encode(
    model: str, version: str | None, request: str | None, wanted: list[str] | None, outputs: list[Tensor]
) -> bytes:
    return encode_infer(model, version, request, outputs, wanted)
