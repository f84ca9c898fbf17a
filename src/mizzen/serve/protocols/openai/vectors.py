"""``/embeddings`` and ``/rerank``: texts to vectors or scores, by way of the same lane as V1's and V2's requests."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mizzen.http.exchange import Exchange
from mizzen.http.headers import JSON
from mizzen.serve.codecs import bodies
from mizzen.serve.codecs.bodies import make_id
from mizzen.serve.generation.model import EMBED, RERANK
from mizzen.serve.lanes.lane import Call
from mizzen.serve.model import Array, Extras, Options, Tensor
from mizzen.serve.observing.metrics import ModelMetrics
from mizzen.serve.protocols.openai import errors
from mizzen.serve.protocols.openai.parameters import EmbeddingFields, RerankFields
from mizzen.serve.protocols.openai.shapes import Document, Embeddings, Ranked, Ranking, Vector, VectorUsage


class VectorCall(Call):
    """Args:
    body: makes the answer's body of the model's outputs.
    began: when its handling began, on :func:`time.perf_counter`.
    timeout: seconds.
    """

    __slots__ = ("_body", "_exchange", "_metrics")

    def __init__(
        self,
        exchange: Exchange,
        inputs: list[Tensor],
        method: str,
        metrics: ModelMetrics,
        body: Callable[[list[Tensor]], Any],
        began: float,
        timeout: float | None,
    ) -> None:
        deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        super().__init__(inputs, time.perf_counter(), Options(method=method), deadline)
        self._exchange = exchange
        self._metrics = metrics
        self._body = body
        metrics.preprocess.observe(self.arrived - began)
        exchange.on_disconnect = self.cancel

    def resolve(self, outputs: list[Tensor], extras: Extras | None = None) -> None:
        began = time.perf_counter()
        body = bodies.encode(self._body(outputs))
        self._metrics.postprocess.observe(time.perf_counter() - began)
        self._exchange.respond(200, body, JSON)

    def reject(self, error: BaseException) -> None:
        errors.refuse(self._exchange, error)


def embed(exchange: Exchange, fields: EmbeddingFields, metrics: ModelMetrics, began: float) -> VectorCall:
    """The call that answers an embeddings request."""
    inputs = [Tensor("input", _objects(fields.texts()))]

    def body(outputs: list[Tensor]) -> Embeddings:
        vectors, counts = (tensor.array for tensor in outputs)
        count = int(counts.sum())
        data = [Vector("embedding", at, _encoded(row, fields.encoding_format)) for at, row in enumerate(vectors)]
        usage = VectorUsage(count, count)
        return Embeddings(f"embd-{make_id()}", "list", int(time.time()), fields.model, data, usage)

    return VectorCall(exchange, inputs, EMBED, metrics, body, began, fields.timeout)


def rerank(exchange: Exchange, fields: RerankFields, metrics: ModelMetrics, began: float) -> VectorCall:
    """The call that answers a rerank request."""
    documents = fields.texts()
    inputs = [Tensor("query", _objects([fields.query])), Tensor("documents", _objects(documents))]

    def body(outputs: list[Tensor]) -> Ranking:
        scores, counts = (tensor.array for tensor in outputs)
        # Equal scores stay in the request's order.
        order = np.argsort(-scores.astype(np.float64), kind="stable")[: fields.top_n]
        results = [Ranked(int(at), Document(documents[at]), float(scores[at])) for at in order]
        count = int(counts.sum())
        return Ranking(f"rerank-{make_id()}", fields.model, VectorUsage(count, count), results)

    return VectorCall(exchange, inputs, RERANK, metrics, body, began, fields.timeout)


def _encoded(row: Array, encoding: str) -> list[float] | str:
    if encoding == "base64":
        return base64.b64encode(np.ascontiguousarray(row, "<f4").tobytes()).decode()
    listed: list[float] = row.tolist()
    return listed


def _objects(values: Sequence[Any]) -> Array:
    """One element for each value, lists included, which numpy would take for another axis."""
    array = np.empty(len(values), object)
    for at, value in enumerate(values):
        array[at] = value
    return array
