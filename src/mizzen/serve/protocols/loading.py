"""V2's model repository extension: what could be served, and loading and unloading it while the server runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mizzen.http.exchange import Exchange
from mizzen.serve.codecs import bodies, lenient
from mizzen.serve.errors import InvalidInput, LoadError, ModelNotFound, ServeError, Unloaded
from mizzen.serve.openapi import loading
from mizzen.serve.protocols.rest import attend, reply
from mizzen.serve.repository import Repository
from mizzen.serve.routing import Router
from mizzen.serve.served import State


class LoadFailed(ServeError):
    """A model could not be loaded, or be loaded anew."""

    status = 503


class Loading:
    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def register(self, router: Router) -> None:
        router.add("POST", "/v2/repository/index", self.index)
        router.add("POST", "/v2/repository/models/{model}/load", self.load)
        router.add("POST", "/v2/repository/models/{model}/unload", self.unload)

    def paths(self) -> dict[str, Any]:
        return loading.PATHS

    def schemas(self) -> dict[str, Any]:
        return loading.SCHEMAS

    def index(self, exchange: Exchange) -> None:
        only_ready = _object(exchange).get("ready", False)
        if not isinstance(only_ready, bool):
            raise InvalidInput('"ready" must be true or false')
        reply(
            exchange,
            [
                {name: value for name, value in entry.items() if value is not None}
                for one in self._repository.index()
                if (entry := {"name": one.name, "version": one.version, "state": one.state, "reason": one.reason})
                and (not only_ready or one.state == State.READY.value)
            ],
        )

    def load(self, exchange: Exchange, name: str) -> None:
        parameters = _parameters(exchange)
        attend(exchange, self._load(exchange, name, parameters), to_its_end=True)

    def unload(self, exchange: Exchange, name: str) -> None:
        _parameters(exchange)
        attend(exchange, self._unload(exchange, name), to_its_end=True)

    async def _load(self, exchange: Exchange, name: str, parameters: Mapping[str, Any] | None) -> None:
        try:
            await self._repository.open(name, parameters)
        except LoadError as error:
            raise LoadFailed(self._failure(name, error)) from None
        reply(exchange, {"name": name, "load": True})

    def _failure(self, name: str, error: LoadError) -> str:
        try:
            still = self._repository.get(name).ready
        except (ModelNotFound, Unloaded):
            still = False
        if still:
            return f"Model with name {name} could not be loaded anew and goes on as it was. {error}"
        return f"Model with name {name} is not ready. {error}"

    async def _unload(self, exchange: Exchange, name: str) -> None:
        await self._repository.shut(name)
        reply(exchange, {"name": name, "unload": True})


def _object(exchange: Exchange) -> dict[str, Any]:
    """The JSON object that a body is; none is an empty one."""
    body = bodies.decode_json(exchange.body) if exchange.body.strip() else {}
    if not isinstance(body, dict):
        raise InvalidInput("the request must be a JSON object, or empty")
    return body


def _parameters(exchange: Exchange) -> dict[str, Any] | None:
    """What a load request says beside the name: Triton's clients send a configuration, and files by their paths."""
    found = _object(exchange).get("parameters")
    lenient.parameters(found, "the request")
    return found
