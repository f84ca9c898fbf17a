"""Between V1 and V2: the same rows, as a JSON list or as tensors.

A V1 list of rows is one tensor; rows that are objects are a table, and so a tensor for each column. Back again, one
output's rows are the predictions, and several are objects with a value of each. The names and types of tensors, which
V1 does not know, are those that the predictor's metadata tell.
"""

from __future__ import annotations

import base64
from typing import Any, cast

import numpy as np

from mizzen.serve.codecs import datatypes
from mizzen.serve.codecs.bodies import encode, make_id
from mizzen.serve.codecs.instances import decode_predict
from mizzen.serve.custom.errors import InferenceError, InvalidInput
from mizzen.serve.custom.messages import InferRequest, InferResponse
from mizzen.serve.custom.tensors import InferInput, InferOutput
from mizzen.serve.model import Array, Servable, Tensor, TensorMetadata

INPUT, OUTPUT = "input-0", "output-0"


def is_v2(payload: Any) -> bool:
    """Whether a JSON object is a V2 request: its inputs are tensors."""
    inputs = payload.get("inputs") if isinstance(payload, dict) else None
    return (
        isinstance(inputs, list)
        and bool(inputs)
        and all(isinstance(one, dict) and {"name", "shape", "datatype"} <= one.keys() for one in inputs)
    )


def to_v2(payload: Any, model: str, known: list[TensorMetadata]) -> InferRequest:
    """A V1 request as a V2 one.

    Args:
        known: the predictor's inputs, as far as it tells.

    Raises:
        InvalidInput: it is no V1 request, or its rows are no tensor.
    """
    if not isinstance(payload, dict):
        raise InvalidInput(
            f"a V2 predictor takes no {type(payload).__name__}: a V1 object or an InferRequest is wanted"
        )
    predictor = Servable(model)
    predictor.inputs = known
    request = decode_predict(encode(payload), predictor)
    if request is None:
        raise InvalidInput('a V1 request has "instances", a list of rows')
    tensors = request.inputs
    by_name = {one.name: one for one in known}
    single = len(tensors) == 1 and tensors[0].name == "instances"
    inputs = []
    for tensor in tensors:
        told = by_name.get(tensor.name)
        name = tensor.name
        if single:
            told = known[0] if len(known) == 1 else None
            name = told.name if told is not None else INPUT
        inputs.append(_of(Tensor(name, _cast(tensor.array, told))))
    parameters: dict[str, Any] = dict(request.parameters or {})
    if not single:
        parameters["content_type"] = "pd"
    return InferRequest(model, inputs, make_id(), parameters=parameters)


def to_v1(request: InferRequest) -> dict[str, Any]:
    """A V2 request as a V1 one.

    Raises:
        InvalidInput: its tensors do not have the same number of rows.
    """
    return {"instances": _rows([one.to_tensor() for one in request.inputs], "input")}


def to_v1_answer(response: InferResponse) -> dict[str, Any]:
    """A V2 answer as a V1 one.

    Raises:
        InferenceError: its tensors do not have the same number of rows.
    """
    try:
        return {"predictions": _rows([one.to_tensor() for one in response.outputs], "output")}
    except InvalidInput as error:
        raise InferenceError(f"the predictor's answer has no V1 form: {error}", 502) from error


def to_v2_answer(answer: Any, request: InferRequest) -> InferResponse:
    """A V1 answer as the V2 answer to a request.

    Raises:
        InferenceError: it has no predictions, or they are no tensor.
    """
    rows = answer.get("predictions") if isinstance(answer, dict) else None
    if not isinstance(rows, list):
        raise InferenceError('the predictor\'s answer has no "predictions", a list', 502)
    columns: dict[str, list[Any]] = {OUTPUT: rows}
    if rows and all(isinstance(row, dict) and row.keys() == rows[0].keys() for row in rows):
        columns = {name: [row[name] for row in rows] for name in rows[0]}
    outputs = []
    for name, values in columns.items():
        try:
            array = np.array(values)
        except ValueError:
            raise InferenceError(f"the predictor's answer is no tensor: {name} is ragged", 502) from None
        if array.dtype.kind == "O" and any(isinstance(value, dict | list) for value in array.ravel().tolist()):
            raise InferenceError(f"the predictor's answer is no tensor: {name} holds objects", 502)
        if array.dtype.kind == "U":
            array = np.array(values, dtype=object)
        outputs.append(InferOutput(name, list(array.shape), datatypes.name(array.dtype) or "BYTES", array))
    return InferResponse(request.id or make_id(), request.model_name, outputs)


def _of(tensor: Tensor) -> InferInput:
    return cast(InferInput, InferInput.of(tensor))


def _cast(array: Array, told: TensorMetadata | None) -> Array:
    dtype = datatypes.NUMPY.get(told.datatype) if told is not None else None
    if dtype is None or dtype == array.dtype:
        return array
    try:
        return array.astype(dtype)
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"the predictor's input is of datatype {told.datatype if told else ''}: {error}") from None


def _rows(tensors: list[Tensor], what: str) -> list[Any]:
    """Rows of one tensor, or objects with a value of each of several.

    Raises:
        InvalidInput
    """
    if not tensors:
        raise InvalidInput(f"there is no {what}")
    listed = [(one.name, _listed(one.array)) for one in tensors]
    if len(listed) == 1:
        return listed[0][1]
    lengths = {len(rows) for _, rows in listed}
    if len(lengths) > 1:
        told = ", ".join(f"{name} has {len(rows)}" for name, rows in listed)
        raise InvalidInput(f"in V1 all {what}s have the same number of rows: {told}")
    names = [name for name, _ in listed]
    return [dict(zip(names, row, strict=True)) for row in zip(*(rows for _, rows in listed), strict=True)]


def _listed(array: Array) -> list[Any]:
    if not array.ndim:
        array = array.reshape(1)
    if array.dtype.kind == "M":
        array = array.astype(str)
    rows: list[Any] = array.tolist()
    return [_texts(row) for row in rows] if array.dtype.kind == "O" else rows


def _texts(value: Any) -> Any:
    """Bytes as texts, or, where they are none, as V1 carries bytes."""
    if isinstance(value, list):
        return [_texts(one) for one in value]
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}
