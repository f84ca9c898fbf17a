"""V2's binary tensor extension over REST: JSON first, then the tensors that it tells of, as raw blocks.

The header ``Inference-Header-Content-Length`` says where the JSON ends. Which outputs come back so is the request's to
say: for all by ``binary_data_output``, for one by its own ``binary_data``.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from mizzen.serve.codecs import bodies, raw
from mizzen.serve.codecs.blocks import BINARY_SIZE, Blocks
from mizzen.serve.codecs.bodies import Infer
from mizzen.serve.codecs.datatypes import name as datatype_name
from mizzen.serve.errors import InvalidInput
from mizzen.serve.model import Parameters, Tensor

BINARY = "binary_data"


class _Output(Struct, gc=False):
    name: str
    shape: tuple[int, ...]
    datatype: str
    parameters: Parameters | UnsetType = UNSET
    data: list[Any] | UnsetType = UNSET


class _Response(Struct, gc=False):
    id: str
    model_name: str
    model_version: str | None
    outputs: list[_Output]
    parameters: Parameters | UnsetType = UNSET


_encode = msgspec.json.Encoder(enc_hook=bodies.plain_value).encode


def decode(body: bytes, length: bytes, model: str) -> Infer:
    """A V2 request with raw blocks after its JSON.

    Args:
        length: the value of the header that says how long the JSON is.

    Raises:
        InvalidInput: says which input, and what is wrong with it.
    """
    text = length.decode("latin-1").strip()
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise InvalidInput(f"Inference-Header-Content-Length must be a number of bytes, not {text[:40]!r}")
    end = int(text)
    if end > len(body):
        raise InvalidInput(f"Inference-Header-Content-Length is {end}, but the body has only {len(body)} bytes")
    whole = memoryview(body)
    blocks = Blocks(whole[end:])
    request = bodies.decode_infer(whole[:end], model, blocks)
    blocks.finish()
    return request


def are_wanted(request: Infer, outputs: list[Tensor]) -> list[bool]:
    """Which of the outputs are to be raw blocks."""
    everywhere = request.binary_output
    said: dict[str, Any] = {}
    for output in request.outputs or ():
        if output.parameters and BINARY in output.parameters:
            said[output.name] = output.parameters[BINARY]
    return [bool(said.get(tensor.name, everywhere)) for tensor in outputs]


def encode(
    model: str,
    version: str | None,
    request: str | None,
    outputs: list[Tensor],
    blocks: list[bool],
    parameters: Parameters | None = None,
) -> tuple[int, bytes]:
    """A V2 response with raw blocks, and how long its JSON is. Keys are in KServe's order.

    Args:
        request: the request's id; one is made up where it has none.
        blocks: which of the outputs are blocks.

    Raises:
        InferenceError: an output is of a type that the protocol does not know.
    """
    told = []
    pieces: list[raw.Buffer] = [b""]
    for tensor, block in zip(outputs, blocks, strict=True):
        if block:
            data = raw.pack(tensor.array, tensor.name)
            pieces.append(data)
            said = {**(tensor.parameters or {}), BINARY_SIZE: len(data)}
            told.append(_Output(tensor.name, tensor.array.shape, datatype_name(tensor.array.dtype) or "", said))
        else:
            plain = bodies.output(tensor)
            told.append(_Output(plain.name, plain.shape, plain.datatype, plain.parameters or UNSET, plain.data))
    pieces[0] = _encode(
        _Response(bodies.make_id() if request is None else request, model, version, told, parameters or UNSET)
    )
    return len(pieces[0]), b"".join(pieces)
