"""What a model of tensors takes, and a request's tensors made to fit it, or refused with what would.

Frameworks say by themselves, in C++ words, that a tensor does not fit; most of what users get wrong is found here
instead. Names must be the model's. Types need not: JSON knows one kind of number, and clients send doubles to models of
single precision. So a number is converted wherever its value survives: floats are rounded to the model's precision,
whole numbers must stay what they are. Nothing is ever cut off, wrapped around or made infinite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from mizzen.serve.codecs import datatypes
from mizzen.serve.errors import InvalidInput, LoadError
from mizzen.serve.model import Array, Tensor, TensorMetadata

# What clients call the only input of a model whose names they do not know: V1's rows, and KServe's own clients.
ONLY = ("instances", "input-0")

OBJECT = np.dtype(object)


class Slot(Struct, frozen=True):
    """One input of a model.

    Attributes:
        dtype: None takes any; object is texts.
        shape: -1 for an axis of any length; None takes any.
        optional: whether a request may leave it out.
        aliases: other names that it goes by.
    """

    name: str
    dtype: np.dtype[Any] | None = None
    shape: tuple[int, ...] | None = None
    optional: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def metadata(self) -> TensorMetadata | None:
        """How the protocols tell of it; None if too little is known to."""
        datatype = datatypes.name(self.dtype) if self.dtype is not None else None
        if datatype is None or self.shape is None:
            return None
        return TensorMetadata(self.name, datatype, list(self.shape))


class Signature:
    """The inputs of a model.

    Args:
        model: its name, for messages.
        slots: in the model's own order.
    """

    def __init__(self, model: str, slots: Sequence[Slot]) -> None:
        self.slots = list(slots)
        self._model = model
        self._by_name = {alias: slot for slot in reversed(self.slots) for alias in (*slot.aliases, slot.name)}
        self._needed = {slot.name for slot in self.slots if not slot.optional}
        needed = [slot for slot in self.slots if not slot.optional]
        self._only = needed[0] if len(needed) == 1 else None

    @property
    def metadata(self) -> list[TensorMetadata]:
        """Of the inputs that a request must have, or of none if too little is known of one."""
        needed = [slot for slot in self.slots if not slot.optional]
        found = [one for slot in needed if (one := slot.metadata) is not None]
        return found if len(found) == len(needed) else []

    def fit(self, tensors: list[Tensor]) -> dict[str, Array]:
        """The request's arrays by the model's own names, in the model's types and shapes.

        Raises:
            InvalidInput: says which input, what is wrong with it, and what would be right.
        """
        arrays: dict[str, Array] = {}
        for tensor in tensors:
            slot = self._by_name.get(tensor.name)
            if slot is None:
                if self._only is None or tensor.name not in ONLY:
                    raise InvalidInput(
                        f"Unexpected inference input '{tensor.name}' for model '{self._model}'; {self._names}"
                    )
                slot = self._only
            if slot.name in arrays:
                raise InvalidInput(f"input '{slot.name}' of model '{self._model}' is given twice")
            array = tensor.array
            if slot.dtype is not None and array.dtype != slot.dtype:
                array = converted(array, slot.dtype, f"input '{slot.name}' of model '{self._model}'")
            if slot.shape is not None and not matches(array.shape, slot.shape):
                array = self._column(array, slot)
            arrays[slot.name] = array
        if len(arrays) < len(self.slots) and (missing := self._needed - arrays.keys()):
            named = ", ".join(f"'{slot.name}'" for slot in self.slots if slot.name in missing)
            raise InvalidInput(f"input {named} is missing for model '{self._model}'; {self._names}")
        return arrays

    @property
    def _names(self) -> str:
        named = ", ".join(f"'{slot.name}'" for slot in self.slots[:8]) + (", ..." if len(self.slots) > 8 else "")
        return f"its input is {named}" if len(self.slots) == 1 else f"its inputs are {named}"

    def _column(self, array: Array, slot: Slot) -> Array:
        """A column, which protocols and models write as [rows] or as [rows, 1]."""
        assert slot.shape is not None
        other = array[..., None] if array.ndim + 1 == len(slot.shape) else array
        if array.ndim == len(slot.shape) + 1 and array.shape[-1] == 1:
            other = array[..., 0]
        if not matches(other.shape, slot.shape):
            raise InvalidInput(
                f"input '{slot.name}' of model '{self._model}' is of shape {list(slot.shape)}"
                f"{' (-1: any length)' if -1 in slot.shape else ''}, not {list(array.shape)}"
            )
        return other


def matches(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether a shape is one of those that ``wanted`` (-1: any length) allows."""
    if len(shape) != len(wanted):
        return False
    return all(want in (-1, size) for size, want in zip(shape, wanted, strict=True))


def converted(array: Array, dtype: np.dtype[Any], where: str) -> Array:
    """Numbers in another type: floats rounded, everything else as it was.

    Raises:
        InvalidInput: a value would become another one.
    """
    kind = array.dtype.kind
    if dtype.kind == "O":
        if kind in "US":
            return array.astype(object)
    elif kind in "fiub":
        if dtype.kind == "f":
            try:
                with np.errstate(over="raise"):
                    return array.astype(dtype)
            except FloatingPointError:
                raise InvalidInput(f"{where}: a value is too large for {_name(dtype)}") from None
        with np.errstate(invalid="ignore"):
            made = array.astype(dtype)
        if np.array_equal(made, array) and (made < 0).sum() == (array < 0).sum():
            return made
        example = array[(made != array) | ((made < 0) != (array < 0))].ravel()[0]
        raise InvalidInput(f"{where} takes {_name(dtype)}; {example.item()!r} is no such value")
    elif kind == "O" and array.size and (bad := next((one for one in array.ravel() if one is None), "")) is None:
        raise InvalidInput(f"{where} takes {_name(dtype)}, and no {bad}: every row needs a value")
    raise InvalidInput(f"{where} takes {_name(dtype)}, not {_name(array.dtype)}")


def texts(array: Array, where: str) -> Array:
    """Texts for a framework that takes Python's strings.

    Raises:
        InvalidInput: one is bytes that are not UTF-8, or is no text.
    """
    made = np.empty(array.shape, OBJECT)
    flat, source = made.ravel(), array.ravel()
    for at, value in enumerate(source):
        if isinstance(value, bytes):
            try:
                value = value.decode()
            except UnicodeDecodeError:
                raise InvalidInput(f"{where}: element {at} is not UTF-8, and this model takes texts") from None
        elif not isinstance(value, str):
            raise InvalidInput(f"{where}: element {at} is {value!r}, and this model takes texts")
        flat[at] = value
    return flat.reshape(array.shape)


def declared(settings: Mapping[str, Any], key: str, model: str) -> list[Slot]:
    """The inputs or outputs that a model's settings declare, as V2 metadata: name, datatype, shape.

    Raises:
        LoadError: they are not of that form.
    """
    slots = []
    for at, one in enumerate(settings.get(key) or ()):
        where = f"model {model}: settings: {key}[{at}]"
        if not isinstance(one, Mapping) or not isinstance(one.get("name"), str):
            raise LoadError(f"{where} must be an object with a name")
        datatype, shape = one.get("datatype"), one.get("shape")
        if datatype is not None and datatype not in datatypes.NUMPY:
            raise LoadError(f"{where}: datatype {datatype!r} is not known; it is one of {', '.join(datatypes.NUMPY)}")
        if shape is not None and not (isinstance(shape, list) and all(type(size) is int for size in shape)):
            raise LoadError(f"{where}: shape must be a list of integers, -1 for any length")
        slots.append(
            Slot(
                one["name"],
                datatypes.NUMPY[datatype] if datatype else None,
                None if shape is None else tuple(shape),
                bool(one.get("optional")),
            )
        )
    return slots


def _name(dtype: np.dtype[Any]) -> str:
    return datatypes.name(dtype) or str(dtype)
