"""``ModelInfer``: from the message to arrays, and from the model's outputs to the message.

Protobuf's own parser reads and writes everything but raw contents on their way out: those are put behind the message
that it wrote, where they belong by their number, and so are copied once.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError
from msgspec import Struct

from mizzen.serve.codecs.bodies import make_id
from mizzen.serve.codecs.raw import Buffer
from mizzen.serve.codecs.slices import Slices, at_once
from mizzen.serve.errors import DeadlineExceeded, InferenceError, InvalidInput
from mizzen.serve.model import Extras, Parameter, Parameters, Servable, Tensor
from mizzen.serve.protocols import asking
from mizzen.serve.protocols.asking import SHARED_MEMORY
from mizzen.serve.protocols.grpc import tensors
from mizzen.serve.protocols.grpc.schema import ModelInferRequest, ModelInferResponse
from mizzen.serve.protocols.grpc.tensors import (
    datatype_of,
    read_contents,
    read_raw,
    reading,
    reading_raw,
    varint,
    write_contents,
    write_raw,
    writing,
    writing_raw,
)

# Says how many bytes an output has among the raw ones, as KServe's servers do.
BINARY_SIZE = "binary_data_size"

_RAW_OUTPUT = b"\x32"

# Of Triton's streams: says of an answer whether it is its request's last; and asks for one without outputs at the end,
# where a model gives several and does not know which is the last.
_FINAL = "triton_final_response"
_EMPTY_FINAL = "triton_enable_empty_final_response"

_INT64 = 1 << 63

# Tensors that are read in one slice.
_TENSORS = 64


class Asked(Struct, gc=False):
    """A request, decoded.

    Attributes:
        outputs: those it asks for; None is all.
        raw: whether its contents were, so that the answer's are, too.
        texts: whether an input holds some.
        empty_final: whether several answers to it are to be followed by one without outputs.
    """

    id: str
    inputs: list[Tensor]
    parameters: Parameters | None
    outputs: list[str] | None
    raw: bool
    texts: bool = False
    empty_final: bool = False


def parse(kind: Any, message: bytes) -> Any:
    """A message of a kind.

    Raises:
        InvalidInput: it is none.
    """
    try:
        return kind.FromString(message)
    except DecodeError as error:
        raise InvalidInput(f"this is no {kind.DESCRIPTOR.full_name}: {error}") from None


def read_request(message: bytes) -> Any:
    """The request's message.

    Raises:
        InvalidInput: it is none.
    """
    return parse(ModelInferRequest, message)


def decode(request: Any) -> Asked:
    """What a ``ModelInferRequest`` asks.

    Raises:
        InvalidInput: says what is wrong, and with which input.
    """
    return at_once(decoding(request, False))


def decoding(request: Any, unhurried: bool = True) -> Slices[Asked]:
    """The same in slices, if it is ``unhurried``."""
    model = request.model_name
    inputs = request.inputs
    if not inputs:
        raise InvalidInput(f"the request has no inputs for model '{model}'; it takes at least one tensor")
    contents = request.raw_input_contents
    raw = len(contents) > 0
    if raw and len(contents) != len(inputs):
        raise InvalidInput(
            f"the number of inputs ({len(inputs)}) does not match the expected number of raw input contents "
            f"({len(contents)}) for model '{model}'."
        )
    found = []
    texts = False
    for at, tensor in enumerate(inputs):
        name, datatype, shape = tensor.name, tensor.datatype, list(tensor.shape)
        parameters = read_parameters(tensor.parameters) if tensor.parameters else None
        if parameters is not None:
            parameters.pop(BINARY_SIZE, None)
            if SHARED_MEMORY in parameters:
                raise InvalidInput(f"input '{name}' is in shared memory, which is not read here: send its contents")
        if not raw:
            if unhurried:
                array = yield from reading(datatype, shape, tensor.contents, name)
            else:
                array = read_contents(datatype, shape, tensor.contents, name)
        elif tensor.HasField("contents"):
            raise InvalidInput(
                "contents field must not be specified when using raw_input_contents for input "
                f"'{name}' for model '{model}'"
            )
        elif unhurried:
            array = yield from reading_raw(datatype, shape, contents[at], name)
        else:
            array = read_raw(datatype, shape, contents[at], name)
        if unhurried and not at % _TENSORS:
            yield
        texts = texts or datatype == "BYTES"
        found.append(Tensor(name, array, parameters or None))
    parameters = read_parameters(request.parameters) if request.parameters else None
    empty_final = parameters is not None and parameters.pop(_EMPTY_FINAL, None) is True
    outputs = [_requested(output) for output in request.outputs] if request.outputs else None
    return Asked(request.id, found, parameters, outputs, raw, texts, empty_final)


def deadline(asked: Asked, by_call: float | None, now: float) -> float | None:
    """When its caller stops waiting, by its call or by its own parameter; on the clock of ``now``.

    Raises:
        InvalidInput: its parameter is none.
        DeadlineExceeded: it has stopped already.
    """
    by_parameter = asking.deadline(asked.parameters, now) if asked.parameters else None
    if by_call is None:
        return by_parameter
    if by_call <= now:
        raise DeadlineExceeded
    return by_call if by_parameter is None else min(by_call, by_parameter)


def _requested(output: Any) -> str:
    name: str = output.name
    asking.check_output(name, output.parameters)
    return name


def read_parameters(fields: Any) -> Parameters:
    """The parameters of a message.

    Raises:
        InvalidInput: one has no value.
    """
    found: Parameters = {}
    for name, value in fields.items():
        kind = value.WhichOneof("parameter_choice")
        if kind is None:
            raise InvalidInput(f"the parameter {name} has no value, or one of a kind that is not known here")
        found[name] = getattr(value, kind)
    return found


def encode(
    model: Servable, asked: Asked, outputs: list[Tensor], extras: Extras | None = None, final: bool | None = None
) -> list[Buffer]:
    """The parts of a ``ModelInferResponse``.

    Args:
        asked: the request that is answered.
        outputs: the model's, of which those it asks for are sent.
        final: what to say, as Triton does on streams, of whether this is the request's last answer.

    Raises:
        InvalidInput: an output that it asks for does not exist.
        InferenceError: an output is of a type that the protocol does not know.
    """
    return at_once(encoding(model, asked, outputs, extras, final, False))


def encoding(
    model: Servable,
    asked: Asked,
    outputs: list[Tensor],
    extras: Extras | None = None,
    final: bool | None = None,
    unhurried: bool = True,
) -> Slices[list[Buffer]]:
    """The same in slices, if it is ``unhurried``."""
    outputs = asking.chosen(outputs, asked.outputs, model.name)
    response = ModelInferResponse(model_name=model.name, model_version=model.version or "", id=asked.id or make_id())
    datatypes = [datatype_of(tensor.array, tensor.name) for tensor in outputs]
    raw = asked.raw or "FP16" in datatypes
    blocks: list[Buffer] = []
    for tensor, datatype in zip(outputs, datatypes, strict=True):
        name, array = tensor.name, tensor.array
        output = response.outputs.add(name=name, datatype=datatype, shape=array.shape)
        if tensor.parameters:
            write_parameters(tensor.parameters, output.parameters)
        if raw:
            block = (yield from writing_raw(array, name)) if unhurried else write_raw(array, name)
            output.parameters[BINARY_SIZE].int64_param = len(block)
            blocks += (_RAW_OUTPUT, varint(len(block)), block)
        elif unhurried:
            yield from writing(datatype, array, output.contents)
        else:
            write_contents(datatype, array, output.contents)
    if extras is not None and extras.parameters:
        write_parameters(extras.parameters, response.parameters)
    if final is not None:
        response.parameters[_FINAL].bool_param = final
    return [response.SerializeToString(), *blocks]


def empty_final(model: Servable, asked: Asked) -> list[Buffer]:
    """The parts of the answer that says that there are no more."""
    response = ModelInferResponse(model_name=model.name, model_version=model.version or "", id=asked.id)
    response.parameters[_FINAL].bool_param = True
    return [response.SerializeToString()]


def is_long(asked: Asked, outputs: list[Tensor]) -> bool:
    """Whether an answer takes so long to be written that it is to be done in slices."""
    # By far most answers are of one small array, for which any() would cost more than all else here.
    for tensor in outputs:  # noqa: SIM110
        if tensors.is_long(tensor.array, asked.raw):
            return True
    return False


def write_parameters(parameters: Parameters, fields: Any) -> None:
    """Put parameters into a message's map of them.

    Raises:
        InferenceError: there is no form for one.
    """
    for name, value in parameters.items():
        _write(name, value, fields[name])


def _write(name: str, value: Parameter, field: Any) -> None:
    if isinstance(value, bool):
        field.bool_param = value
    elif isinstance(value, int):
        if -_INT64 <= value < _INT64:
            field.int64_param = value
        elif 0 <= value < 2 * _INT64:
            field.uint64_param = value
        else:
            raise InferenceError(f"the parameter {name} is too large a number: {value}")
    elif isinstance(value, float):
        field.double_param = value
    elif isinstance(value, str):
        field.string_param = value
    else:
        raise InferenceError(f"the parameter {name} must be a bool, a number or a text, not {type(value).__name__}")
