"""V1's routes, as OpenAPI tells of them."""

from __future__ import annotations

from mizzen.serve.openapi.parts import MODEL, Json, answer, json, operation, ref

_TAG = "V1"
_ASKED = (400, 404, 413, 500, 501, 503, 504)

_EVENT = {"application/cloudevents+json": {"schema": ref("CloudEvent")}}

PATHS: dict[str, Json] = {
    "/v1/models": {"get": operation("listModelsV1", _TAG, "The models", answer("their names", ref("ModelNames")))},
    "/v1/models/{model}": {
        "get": operation(
            "modelReadyV1",
            _TAG,
            "Can this model answer?",
            answer("it can", ref("ModelReady")),
            404,
            503,
            parameters=(MODEL,),
        )
    },
    "/v1/models/{model}:predict": {
        "post": operation(
            "predictV1",
            _TAG,
            "Ask a model: rows in, predictions out",
            answer("a prediction for each row, in their order", ref("V1Response")),
            *_ASKED,
            parameters=(MODEL,),
            body={**json(ref("V1Request")), **_EVENT},
            description=(
                "Rows of numbers or texts, or objects by column names. A custom model may take any payload, and answer "
                "with any. A request that is a CloudEvent, in either mode, is answered by one."
            ),
        )
    },
    "/v1/models/{model}:explain": {
        "post": operation(
            "explainV1",
            _TAG,
            "Ask a model's explainer",
            answer("an explanation for each row, in their order", ref("V1Explained")),
            *_ASKED,
            parameters=(MODEL,),
            body={**json(ref("V1Request")), **_EVENT},
        )
    },
}

SCHEMAS: dict[str, Json] = {
    "ModelNames": {
        "type": "object",
        "required": ["models"],
        "properties": {"models": {"type": "array", "items": {"type": "string"}}},
    },
    "ModelReady": {
        "type": "object",
        "required": ["name", "ready"],
        "properties": {"name": {"type": "string"}, "ready": {"type": "boolean", "const": True}},
    },
    "CloudEvent": {
        "type": "object",
        "required": ["specversion", "id", "source", "type"],
        "properties": {
            "specversion": {"type": "string", "enum": ["1.0", "0.3"]},
            "id": {"type": "string"},
            "source": {"type": "string"},
            "type": {"type": "string"},
            "data": {"description": "What would be the body if it were no event."},
            "data_base64": {"type": "string"},
        },
    },
    "V1Request": {
        "type": "object",
        "description": "`inputs` wins where both are given.",
        "properties": {
            "signature_name": {"type": ["string", "null"]},
            "parameters": {"anyOf": [ref("Parameters"), {"type": "null"}]},
        },
        "anyOf": [
            {"required": ["instances"], "properties": {"instances": ref("V1Rows"), "inputs": False}},
            {"required": ["inputs"], "properties": {"inputs": {"anyOf": [ref("V1Rows"), ref("V1Tensors")]}}},
        ],
        "examples": [{"instances": [[5.1, 3.5, 1.4, 0.2]]}],
    },
    "V1Rows": {
        "type": "array",
        "minItems": 1,
        "description": 'Lists, numbers or texts; objects are columns by their names. `{"b64": "..."}` is bytes.',
    },
    "V1Tensors": {"type": "object", "minProperties": 1, "description": "Whole tensors by their names."},
    "V1Response": {
        "description": "`predictions` of a model of a framework; a custom model answers with what it likes.",
        "examples": [{"predictions": [0]}],
    },
    "V1Explained": {
        "description": "`explanations`; a custom model answers with what it likes.",
        "examples": [{"explanations": [[0.5, 0.1, -0.2, 0.0]]}],
    },
    "Parameters": {
        "type": "object",
        "description": "`timeout` is how long the answer is waited for, in microseconds.",
        "additionalProperties": {"type": ["string", "number", "boolean"]},
    },
}
