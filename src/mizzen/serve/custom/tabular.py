"""Between a payload and what frameworks take: the helpers that KServe's servers and most custom models are made with.

:func:`get_predict_input` makes an array, a DataFrame or a list of texts of a V1 or V2 request;
:func:`get_predict_response` makes the answer of the same protocol of what ``predict`` returned.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np

from mizzen.serve.codecs import datatypes
from mizzen.serve.custom.errors import InferenceError, InvalidInput
from mizzen.serve.custom.messages import InferRequest, InferResponse
from mizzen.serve.custom.tensors import InferOutput, plain
from mizzen.serve.model import Array

OUTPUT = "output-0"


def get_predict_input(payload: dict[str, Any] | InferRequest, columns: Sequence[str] | None = None) -> Any:
    """What a request asks about.

    Args:
        columns: of the table that rows given as objects make; None takes those of the rows.

    Returns:
        an array; a pandas DataFrame for rows given as objects, or where the request's parameter ``content_type`` is
        ``pd``; a list of texts for those.

    Raises:
        InvalidInput: it is no request of either protocol.
    """
    if isinstance(payload, dict):
        return _instances(payload, columns)
    if not isinstance(payload, InferRequest):
        raise InvalidInput(
            f"unsupported payload type {type(payload).__name__}: a V1 object or an InferRequest is wanted"
        )
    if plain(payload.parameters).get("content_type") == "pd":
        return payload.as_dataframe()
    if not payload.inputs:
        raise InvalidInput("the request has no input")
    first = payload.inputs[0]
    array = first.as_numpy()
    if first.datatype == "BYTES" and array.size and isinstance(array.flat[0], str):
        return array.tolist()
    return array


def get_predict_response(payload: dict[str, Any] | InferRequest, result: Any, model_name: str) -> Any:
    """The answer to a request: a V1 object, or an :class:`InferResponse`.

    Args:
        result: an array, a DataFrame (an output for each column), or a list.

    Raises:
        InvalidInput: the payload is no request of either protocol.
    """
    if isinstance(payload, dict):
        return {"predictions": _rows(result)}
    if not isinstance(payload, InferRequest):
        raise InvalidInput(
            f"unsupported payload type {type(payload).__name__}: a V1 object or an InferRequest is wanted"
        )
    if _is_frame(result):
        outputs = [_output(str(name), result[name].to_numpy(), payload) for name in result.columns]
    else:
        outputs = [_output(OUTPUT, _array(result), payload)]
    return InferResponse(
        payload.id or generate_uuid(),
        model_name,
        outputs,
        use_binary_outputs=payload.use_binary_outputs,
        requested_outputs=payload.request_outputs,
    )


def generate_uuid() -> str:
    return str(uuid.uuid4())


def to_np_dtype(datatype: str) -> Any:
    """numpy's type for one of the protocol's, or None."""
    dtype = datatypes.NUMPY.get(datatype)
    return None if dtype is None else dtype.type


def from_np_dtype(dtype: Any) -> str | None:
    """The protocol's name for a numpy type, or None if it has none."""
    return datatypes.name(np.dtype(dtype))


def _instances(payload: dict[str, Any], columns: Sequence[str] | None) -> Any:
    rows = payload.get("inputs", payload.get("instances"))
    if not isinstance(rows, list):
        raise InvalidInput('Expected "instances" to be a list')
    if not rows:
        return np.array(rows)
    first = rows[0]
    if isinstance(first, dict) or (isinstance(first, list) and first and isinstance(first[0], dict)):
        import pandas  # type: ignore[import-untyped]

        try:
            frames = [pandas.DataFrame(_columns_or_rows(row), columns=columns) for row in rows]
        except (ValueError, TypeError) as error:
            raise InvalidInput(f"the rows make no table: {error}") from None
        return pandas.concat(frames, axis=0)
    if isinstance(first, str):
        return rows
    try:
        return np.array(rows)
    except ValueError as error:
        raise InvalidInput(f"the rows are not all of one shape: {error}") from None


def _columns_or_rows(row: Any) -> Any:
    """One row whose values stand by themselves is a table of one row; KServe's helper fails on it."""
    if isinstance(row, dict) and not any(isinstance(value, list | tuple | np.ndarray) for value in row.values()):
        return [row]
    return row


def _rows(result: Any) -> Any:
    if _is_frame(result):
        return [row.to_dict() for _, row in result.iterrows()]
    return result.tolist() if isinstance(result, np.ndarray) else result


def _array(result: Any) -> Array:
    if isinstance(result, np.ndarray):
        return result
    if isinstance(result, list) and result and isinstance(result[0], str):
        return np.array(result, dtype=object)
    return np.array(result)


def _output(name: str, array: Array, payload: InferRequest) -> InferOutput:
    datatype = datatypes.name(array.dtype)
    if datatype is None:
        raise InferenceError(f"output '{name}' is of type {array.dtype}, which the protocol does not know")
    output = InferOutput(name, list(array.shape), datatype)
    output.set_data_from_numpy(array, binary_data=payload.use_binary_outputs)
    return output


def _is_frame(value: Any) -> bool:
    # Told by its methods, so that pandas is not imported for a model without it.
    return hasattr(value, "iterrows") and hasattr(value, "columns")
