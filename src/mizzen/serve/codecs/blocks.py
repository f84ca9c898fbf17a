"""The raw blocks that follow the JSON of a V2 request: whose turn it is, and that none is left over."""

from __future__ import annotations

from typing import Any

from mizzen.serve.codecs import raw
from mizzen.serve.codecs.datatypes import Array
from mizzen.serve.errors import InvalidInput

# The parameter of an input or output that says how long its block is.
BINARY_SIZE = "binary_data_size"


class Blocks:
    """What follows the JSON. Inputs take theirs in their order."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    def take(self, name: str, size: Any, datatype: str, shape: list[int]) -> Array:
        """The tensor of the input called ``name``: the next ``size`` bytes.

        Raises:
            InvalidInput: there are not as many, or they are not what the input says.
        """
        if isinstance(size, bool) or not isinstance(size, int) or size < 0:
            raise InvalidInput(f"input '{name}': {BINARY_SIZE} must be a number of bytes, not {size!r}")
        left = len(self._data) - self._at
        if size > left:
            raise InvalidInput(f"input '{name}': {BINARY_SIZE} is {size}, the body has {left} bytes left for it")
        block = self._data[self._at : self._at + size]
        self._at += size
        return raw.unpack(block, datatype, shape, name)

    def finish(self) -> None:
        """Raises:
        InvalidInput: nobody took all of it.
        """
        left = len(self._data) - self._at
        if left:
            raise InvalidInput(
                f"{left} bytes after the JSON belong to no input; the {BINARY_SIZE} of the inputs must add up to "
                f"{len(self._data)}"
            )
