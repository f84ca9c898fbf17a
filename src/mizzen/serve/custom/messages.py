"""A V2 request and its answer as a custom model holds them, whichever protocol brought them.

Beside the tensors they carry what the request says (id, parameters, wanted outputs) and can be written in the
protocol's two forms: JSON, with raw blocks behind it where a tensor is raw, and the gRPC message.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np

from mizzen.serve.codecs import raw
from mizzen.serve.codecs.bodies import decode_json, encode, make_id
from mizzen.serve.custom import grpc_form
from mizzen.serve.custom.errors import InvalidInput
from mizzen.serve.custom.tensors import BINARY_SIZE, InferInput, InferOutput, NamedTensor, RequestedOutput, plain

T = TypeVar("T", bound=NamedTensor)


class InferRequest:
    """Args:
    request_id: what the answer is to carry, too.
    raw_inputs: raw bytes for each input, in their order.
    request_outputs: the outputs that are asked for; None is all.
    """

    def __init__(
        self,
        model_name: str,
        infer_inputs: list[InferInput],
        request_id: str | None = None,
        raw_inputs: Sequence[bytes] | None = None,
        from_grpc: bool | None = False,
        parameters: dict[str, Any] | None = None,
        request_outputs: list[RequestedOutput] | None = None,
        model_version: str | None = None,
    ) -> None:
        self.id = request_id
        self.model_name = model_name
        self.model_version = model_version
        self.inputs = infer_inputs
        self.parameters = parameters
        self.from_grpc = from_grpc
        self.request_outputs = request_outputs
        self._raw = bool(raw_inputs)
        _put_raw(infer_inputs, raw_inputs)

    @property
    def use_binary_outputs(self) -> bool:
        """Whether the answer's tensors are asked for as raw bytes."""
        if self.from_grpc:
            return self._raw
        return bool(plain(self.parameters).get("binary_data_output", False))

    @classmethod
    def from_rest(cls, model_name: str | dict[str, Any], request: dict[str, Any] | None = None) -> InferRequest:
        """Of a V2 request's JSON object; the name may be left out if the object has ``model_name``.

        Raises:
            InvalidInput: says what is missing.
        """
        body = request if request is not None else model_name
        if not isinstance(body, dict) or not isinstance(body.get("inputs"), list):
            raise InvalidInput('a V2 request is an object with "inputs", a list of tensors')
        name = model_name if isinstance(model_name, str) else str(body.get("model_name", ""))
        inputs = [_tensor(InferInput, one) for one in body["inputs"]]
        return cls._of(name, body, inputs)

    @classmethod
    def from_bytes(cls, req_bytes: bytes, json_length: int, model_name: str) -> InferRequest:
        """Of a body in the binary form: ``json_length`` bytes of JSON, and raw blocks behind it.

        Raises:
            InvalidInput: it is not in that form.
        """
        body = _object(req_bytes[:json_length])
        return cls._of(model_name, body, _with_blocks(InferInput, body.get("inputs"), req_bytes, json_length))

    @classmethod
    def _of(cls, name: str, body: dict[str, Any], inputs: list[InferInput]) -> InferRequest:
        wanted = body.get("outputs")
        outputs = None if wanted is None else [RequestedOutput(one["name"], one.get("parameters")) for one in wanted]
        return cls(name, inputs, body.get("id"), parameters=body.get("parameters"), request_outputs=outputs)

    def to_rest(self) -> tuple[bytes | dict[str, Any], int | None]:
        """The JSON object; if a tensor is raw, the body in the binary form and how long its JSON is.

        Raises:
            InvalidInput: an input has no data, or no JSON form.
        """
        body: dict[str, Any] = {"id": self.id or make_id(), "model_name": self.model_name}
        body["inputs"], blocks = _listed(self.inputs, self.model_name)
        if self.request_outputs:
            body["outputs"] = [_requested(one) for one in self.request_outputs]
        if self.parameters:
            body["parameters"] = plain(self.parameters)
        return _joined(body, blocks)

    def to_grpc(self) -> Any:
        """The gRPC message ``ModelInferRequest``.

        Raises:
            InvalidInput: a parameter or an input cannot be carried.
        """
        return grpc_form.request(self)

    def as_dataframe(self) -> Any:
        """A pandas DataFrame with one column for each input, texts decoded."""
        return _frame(self.inputs)

    def get_input_by_name(self, name: str) -> InferInput | None:
        """The first input of that name, or None."""
        return next((one for one in self.inputs if one.name == name), None)

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "model_name": self.model_name,
            "inputs": [one.to_dict() for one in self.inputs],
            "parameters": self.parameters,
            "from_grpc": self.from_grpc,
        }

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, InferRequest):
            return NotImplemented
        mine, theirs = (
            (one.id, one.model_name, one.from_grpc, one.parameters, one.inputs, one.request_outputs)
            for one in (self, other)
        )
        return mine == theirs

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return (
            f"InferRequest(id={self.id!r}, model_name={self.model_name!r}, inputs={self.inputs!r}, "
            f"parameters={self.parameters!r})"
        )

    # In a class body the instance attribute above hides this; on the class it is how KServe's code makes a request.
    @classmethod
    def _from_grpc(cls, request: Any) -> InferRequest:
        return grpc_form.read_request(request)

    from_grpc: Any = _from_grpc


class InferResponse:
    """Args:
    response_id: the request's id, or one of the model's own.
    raw_outputs: raw bytes for each output, in their order.
    use_binary_outputs, requested_outputs: how :meth:`to_rest` writes it; the server itself goes by the request.
    """

    _known: ClassVar[tuple[str, ...]] = ("id", "model_name", "model_version", "parameters")

    def __init__(
        self,
        response_id: str | None,
        model_name: str,
        infer_outputs: list[InferOutput],
        model_version: str | None = None,
        raw_outputs: Sequence[bytes] | None = None,
        from_grpc: bool | None = False,
        parameters: dict[str, Any] | None = None,
        use_binary_outputs: bool | None = False,
        requested_outputs: list[RequestedOutput] | None = None,
    ) -> None:
        self.id = response_id
        self.model_name = model_name
        self.model_version = model_version
        self.outputs = infer_outputs
        self.parameters = parameters
        self.from_grpc = from_grpc
        self._use_binary_outputs = use_binary_outputs
        self._requested_outputs = requested_outputs
        _put_raw(infer_outputs, raw_outputs)

    @classmethod
    def from_rest(cls, response: dict[str, Any]) -> InferResponse:
        """Of a V2 answer's JSON object. Outputs may have their data in ``contents``, as the gRPC message has.

        Raises:
            InvalidInput: it is no V2 answer.
        """
        if not isinstance(response, dict) or not isinstance(response.get("outputs"), list):
            raise InvalidInput('a V2 answer is an object with "outputs", a list of tensors')
        return cls._of(response, [_tensor(InferOutput, one) for one in response["outputs"]])

    @classmethod
    def from_bytes(cls, res_bytes: bytes, json_length: int) -> InferResponse:
        """Of a body in the binary form.

        Raises:
            InvalidInput: it is not in that form.
        """
        body = _object(res_bytes[:json_length])
        return cls._of(body, _with_blocks(InferOutput, body.get("outputs"), res_bytes, json_length))

    @classmethod
    def _of(cls, body: dict[str, Any], outputs: list[InferOutput]) -> InferResponse:
        return cls(
            body.get("id"),
            body.get("model_name", ""),
            outputs,
            model_version=body.get("model_version"),
            parameters=body.get("parameters"),
        )

    def to_rest(self) -> tuple[bytes | dict[str, Any], int | None]:
        """The JSON object without what is null; with raw outputs, the body in the binary form and its JSON's length.

        Raises:
            InvalidInput: a wanted output is not there, or one has no data or no JSON form.
        """
        outputs = []
        for wanted in self._requested_outputs or self.outputs:
            output = self.get_output_by_name(wanted.name)
            if output is None:
                raise InvalidInput(f"Unexpected inference output '{wanted.name}' for model '{self.model_name}'")
            binary = wanted.binary_data if isinstance(wanted, RequestedOutput) else self._use_binary_outputs
            outputs.append(_as_asked(output, bool(binary)))
        body: dict[str, Any] = {
            "id": self.id,
            "model_name": self.model_name,
            "model_version": self.model_version,
        }
        body["outputs"], blocks = _listed(outputs, self.model_name)
        if self.parameters:
            body["parameters"] = plain(self.parameters)
        return _joined(body, blocks)

    def to_grpc(self) -> Any:
        """The gRPC message ``ModelInferResponse``.

        Raises:
            InvalidInput: a parameter or an output cannot be carried.
        """
        return grpc_form.response(self)

    def get_output_by_name(self, name: str) -> InferOutput | None:
        """The first output of that name, or None."""
        return next((one for one in self.outputs if one.name == name), None)

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "model_name": self.model_name,
            "outputs": [one.to_dict() for one in self.outputs],
            "parameters": self.parameters,
            "from_grpc": self.from_grpc,
        }

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, InferResponse):
            return NotImplemented
        mine, theirs = (
            (one.id, one.model_name, one.model_version, one.from_grpc, one.parameters, one.outputs)
            for one in (self, other)
        )
        return mine == theirs

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return (
            f"InferResponse(id={self.id!r}, model_name={self.model_name!r}, outputs={self.outputs!r}, "
            f"parameters={self.parameters!r})"
        )

    @classmethod
    def _from_grpc(cls, response: Any) -> InferResponse:
        return grpc_form.read_response(response)

    from_grpc: Any = _from_grpc


def _put_raw(tensors: Sequence[NamedTensor], blocks: Sequence[bytes] | None) -> None:
    for tensor, block in zip(tensors, blocks or (), strict=False):
        tensor._raw_data = bytes(block)


def _tensor(kind: type[T], one: Any) -> T:
    try:
        contents = one.get("contents")
        data = one.get("data") if contents is None else next(iter(contents.values()), [])
        return kind(one["name"], list(one["shape"]), one["datatype"], data, one.get("parameters"))
    except (AttributeError, KeyError, TypeError):
        raise InvalidInput(
            f'an {kind.kind} is an object with "name", "shape", "datatype" and "data": {one!r}'
        ) from None


def _with_blocks(kind: type[T], tensors: Any, body: bytes, at: int) -> list[T]:
    """The tensors of a body in the binary form, whose blocks begin ``at``."""
    if not isinstance(tensors, list):
        raise InvalidInput(f"the JSON before the raw blocks lists no {kind.kind}s")
    found = []
    for one in tensors:
        tensor = _tensor(kind, one)
        size = (one.get("parameters") or {}).get(BINARY_SIZE)
        if one.get("data") is None:
            if not isinstance(size, int) or size < 0 or at + size > len(body):
                raise InvalidInput(
                    f"{kind.kind} '{tensor.name}' has neither data nor a raw block of {BINARY_SIZE} bytes"
                )
            tensor._raw_data = body[at : at + size]
            at += size
        found.append(tensor)
    return found


def _object(data: bytes) -> dict[str, Any]:
    body = decode_json(data)
    if not isinstance(body, dict):
        raise InvalidInput("the JSON before the raw blocks is no object")
    return body


def _listed(tensors: Iterable[NamedTensor], model: str) -> tuple[list[dict[str, Any]], list[bytes]]:
    """Tensors as JSON objects, and the raw blocks of those that are raw."""
    listed, blocks = [], []
    for tensor in tensors:
        if tensor.empty:
            raise InvalidInput(f"'data' field is missing for {tensor.kind} '{tensor.name}' for model '{model}'")
        one: dict[str, Any] = {"name": tensor.name, "shape": list(tensor.shape), "datatype": tensor.datatype}
        parameters = {name: value for name, value in plain(tensor.parameters).items() if name != BINARY_SIZE}
        if tensor._raw_data is not None:
            blocks.append(tensor._raw_data)
            parameters[BINARY_SIZE] = len(tensor._raw_data)
        if parameters:
            one["parameters"] = parameters
        if tensor._raw_data is None:
            one["data"] = _json_data(tensor)
        listed.append(one)
    return listed, blocks


def _json_data(tensor: NamedTensor) -> list[Any]:
    if tensor.datatype == "FP16":
        raise InvalidInput(
            f"Sending FP16 data via JSON is not supported. "
            f"Please use the binary data format for {tensor.kind} {tensor.name}"
        )
    data = tensor.data
    if isinstance(data, np.ndarray):
        data = data.ravel().tolist()
    if tensor.datatype != "BYTES":
        return list(data)
    try:
        return [one.decode() if isinstance(one, bytes) else one for one in data]
    except UnicodeDecodeError:
        raise InvalidInput(
            f"{tensor.kind} '{tensor.name}' holds bytes that are not UTF-8: JSON cannot carry them"
        ) from None


def _as_asked(output: InferOutput, binary: bool) -> NamedTensor:
    """An output with its data raw or not, as it is asked for."""
    if output.empty:
        return output
    array = output.to_tensor().array
    asked = InferOutput(output.name, list(array.shape), output.datatype, None, output.parameters)
    if binary:
        asked._raw_data = bytes(raw.pack(array, output.name))
    else:
        asked.data = array.ravel().tolist()
    return asked


def _requested(one: RequestedOutput) -> dict[str, Any]:
    return {"name": one.name} | ({"parameters": plain(one.parameters)} if one.parameters else {})


def _joined(body: dict[str, Any], blocks: list[bytes]) -> tuple[bytes | dict[str, Any], int | None]:
    if not blocks:
        return body, None
    head = encode(body)
    return b"".join([head, *blocks]), len(head)


def _frame(tensors: Sequence[NamedTensor]) -> Any:
    import pandas  # type: ignore[import-untyped]

    columns = []
    for tensor in tensors:
        values = tensor.as_string() if tensor.datatype == "BYTES" else tensor.as_numpy().ravel()
        columns.append(pandas.DataFrame({tensor.name: values}))
    return pandas.concat(columns, axis=1)
