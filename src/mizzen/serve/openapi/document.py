"""The OpenAPI document of a server: what each of its protocols says of itself, put together."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

from mizzen.serve import about
from mizzen.serve.openapi.parts import Json, answer, operation, ref
from mizzen.serve.routing import Documented, Protocol

_SERVER = "Server"

_PATHS: dict[str, Json] = {
    "/": {"get": operation("alive", _SERVER, "Does the server run?", answer("it does", ref("Alive")))},
    "/metrics": {
        "get": operation(
            "metrics",
            _SERVER,
            "Prometheus's metrics",
            {
                "description": "as text, or as OpenMetrics for who asks for it",
                "content": {
                    "text/plain": {"schema": {"type": "string"}},
                    "application/openmetrics-text": {"schema": {"type": "string"}},
                },
            },
        )
    },
    "/openapi.json": {
        "get": operation("openapi", _SERVER, "This document", answer("it", {"type": "object"})),
    },
}

_SCHEMAS: dict[str, Json] = {
    "Alive": {
        "type": "object",
        "required": ["status"],
        "properties": {"status": {"type": "string", "const": "alive"}},
    },
    "Error": {
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"description": "What was wrong, and what would be right."}},
    },
}


def document(protocols: Sequence[Protocol], models: Sequence[str]) -> Json:
    """Args:
    models: the names of those that are served now; they are given as examples.
    """
    paths, schemas = deepcopy(_PATHS), dict(_SCHEMAS)
    for protocol in protocols:
        if isinstance(protocol, Documented):
            paths |= deepcopy(protocol.paths())
            schemas |= protocol.schemas()
    examples = {name: {"value": name} for name in models}
    if examples:
        for item in paths.values():
            for one in item.values():
                for parameter in one.get("parameters", ()):
                    if parameter["name"] == "model":
                        parameter["examples"] = examples
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Mizzen model server",
            "version": about.VERSION,
            "description": "Models over KServe's protocols V1, V2 (the Open Inference Protocol) and OpenAI's. Errors "
            "are JSON, and say in `error` what was wrong.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": schemas},
    }
