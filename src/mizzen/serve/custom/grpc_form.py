"""Requests and answers as gRPC messages, for models that hold or send such.

Messages that come in may be of any package (KServe's, Triton's client's, ours): their fields are read by name. What
goes out is ours, whose bytes are the same on the wire. Nothing of protobuf is imported before the first message is
made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from mizzen.serve.codecs import raw
from mizzen.serve.custom.errors import InvalidInput
from mizzen.serve.custom.tensors import BINARY_SIZE, InferInput, InferOutput, NamedTensor, RequestedOutput, plain

if TYPE_CHECKING:
    from mizzen.serve.custom.messages import InferRequest, InferResponse

T = TypeVar("T", bound=NamedTensor)


def request(message: InferRequest) -> Any:
    """A ``ModelInferRequest``.

    Raises:
        InvalidInput: a parameter or an input cannot be carried.
    """
    from mizzen.serve.protocols.grpc.schema import ModelInferRequest

    made = ModelInferRequest(
        model_name=message.model_name, model_version=message.model_version or "", id=message.id or ""
    )
    _put_parameters(made.parameters, message.parameters)
    for wanted in message.request_outputs or ():
        _put_parameters(made.outputs.add(name=wanted.name).parameters, wanted.parameters)
    _put_tensors(message.inputs, made.inputs, made.raw_input_contents, all_raw=False)
    return made


def response(message: InferResponse) -> Any:
    """A ``ModelInferResponse``.

    Raises:
        InvalidInput: a parameter or an output cannot be carried.
    """
    from mizzen.serve.protocols.grpc.schema import ModelInferResponse

    made = ModelInferResponse(
        model_name=message.model_name, model_version=message.model_version or "", id=message.id or ""
    )
    _put_parameters(made.parameters, message.parameters)
    _put_tensors(message.outputs, made.outputs, made.raw_output_contents, bool(message._use_binary_outputs))
    return made


def read_request(message: Any) -> InferRequest:
    """Of a ``ModelInferRequest``."""
    from mizzen.serve.custom.messages import InferRequest

    wanted = [RequestedOutput(one.name, plain(one.parameters) or None) for one in message.outputs]
    return InferRequest(
        message.model_name,
        [_tensor(InferInput, one) for one in message.inputs],
        message.id,
        message.raw_input_contents,
        True,
        plain(message.parameters),
        wanted or None,
        message.model_version,
    )


def read_response(message: Any) -> InferResponse:
    """Of a ``ModelInferResponse``."""
    from mizzen.serve.custom.messages import InferResponse

    return InferResponse(
        message.id,
        message.model_name,
        [_tensor(InferOutput, one) for one in message.outputs],
        message.model_version,
        message.raw_output_contents,
        True,
        plain(message.parameters),
    )


def _tensor(kind: type[T], one: Any) -> T:
    # One field of them is set at most, the one that the datatype asks for.
    data: list[Any] = next((list(values) for _, values in one.contents.ListFields()), [])
    return kind(one.name, list(one.shape), one.datatype, data, plain(one.parameters) or None)


def _put_tensors(tensors: list[Any], into: Any, blocks: Any, all_raw: bool) -> None:
    """Put tensors into a message: raw, all of them, if one of them is raw, an array, or of a type that has no field."""
    from mizzen.serve.protocols.grpc.tensors import FIELDS

    all_raw = all_raw or any(
        one._raw_data is not None or one.datatype not in FIELDS or one.holds_array for one in tensors
    )
    for one in tensors:
        if one.empty:
            raise InvalidInput(f"'data' field is missing for {one.kind} '{one.name}'")
        made = into.add(name=one.name, datatype=one.datatype, shape=[int(size) for size in one.shape])
        parameters = {name: value for name, value in plain(one.parameters).items() if name != BINARY_SIZE}
        _put_parameters(made.parameters, parameters)
        if all_raw:
            blocks.append(one._raw_data or bytes(raw.pack(one.to_tensor().array, one.name)))
            continue
        values = np.array(one.data, dtype=object).ravel().tolist()
        if one.datatype == "BYTES":
            values = [value.encode() if isinstance(value, str) else bytes(value) for value in values]
        try:
            getattr(made.contents, FIELDS[one.datatype]).extend(values)
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"{one.kind} '{one.name}' of datatype {one.datatype}: {error}") from None


def _put_parameters(into: Any, parameters: Any) -> None:
    for name, value in plain(parameters).items():
        if isinstance(value, bool):
            into[name].bool_param = value
        elif isinstance(value, int):
            into[name].int64_param = value
        elif isinstance(value, str):
            into[name].string_param = value
        elif isinstance(value, float):
            into[name].double_param = value
        else:
            raise InvalidInput(
                f"the parameter {name!r} is {value!r}: a gRPC message carries texts, numbers and booleans"
            )
