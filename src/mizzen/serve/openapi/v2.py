"""V2's routes, as OpenAPI tells of them."""

from __future__ import annotations

from typing import Any

from mizzen.serve.codecs.datatypes import NUMPY
from mizzen.serve.openapi.parts import MODEL, VERSION, Json, answer, json, operation, ref

_TAG = "V2"

_LENGTH = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "required": False,
    "description": "How long the JSON is, where raw blocks follow it (the binary tensor extension).",
    "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
}


def _of_model(name: str, version: tuple[Json, ...]) -> dict[str, Json]:
    """The routes of a model, or of one of its versions."""
    parameters = (MODEL, *version)
    which = "this version of a model" if version else "a model"
    return {
        "": {
            "get": operation(
                f"metadata{name}",
                _TAG,
                f"What {which} is, and what it takes",
                answer("its metadata", ref("ModelMetadata")),
                404,
                503,
                parameters=parameters,
            )
        },
        "/ready": {
            "get": operation(
                f"ready{name}",
                _TAG,
                f"Can {which} answer?",
                answer("it can", ref("ModelReady")),
                404,
                503,
                parameters=parameters,
            )
        },
        "/config": {
            "get": operation(
                f"configuration{name}",
                _TAG,
                f"The configuration of {which}, in Triton's form",
                answer("its fields, enumerations by name", ref("ModelConfig")),
                404,
                503,
                parameters=parameters,
            )
        },
        "/stats": {
            "get": operation(
                f"statistics{name}",
                _TAG,
                f"What {which} has answered, and how long that took",
                answer("since it was loaded", ref("Statistics")),
                404,
                503,
                parameters=parameters,
            )
        },
        "/infer": {
            "post": operation(
                f"infer{name}",
                _TAG,
                f"Ask {which}: tensors in, tensors out",
                {
                    "description": "the outputs; raw blocks after the JSON where they were asked for",
                    "content": {
                        **json(ref("InferResponse")),
                        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                    },
                },
                400,
                404,
                413,
                500,
                501,
                503,
                504,
                parameters=parameters,
                body={
                    **json(ref("InferRequest")),
                    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
                },
                description=(
                    "With the header `Inference-Header-Content-Length` the body is that much JSON, and after it the "
                    "raw block of each input that has a `binary_data_size`."
                ),
            )
        },
    }


PATHS: dict[str, Json] = {
    "/v2": {"get": operation("serverMetadata", _TAG, "What this server is", answer("it", ref("ServerMetadata")))},
    "/v2/health/live": {
        "get": operation("serverLive", _TAG, "Does the server run?", answer("it does", ref("Live"))),
    },
    "/v2/health/ready": {
        "get": operation(
            "serverReady", _TAG, "Can the server answer?", answer("at least one of its models can", ref("Ready")), 503
        ),
    },
    "/v2/models": {"get": operation("listModelsV2", _TAG, "The models", answer("their names", ref("ModelNames")))},
    "/v2/models/stats": {
        "get": operation(
            "statisticsAll",
            _TAG,
            "What all models have answered",
            answer("since they were loaded", ref("Statistics")),
        )
    },
    **{f"/v2/models/{{model}}{rest}": item for rest, item in _of_model("", ()).items()},
    **{
        f"/v2/models/{{model}}/versions/{{version}}{rest}": item
        for rest, item in _of_model("OfVersion", (VERSION,)).items()
    },
}
for _path, _item in PATHS.items():
    if _path.endswith("/infer"):
        _item["post"]["parameters"].append(_LENGTH)

_DATATYPE = {"type": "string", "enum": list(NUMPY)}


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> Json:
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


def _or_null(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


_TEXT = {"type": "string"}
_SHAPE = {"type": "array", "items": {"type": "integer"}}
_DURATION = _object({"count": {"type": "integer"}, "ns": {"type": "integer"}})
_STAGES = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")

SCHEMAS: dict[str, Json] = {
    "Live": _object({"live": {"type": "boolean", "const": True}}),
    "Ready": _object({"ready": {"type": "boolean", "const": True}}),
    "ServerMetadata": _object(
        {"name": _TEXT, "version": _TEXT, "extensions": {"type": "array", "items": _TEXT}},
    ),
    "TensorMetadata": _object(
        {"name": _TEXT, "datatype": _TEXT, "shape": {**_SHAPE, "description": "-1 is an axis of any length."}},
        {"parameters": {"type": "object"}},
    ),
    "ModelMetadata": _object(
        {
            "name": _TEXT,
            "versions": _or_null({"type": "array", "items": _TEXT}),
            "platform": _TEXT,
            "inputs": {"type": "array", "items": ref("TensorMetadata")},
            "outputs": {"type": "array", "items": ref("TensorMetadata")},
        }
    ),
    "ModelConfig": _object(
        {
            "name": _TEXT,
            "platform": _TEXT,
            "max_batch_size": {"type": "integer", "description": "0: the dims are whole, rows included."},
            "input": {"type": "array", "items": ref("ConfiguredTensor")},
            "output": {"type": "array", "items": ref("ConfiguredTensor")},
        },
        {"dynamic_batching": {"type": "object", "description": "There if requests may share a call."}},
    ),
    "ConfiguredTensor": _object({"name": _TEXT, "data_type": _TEXT, "dims": _SHAPE}),
    "InferInput": {
        **_object(
            {
                "name": _TEXT,
                "shape": _SHAPE,
                "datatype": _DATATYPE,
            },
            {
                "data": {
                    "type": "array",
                    "items": {},
                    "description": "Row by row, flat or nested. Absent where a raw block holds it.",
                },
                "parameters": _or_null(
                    {
                        **ref("Parameters"),
                        "description": "`binary_data_size` is the length of its raw block, `content_type` MLServer's.",
                    }
                ),
            },
        ),
    },
    "RequestedOutput": _object(
        {"name": _TEXT},
        {"parameters": _or_null({**ref("Parameters"), "description": "`binary_data`: as a raw block."})},
    ),
    "InferRequest": {
        **_object(
            {"inputs": {"type": "array", "minItems": 1, "items": ref("InferInput")}},
            {
                "id": {"type": ["string", "null"]},
                "parameters": _or_null(
                    {
                        **ref("Parameters"),
                        "description": "`binary_data_output`: all outputs as raw blocks; `timeout`, in microseconds.",
                    }
                ),
                "outputs": _or_null({"type": "array", "items": ref("RequestedOutput")}),
            },
        ),
        "examples": [
            {"inputs": [{"name": "input-0", "shape": [1, 4], "datatype": "FP32", "data": [5.1, 3.5, 1.4, 0.2]}]}
        ],
    },
    "InferOutput": _object(
        {"name": _TEXT, "shape": _SHAPE, "datatype": _DATATYPE},
        {"parameters": _or_null(ref("Parameters")), "data": {"type": "array"}},
    ),
    "InferResponse": _object(
        {
            "model_name": _TEXT,
            "model_version": {"type": ["string", "null"]},
            "id": _TEXT,
            "parameters": _or_null(ref("Parameters")),
            "outputs": {"type": "array", "items": ref("InferOutput")},
        }
    ),
    "Statistics": _object(
        {
            "model_stats": {
                "type": "array",
                "items": _object(
                    {
                        "name": _TEXT,
                        "version": _TEXT,
                        "last_inference": {"type": "integer", "description": "Milliseconds since the epoch."},
                        "inference_count": {"type": "integer", "description": "Requests that were answered."},
                        "execution_count": {"type": "integer", "description": "Calls of the model."},
                        "inference_stats": _object(dict.fromkeys(_STAGES, _DURATION)),
                    }
                ),
            }
        }
    ),
}
