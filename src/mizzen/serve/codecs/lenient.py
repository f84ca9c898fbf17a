"""The V2 bodies that typed decoding refuses: read as KServe reads them, or explained.

KServe takes nested ``data``, datatypes in any case, and numbers sent as strings; so do we. What it drops or bends in
silence (1.5 sent as INT64, "no" as BOOL) is refused here, with the name of the input and what would be right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mizzen.serve.codecs.blocks import BINARY_SIZE, Blocks
from mizzen.serve.codecs.datatypes import NUMPY, Array, shaped
from mizzen.serve.errors import InvalidInput
from mizzen.serve.model import Parameters, Tensor
from mizzen.serve.protocols.asking import SHARED_MEMORY

_DATATYPES = {dtype: name for name, dtype in NUMPY.items()}


def tensors(body: Any, model: str, blocks: Blocks | None = None) -> list[Tensor]:
    """The ``inputs`` of a decoded body.

    Args:
        blocks: the raw blocks that came with it.

    Raises:
        InvalidInput: says which input and what is wrong with it.
    """
    if not isinstance(body, dict):
        raise InvalidInput(f"the request must be a JSON object, not {_kind(body)}")
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise InvalidInput('Expected "inputs" to be a list of at least one tensor')
    parameters(body.get("parameters"), "the request")
    return [_tensor(item, at, model, blocks) for at, item in enumerate(inputs)]


def requested(body: Any) -> list[tuple[str, Parameters | None]] | None:
    """The names in ``outputs`` with their parameters, or None where the request names none."""
    outputs = body.get("outputs")
    if outputs is None:
        return None
    if not isinstance(outputs, list):
        raise InvalidInput('Expected "outputs" to be a list')
    found = []
    for at, item in enumerate(outputs):
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            raise InvalidInput(f"outputs[{at}] must be an object with a name")
        parameters(item.get("parameters"), f"outputs[{at}]")
        found.append((item["name"], item.get("parameters")))
    return found


def identifier(body: Any) -> str | None:
    found = body.get("id")
    if found is not None and not isinstance(found, str):
        raise InvalidInput(f'"id" must be a string, not {_kind(found)}')
    return found


def parameters(value: Any, where: str) -> None:
    """Check a ``parameters`` map: strings, numbers and booleans."""
    if value is None:
        return
    if not isinstance(value, dict):
        raise InvalidInput(f"{where}: parameters must be an object, not {_kind(value)}")
    for name, item in value.items():
        if not isinstance(item, str | int | float | bool):
            raise InvalidInput(
                f"{where}: parameter {_show(name)} must be a string, number or boolean, not {_kind(item)}"
            )


def no_data(name: str, said: Parameters | None, model: str, blocks: Blocks | None) -> InvalidInput:
    """What is wrong with an input without data."""
    hint = ""
    if said and SHARED_MEMORY in said:
        hint = ": it is in shared memory, which is not read here: send its contents"
    elif blocks is None and said and BINARY_SIZE in said:
        hint = (
            f": its {BINARY_SIZE} tells of a raw block, but the request has no header Inference-Header-Content-Length"
        )
    elif blocks is not None:
        hint = f": it has no {BINARY_SIZE} either"
    return InvalidInput(f"'data' field is missing for input '{name}' for model '{model}'{hint}")


def both(name: str) -> InvalidInput:
    """What is wrong with an input that has data twice."""
    return InvalidInput(f"input '{name}' has data, and a {BINARY_SIZE} for a raw block: it must have one of the two")


def no_half(name: str) -> InvalidInput:
    """What is wrong with FP16 in JSON."""
    return InvalidInput(
        f"Sending FP16 data via JSON is not supported. Please use the binary data format for input {name}"
    )


def out_of_range(name: str, dtype: np.dtype[Any], values: Sequence[Any], error: OverflowError) -> InvalidInput:
    """What is wrong with an input of which numpy says that a number is too large."""
    return _out_of_range(f"input '{name}'", dtype, values, error)


def _out_of_range(where: str, dtype: np.dtype[Any], values: Sequence[Any], error: OverflowError) -> InvalidInput:
    if dtype.kind in "iu":
        low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
        for value in values:
            if not low <= value <= high:
                shown = _show(value)
                name = _DATATYPES[dtype]
                return InvalidInput(f"{where}: {shown} is out of range for {name}, which is from {low} to {high}")
    return InvalidInput(f"{where}: {error}")


def _tensor(item: Any, at: int, model: str, blocks: Blocks | None) -> Tensor:
    if not isinstance(item, dict):
        raise InvalidInput(f"inputs[{at}] must be an object, not {_kind(item)}")
    name = item.get("name")
    if not isinstance(name, str):
        raise InvalidInput(f"inputs[{at}] needs a name, a string")
    where = f"input '{name}'"
    datatype = item.get("datatype")
    if not isinstance(datatype, str) or datatype.upper() not in NUMPY:
        shown = f"datatype {_show(datatype)} is not known" if datatype is not None else "datatype is missing"
        raise InvalidInput(f"{where}: {shown}; it is one of {', '.join(NUMPY)}")
    datatype = datatype.upper()
    shape = _shape(item.get("shape"), where)
    said = item.get("parameters")
    parameters(said, where)
    if "data" not in item:
        if blocks is None or not said or BINARY_SIZE not in said:
            raise no_data(name, said, model, blocks)
        array = blocks.take(name, said.pop(BINARY_SIZE), datatype, shape)
        return Tensor(name, array, said or None)
    if blocks is not None and said and BINARY_SIZE in said:
        raise both(name)
    data = item["data"]
    if not isinstance(data, list):
        raise InvalidInput(f"{where}: data must be a list, not {_kind(data)}")
    if datatype == "FP16":
        raise no_half(name)
    array = _array(data, datatype, where)
    if datatype == "BYTES":
        return Tensor(name, texts(array, shape), said)
    return Tensor(name, shaped(array, shape, name), said)


def texts(array: Array, shape: list[int]) -> Array:
    """Texts in their shape if it fits; KServe never asks that it does, and clients rely on it."""
    try:
        return array.reshape(shape)
    except (ValueError, OverflowError, TypeError):
        return array


def _shape(value: Any, where: str) -> list[int]:
    if not isinstance(value, list):
        raise InvalidInput(f"{where}: shape must be a list of integers")
    sizes = []
    for size in value:
        if isinstance(size, str) and size.lstrip("-").isdecimal():
            size = int(size)
        if isinstance(size, bool) or not isinstance(size, int):
            raise InvalidInput(f"{where}: shape must be a list of integers, {_show(size)} is none")
        sizes.append(size)
    return sizes


def _array(data: list[Any], datatype: str, where: str) -> Array:
    dtype = NUMPY[datatype]
    if dtype.kind == "f":
        # Large nested tensors: numpy flattens them faster than we can.
        try:
            guess = np.array(data)
        except (ValueError, OverflowError):
            guess = None
        if guess is not None and guess.dtype.kind in "fiub":
            return _floats(guess.ravel(), dtype, where)
    flat = list(_flatten(data, where))
    whole: list[int] = []
    try:
        if dtype.kind == "f":
            return _floats(np.array([_float(value, where) for value in flat], np.float64), dtype, where)
        if dtype.kind == "b":
            return np.array([_bool(value, where) for value in flat], dtype)
        if dtype.kind == "O":
            found = np.empty(len(flat), dtype)
            found[:] = [_text(value, where) for value in flat]
            return found
        whole = [_int(value, where) for value in flat]
        return np.array(whole, dtype)
    except OverflowError as error:
        raise _out_of_range(where, dtype, whole, error) from None


def _floats(array: Array, dtype: np.dtype[Any], where: str) -> Array:
    try:
        with np.errstate(over="raise"):
            return array.astype(dtype)
    except FloatingPointError:
        raise InvalidInput(f"{where}: a value is too large for {dtype.name}") from None


def _flatten(data: list[Any], where: str) -> Iterator[Any]:
    """The leaves of equally long lists within lists."""
    level = data
    while any(isinstance(item, list) for item in level):
        lengths = {len(item) if isinstance(item, list) else -1 for item in level}
        if len(lengths) > 1:
            raise InvalidInput(f"{where}: data is ragged: its lists are not all of one length")
        level = [leaf for item in level for leaf in item]
    return iter(level)


def _float(value: Any, where: str) -> float:
    if value is None:
        return float("nan")
    if isinstance(value, str | int | float):
        try:
            return float(value)
        except ValueError:
            pass
        except OverflowError:
            raise InvalidInput(f"{where}: {_show(value)} is too large for a float") from None
    raise InvalidInput(f"{where}: {_show(value)} is not a number")


def _int(value: Any, where: str) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            pass
    if isinstance(value, int):
        return int(value)
    raise InvalidInput(f"{where}: {_show(value)} is not a whole number")


def _bool(value: Any, where: str) -> bool:
    if isinstance(value, bool) or value in (0, 1):
        return bool(value)
    raise InvalidInput(f"{where}: {_show(value)} is neither true nor false")


def _text(value: Any, where: str) -> str:
    if isinstance(value, str):
        return value
    raise InvalidInput(f"{where}: {_show(value)} is not a string")


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
