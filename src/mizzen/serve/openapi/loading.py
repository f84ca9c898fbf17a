"""The model repository's routes, as OpenAPI tells of them."""

from __future__ import annotations

from mizzen.serve.openapi.parts import MODEL, Json, answer, json, operation, ref

_TAG = "Repository"

PATHS: dict[str, Json] = {
    "/v2/repository/index": {
        "post": operation(
            "repositoryIndex",
            _TAG,
            "All models that are or could be served",
            answer("one entry for each version", {"type": "array", "items": ref("IndexEntry")}),
            400,
            body=json({"type": "object", "properties": {"ready": {"type": "boolean"}}}),
            body_required=False,
        )
    },
    "/v2/repository/models/{model}/load": {
        "post": operation(
            "loadModel",
            _TAG,
            "Load a model, or load it anew",
            answer("it is loaded", ref("Loaded")),
            400,
            404,
            503,
            parameters=(MODEL,),
            body=json(ref("LoadRequest")),
            body_required=False,
        )
    },
    "/v2/repository/models/{model}/unload": {
        "post": operation(
            "unloadModel",
            _TAG,
            "Let a model go, once it has answered what it has taken",
            answer("it is gone", ref("Unloaded")),
            400,
            404,
            parameters=(MODEL,),
            body=json(ref("LoadRequest")),
            body_required=False,
        )
    },
}

SCHEMAS: dict[str, Json] = {
    "IndexEntry": {
        "type": "object",
        "required": ["name", "state", "reason"],
        "properties": {
            "name": {"type": "string"},
            "version": {"type": "string"},
            "state": {"type": "string", "enum": ["LOADING", "READY", "UNLOADING", "UNAVAILABLE"]},
            "reason": {"type": "string"},
        },
    },
    "LoadRequest": {
        "type": "object",
        "properties": {"parameters": {"anyOf": [ref("Parameters"), {"type": "null"}]}},
    },
    "Loaded": {
        "type": "object",
        "required": ["name", "load"],
        "properties": {"name": {"type": "string"}, "load": {"type": "boolean", "const": True}},
    },
    "Unloaded": {
        "type": "object",
        "required": ["name", "unload"],
        "properties": {"name": {"type": "string"}, "unload": {"type": "boolean", "const": True}},
    },
}
