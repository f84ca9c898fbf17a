"""KServe's V1 protocol (data plane reference, section 1)."""

from __future__ import annotations

import time

from mizzen.http.exchange import Exchange
from mizzen.serve.codecs import decode_predict, encode_predictions
from mizzen.serve.errors import ServerNotReady
from mizzen.serve.protocols.rest import RestCall, decoded, reply
from mizzen.serve.repository import Repository
from mizzen.serve.routing import Router


class V1:
    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def register(self, router: Router) -> None:
        router.add("POST", "/v1/models/{model}:predict", self.predict)
        router.add("POST", "/v1/models/{model}:explain", self.explain)
        router.add("GET", "/v1/models", self.list)
        router.add("GET", "/v1/models/{model}", self.status)

    def predict(self, exchange: Exchange, name: str) -> None:
        began = time.perf_counter()
        served = self._repository.ready(name)
        inputs = decoded(exchange, decode_predict)
        served.submit(RestCall(exchange, inputs, served.metrics, encode_predictions, began))

    def explain(self, exchange: Exchange, name: str) -> None:
        self._repository.ready(name)
        raise NotImplementedError(f"Model with name {name} has no explainer.")

    def list(self, exchange: Exchange) -> None:
        reply(exchange, {"models": self._repository.names})

    def status(self, exchange: Exchange, name: str) -> None:
        self._repository.ready(name)
        if self._repository.draining:
            raise ServerNotReady
        reply(exchange, {"name": name, "ready": True})
