"""MLServer's content types: what a V2 tensor holds beside what its datatype says.

An input names its type in its parameter ``content_type``, or the model's metadata names it for the input; a request
names one for all. Only texts can be meant otherwise than they look: ``str`` and ``pd`` make texts of bytes, ``base64``
bytes of texts, ``datetime`` times. ``np``, and any type that is not known here, leaves a tensor as it came; all of them
reach the model as parameters.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np

from mizzen.serve.codecs.datatypes import Array
from mizzen.serve.errors import InvalidInput
from mizzen.serve.model import Parameters, Servable, Tensor

CONTENT_TYPE = "content_type"


def applied(inputs: list[Tensor], parameters: Parameters | None, model: Servable) -> list[Tensor]:
    """The inputs as their content types mean them.

    Raises:
        InvalidInput: an input does not hold what its type says.
    """
    whole = _named(parameters)
    declared: dict[str, str] | None = None
    found = []
    for tensor in inputs:
        if tensor.array.dtype.kind != "O":
            found.append(tensor)
            continue
        if declared is None:
            declared = {one.name: _named(one.parameters or None) for one in model.inputs}
        named = _named(tensor.parameters) or declared.get(tensor.name) or whole
        convert = _CONVERSIONS.get(named)
        if convert is None:
            found.append(tensor)
            continue
        try:
            array = convert(tensor.array)
        except (ValueError, binascii.Error, TypeError) as error:
            raise InvalidInput(f"input '{tensor.name}' is not what its content type {named!r} says: {error}") from None
        found.append(Tensor(tensor.name, array, tensor.parameters))
    return found


def _named(parameters: Any) -> str:
    found = parameters.get(CONTENT_TYPE) if parameters else None
    return found if isinstance(found, str) else ""


def _each(array: Array, convert: Callable[[Any], Any]) -> Array:
    found = np.empty(array.size, object)
    found[:] = [convert(value) for value in array.ravel().tolist()]
    return found.reshape(array.shape)


def _texts(array: Array) -> Array:
    return _each(array, lambda value: value.decode() if isinstance(value, bytes) else value)


def _decoded(array: Array) -> Array:
    return _each(array, lambda value: base64.b64decode(value, validate=True))


def _times(array: Array) -> Array:
    return _each(array, _time).astype("datetime64[us]")


def _time(value: Any) -> datetime:
    found = datetime.fromisoformat(value.decode() if isinstance(value, bytes) else value)
    return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found


_CONVERSIONS: dict[str, Callable[[Array], Array]] = {
    "str": _texts,
    "pd": _texts,
    "base64": _decoded,
    "datetime": _times,
}
