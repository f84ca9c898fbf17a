"""OpenAI's protocol: which path is answered by what (data plane reference, section 3).

The documented address is KServe's, ``/openai/v1``. The four paths that ask a model something are also served below
``/v1``, where V1 has nothing of the kind; the list of models is not, because there V1 has its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import msgspec

from mizzen.http.exchange import Exchange
from mizzen.http.headers import JSON
from mizzen.serve.codecs import bodies
from mizzen.serve.errors import Asleep
from mizzen.serve.generation.lane import GenerationLane
from mizzen.serve.generation.model import (
    ECHO,
    EMBED,
    LOGPROBS,
    RERANK,
    SAMPLING,
    TOKENS,
    Encoder,
    GenerationRequest,
    GenerativeModel,
    InvalidRequest,
    N,
    Sampling,
)
from mizzen.serve.generation.relay import Relay, RelayLane
from mizzen.serve.protocols.openai import answering, document, errors, parameters, vectors
from mizzen.serve.protocols.openai.forms import ChatForm, Form, TextForm
from mizzen.serve.protocols.openai.relaying import relay
from mizzen.serve.protocols.openai.shapes import Model, Models
from mizzen.serve.repository import Repository
from mizzen.serve.routing import Router
from mizzen.serve.served import Served

PREFIX = "KSERVE_OPENAI_ROUTE_PREFIX"

# How KServe calls what a path does, in the error for a model that cannot.
_NAMES = {
    "completions": "Completions API",
    "chat/completions": "Chat Completion API",
    "embeddings": "Embeddings API",
    "rerank": "Rerank API",
}


class OpenAI:
    """Args:
    repository: its models.
    environ: ``KSERVE_OPENAI_ROUTE_PREFIX`` stands in for ``/openai``.
    """

    def __init__(self, repository: Repository, environ: Mapping[str, str] | None = None) -> None:
        self._repository = repository
        self._created = int(time.time())
        prefix = (os.environ if environ is None else environ).get(PREFIX, "/openai").strip("/")
        self.prefix = f"/{prefix}" if prefix else ""

    def register(self, router: Router) -> None:
        for verb, template, _, answer in self._routes():
            router.add(verb, template, _in_shape(answer))

    def paths(self) -> dict[str, Any]:
        return document.paths((verb, template, path) for verb, template, path, _ in self._routes())

    def schemas(self) -> dict[str, Any]:
        return document.schemas({path for _, _, path, _ in self._routes()})

    def _routes(self) -> Iterator[tuple[str, str, str, Callable[..., None]]]:
        """Method, template, the path that it is known by in :mod:`~mizzen.serve.protocols.openai.document`, handler."""
        for prefix in dict.fromkeys((self.prefix, "")):
            for path, answer in (
                ("completions", self.completions),
                ("chat/completions", self.chat_completions),
                ("embeddings", self.embeddings),
                ("rerank", self.rerank),
            ):
                yield "POST", f"{prefix}/v1/{path}", path, answer
        if self.prefix:
            yield "GET", f"{self.prefix}/v1/models", "models", self.list
            yield "GET", f"{self.prefix}/v1/models/{{model}}", "models/{model}", self.model

    def refuse(self, exchange: Exchange, error: BaseException) -> bool:
        """Answer with an error that was met elsewhere; False if the request is not of this protocol."""
        if not self._speaks(exchange):
            return False
        errors.refuse(exchange, error)
        return True

    def refuse_early(self, exchange: Exchange, status: int, text: str) -> bool:
        """Answer a request that was found wrong before it was handled; False if it is not of this protocol."""
        if not self._speaks(exchange):
            return False
        errors.refuse_early(exchange, status, text)
        return True

    def _speaks(self, exchange: Exchange) -> bool:
        path = exchange.target.partition(b"?")[0].decode("latin-1")
        if self.prefix and (path == self.prefix or path.startswith(f"{self.prefix}/")):
            return True
        return path.removeprefix("/v1/") in _NAMES

    def list(self, exchange: Exchange) -> None:
        able = [name for name in self._repository.names if self._listed(name)]
        exchange.respond(200, bodies.encode(Models("list", [self._card(name) for name in able])), JSON)

    def model(self, exchange: Exchange, name: str) -> None:
        self._repository.ready(name)
        exchange.respond(200, bodies.encode(self._card(name)), JSON)

    def completions(self, exchange: Exchange) -> None:
        fields = parameters.read(exchange.body)
        served = self._served(fields)
        if isinstance(served.lane, RelayLane):
            exchange.spawn(relay(exchange, served.lane, "completions", exchange.body))
            return
        asked = parameters.completion(fields)
        self._generate(exchange, served, "completions", asked, TextForm, asked.logprobs is not None)

    def chat_completions(self, exchange: Exchange) -> None:
        fields = parameters.read(exchange.body)
        served = self._served(fields)
        if isinstance(served.lane, RelayLane):
            exchange.spawn(relay(exchange, served.lane, "chat/completions", exchange.body))
            return
        asked = parameters.chat(fields)
        self._generate(exchange, served, "chat/completions", asked, ChatForm, asked.logprobs)

    def embeddings(self, exchange: Exchange) -> None:
        began = time.perf_counter()
        fields = parameters.read(exchange.body)
        served = self._served(fields)
        if isinstance(served.lane, RelayLane):
            exchange.spawn(relay(exchange, served.lane, "embeddings", exchange.body))
            return
        self._encodes(served, EMBED, "embeddings")
        served.submit(vectors.embed(exchange, parameters.embedding(fields), served.metrics, began))

    def rerank(self, exchange: Exchange) -> None:
        began = time.perf_counter()
        fields = parameters.read(exchange.body)
        served = self._served(fields)
        if isinstance(served.lane, RelayLane):
            exchange.spawn(relay(exchange, served.lane, "rerank", exchange.body))
            return
        self._encodes(served, RERANK, "rerank")
        served.submit(vectors.rerank(exchange, parameters.rerank(fields), served.metrics, began))

    def _served(self, fields: dict[str, Any]) -> Served:
        return self._repository.ready(parameters.model(fields))

    def _generate(
        self,
        exchange: Exchange,
        served: Served,
        path: str,
        asked: parameters.CompletionFields | parameters.ChatFields,
        form: type[Form],
        logprobs: bool,
    ) -> None:
        lane, model = served.lane, served.model
        if not isinstance(lane, GenerationLane) or not isinstance(model, GenerativeModel):
            raise _cannot(model.name, path)
        requests = asked.requests()
        for request in requests:
            _check_features(model, request)
        made = form(asked.model, logprobs, asked.include_usage)
        answer = answering.stream if asked.stream else answering.whole
        exchange.spawn(answer(exchange, lane, requests, made))

    def _encodes(self, served: Served, method: str, path: str) -> None:
        if not isinstance(served.model, Encoder) or method not in served.model.methods:
            raise _cannot(served.model.name, path)

    def _listed(self, name: str) -> bool:
        served = self._repository.get(name)
        encodes = isinstance(served.model, Encoder) and bool(served.model.methods)
        return (encodes or isinstance(served.model, GenerativeModel | Relay)) and served.ready

    def _card(self, name: str) -> Model:
        return Model(name, "model", self._created, "mizzen")


def _in_shape(answer: Callable[..., None]) -> Callable[..., None]:
    """A handler whose errors have OpenAI's shape."""
    return partial(_answered, answer)


def _answered(answer: Callable[..., None], exchange: Exchange, *found: str) -> None:
    try:
        answer(exchange, *found)
    except Asleep:
        raise  # the server loads the model, and asks again
    except Exception as error:
        errors.refuse(exchange, error)


def _cannot(name: str, path: str) -> InvalidRequest:
    return InvalidRequest(f"Model {name} does not support {_NAMES[path]}", "model", "unsupported_model")


def _check_features(model: GenerativeModel, request: GenerationRequest) -> None:
    """Raises:
    InvalidRequest: the request asks for what the model does not heed.
    """
    wanted = (
        (N, request.n > 1, "n"),
        (LOGPROBS, request.logprobs is not None, "logprobs"),
        (ECHO, request.echo, "echo"),
        (TOKENS, isinstance(request.prompt, list), "prompt"),
        (SAMPLING, request.sampling != Sampling(), _first_set(request.sampling)),
        (SAMPLING, bool(request.min_tokens), "min_tokens"),
        (SAMPLING, bool(request.stop_tokens), "stop_token_ids"),
        (SAMPLING, request.ignore_eos, "ignore_eos"),
    )
    for feature, asked, param in wanted:
        if asked and feature not in model.features:
            what = "token ids" if feature == TOKENS else param
            raise InvalidRequest(f"Model {model.name} does not support {what}", param, "unsupported_parameter")


def _first_set(sampling: Sampling) -> str:
    default = Sampling()
    return next((name for name in msgspec.structs.asdict(sampling) if _differs(sampling, default, name)), "")


def _differs(sampling: Sampling, default: Sampling, name: str) -> bool:
    return bool(getattr(sampling, name) != getattr(default, name))
