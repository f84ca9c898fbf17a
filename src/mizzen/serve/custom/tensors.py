"""A tensor as a custom model holds it: data that may be a list, an array or raw bytes, whichever it was made of.

KServe's ``InferInput`` and ``InferOutput`` are two classes of the same shape; here they are one idea with two names.
Requests that come in hold an array, which :meth:`as_numpy` gives without a copy; ``data`` makes the list that models
written for KServe expect, and only when somebody asks for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mizzen.serve.codecs import datatypes, raw
from mizzen.serve.custom.errors import InferenceError, InvalidInput
from mizzen.serve.model import Array, Tensor

BINARY_SIZE = "binary_data_size"


class NamedTensor:
    """Args:
    datatype: as the protocol names it, in any case.
    data: a list, flat or nested, or an array; None where :meth:`set_data_from_numpy` follows.
    """

    # What it is called in sentences.
    kind = "tensor"

    def __init__(
        self, name: str, shape: list[int], datatype: str, data: Any = None, parameters: dict[str, Any] | None = None
    ) -> None:
        self.name = name
        self.shape = shape
        self.datatype = datatype.upper() if datatype else datatype
        self.parameters = parameters
        self._data = data
        self._raw: bytes | None = None
        # Set in place of _data where the data came as an array and nobody has asked for a list.
        self._array: Array | None = None

    @classmethod
    def of(cls, tensor: Tensor) -> NamedTensor:
        """The tensor of a request or an answer that the server has decoded."""
        array = tensor.array
        made = cls(tensor.name, list(array.shape), datatypes.name(array.dtype) or "", None, tensor.parameters)
        made._array = array
        return made

    @property
    def data(self) -> Any:
        """The elements: as they were given, or a flat list of those that came as an array; None if they are raw."""
        if self._array is not None:
            # From here on the list is the data: a model may change it in place.
            self._data, self._array = self._array.ravel().tolist(), None
        return self._data

    @data.setter
    def data(self, data: Any) -> None:
        self._data, self._array = data, None

    # By this name KServe's models reach for the elements as the protocol's raw bytes, if they were set so.
    @property
    def _raw_data(self) -> bytes | None:
        return self._raw

    @_raw_data.setter
    def _raw_data(self, block: bytes | None) -> None:
        self._raw, self._array = block, None

    @property
    def empty(self) -> bool:
        """Whether it has no data of any form."""
        return self._array is None and self._raw is None and self._data is None

    @property
    def holds_array(self) -> bool:
        """Whether its data is an array, and nobody has asked for a list of it."""
        return self._array is not None or isinstance(self._data, np.ndarray)

    def as_numpy(self) -> Array:
        """The data as an array of the declared datatype and shape, which may be written to.

        Raises:
            InvalidInput: the datatype is unknown, or data and shape do not fit.
        """
        if self._array is not None:
            array = self._array
            return array if array.flags.writeable else array.copy()
        dtype = datatypes.NUMPY.get(self.datatype)
        if dtype is None:
            raise InvalidInput(
                f"{self.kind} '{self.name}' is of datatype {self.datatype!r}, which the protocol has not"
            )
        try:
            if self._raw is not None:
                array = raw.unpack(self._raw, self.datatype, list(self.shape), self.name)
                return array if array.flags.writeable else array.copy()
            if self._data is None:
                raise ValueError("it has no data")
            if dtype.kind == "O":
                array = _objects(self._data)
            else:
                array = np.array(self._data, dtype=dtype)
            return array.reshape(self.shape)
        except (ValueError, TypeError, OverflowError) as error:
            raise InvalidInput(f"{self.kind} '{self.name}' of shape {list(self.shape)}: {error}") from error

    def set_data_from_numpy(self, tensor: Array, binary_data: bool = True) -> None:
        """Take an array's elements as the data.

        Args:
            binary_data: whether they go over the wire as raw bytes where the protocol allows it.

        Raises:
            InferenceError: it is no array, or not of the declared datatype and shape.
        """
        if not isinstance(tensor, np.ndarray):
            raise InferenceError(f"{self.kind} '{self.name}' must be set from a numpy array, not a {_type(tensor)}")
        found = datatypes.name(tensor.dtype)
        if found != self.datatype:
            raise InferenceError(f"got unexpected datatype {found} from numpy array, expected {self.datatype}")
        if list(tensor.shape) != list(self.shape):
            raise InferenceError(
                f"got unexpected numpy array shape [{str(tensor.shape)[1:-1]}], expected {list(self.shape)}"
            )
        if tensor.dtype.kind == "M":
            tensor = tensor.astype(object)
        parameters = dict(self.parameters or {})
        parameters.pop(BINARY_SIZE, None)
        self._array = None
        if binary_data:
            self._data, self._raw = None, bytes(raw.pack(tensor, self.name))
            parameters[BINARY_SIZE] = len(self._raw)
        elif self.datatype == "BYTES":
            self._data, self._raw = self._texts(tensor), None
        else:
            # The caller may use its array for something else next.
            self._data, self._raw, self._array = None, None, tensor.copy()
        if parameters or self.parameters is not None:
            self.parameters = parameters

    def as_string(self) -> list[str]:
        """The elements of a BYTES tensor as texts.

        Raises:
            InvalidInput: it is of another datatype.
        """
        if self.datatype != "BYTES":
            raise InvalidInput(f"invalid datatype {self.datatype} in the {self.kind}")
        return [one.decode() if isinstance(one, bytes) else str(one) for one in self.as_numpy().ravel()]

    def to_tensor(self) -> Tensor:
        """As the server holds it.

        Raises:
            InvalidInput: as :meth:`as_numpy`.
        """
        if isinstance(self._data, np.ndarray) and list(self._data.shape) == list(self.shape):
            dtype = datatypes.NUMPY.get(self.datatype)
            array = self._data if dtype is None else self._data.astype(dtype, copy=False)
        else:
            array = self._array if self._array is not None else self.as_numpy()
        parameters = {name: value for name, value in plain(self.parameters).items() if name != BINARY_SIZE}
        return Tensor(self.name, array, parameters or None)

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "shape": self.shape,
            "datatype": self.datatype,
            "data": self.data,
            "parameters": self.parameters,
        }

    def _texts(self, tensor: Array) -> list[str]:
        try:
            return [one.decode() if isinstance(one, bytes) else str(one) for one in tensor.ravel().tolist()]
        except UnicodeDecodeError as error:
            raise InferenceError(
                f"{self.kind} '{self.name}' holds bytes that are not UTF-8 ({error}): set it with binary_data=True"
            ) from None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return (
            (self.name, list(self.shape), self.datatype, self.parameters, self._raw)
            == (other.name, list(other.shape), other.datatype, other.parameters, other._raw)
        ) and _same(self.data, other.data)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(name={self.name!r}, shape={list(self.shape)}, datatype={self.datatype!r}, "
            f"data={self.data!r}, parameters={self.parameters!r})"
        )


class InferInput(NamedTensor):
    """One input of a request."""

    kind = "input"


class InferOutput(NamedTensor):
    """One output of an answer."""

    kind = "output"


class RequestedOutput:
    """An output that a request asks for by its name."""

    def __init__(self, name: str, parameters: dict[str, Any] | None = None) -> None:
        self.name = name
        self.parameters = parameters

    @property
    def binary_data(self) -> bool | None:
        """Whether it is asked for as raw bytes; None if the request says nothing of it."""
        value: bool | None = plain(self.parameters).get("binary_data")
        return value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RequestedOutput):
            return NotImplemented
        return (self.name, self.parameters) == (other.name, other.parameters)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"RequestedOutput(name={self.name!r}, parameters={self.parameters!r})"


def plain(parameters: Any) -> dict[str, Any]:
    """Parameters as values: those of a gRPC message are taken out of their wrappers."""
    if not parameters:
        return {}
    return {name: _value(value) for name, value in parameters.items()}


def _value(parameter: Any) -> Any:
    if not hasattr(parameter, "WhichOneof"):
        return parameter
    chosen = parameter.WhichOneof("parameter_choice")
    return getattr(parameter, chosen) if chosen else None


def _objects(data: Any) -> Array:
    """An array of texts or bytes, as nested as the lists are; numpy alone would take texts apart into characters."""
    if isinstance(data, np.ndarray):
        return data.astype(object)
    return np.array(data, dtype=object)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return bool(np.array_equal(one, other))
    return bool(one == other)


def _type(value: Any) -> str:
    return type(value).__name__
