"""Long arrays of numbers as JSON text, both ways, in slices.

A body of some megabytes is nearly all numerals. They are cut out of it, which leaves a small body for the typed
decoder, and read a slice at a time; what does not look as it should is left to the decoder that reads a body whole,
which also knows how to explain it. Nothing is taken on trust: each slice goes through the JSON decoder, and the
brackets and commas of nested lists are compared with those that an array of their shape has.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

import msgspec
import numpy as np
import orjson

from mizzen.serve.codecs.datatypes import Array
from mizzen.serve.codecs.slices import Slices

SLICE = 64 * 1024  # bytes of text
WRITTEN = 8192  # numbers
SHORTEST = 4096

_NUMERAL = b"0123456789+-.eE \t\r\n"
_BLANK = b" \t\r\n"
_DATA = re.compile(rb'"data"\s*:\s*(?=\[)')
_ROWS = re.compile(rb'\s*\{\s*"(instances|inputs)"\s*:\s*(?=\[)')

_floats = msgspec.json.Decoder(list[float]).decode
_ints = msgspec.json.Decoder(list[int]).decode
_numbers = msgspec.json.Decoder(list[int | float]).decode

# Stand in a cut body where arrays stood. Nobody can know them, so nobody can forge a reference to another's.
_MARK = secrets.randbits(50)


class Unusual(Exception):
    """The text is not plain numbers in lists of equal length, or not all of them fit."""


def cut(body: bytes) -> tuple[bytes, dict[int, bytes]]:
    """A V2 body without its long ``data``, each replaced by ``[mark]``, and what was cut out by its mark.

    Whether it was cut at the right places shows when the rest is decoded: only there a mark can turn up.
    """
    kept: list[bytes] = []
    found: dict[int, bytes] = {}
    at = 0
    start = 0
    while (match := _DATA.search(body, start)) is not None:
        start = match.end()
        # Numbers hold neither quotes nor braces: the first of them is past the array.
        ends = [end for end in (body.find(b'"', start), body.find(b"}", start)) if end >= 0]
        text = body[start : min(ends)].rstrip(_BLANK + b",") if ends else b""
        if len(text) < SHORTEST or not text.endswith(b"]"):
            continue
        mark = _MARK + len(found)
        found[mark] = text
        kept += (body[at:start], b"[%d]" % mark)
        at = start = start + len(text)
    kept.append(body[at:])
    return b"".join(kept), found


def rows(body: bytes) -> tuple[str, bytes] | None:
    """Which of its keys a V1 body has, and the text of its list, if it has nothing else."""
    match = _ROWS.match(body)
    if match is None:
        return None
    text = body[match.end() :].rstrip(_BLANK)
    if not text.endswith(b"}"):
        return None
    return match[1].decode(), text[:-1].rstrip(_BLANK)


def read(text: bytes, dtype: np.dtype[Any] | None = None) -> Slices[Array]:
    """The array that a list of numbers, or of equally long lists of them, is; of its own shape.

    Args:
        dtype: None is what numpy makes of such numbers: int64 or float64.

    Raises:
        Unusual
    """
    if not text.startswith(b"[") or not text.endswith(b"]"):
        raise Unusual
    decode = _numbers if dtype is None else _floats if dtype.kind == "f" else _ints
    nested = text.find(b"[", 1) >= 0
    marks: list[bytes] = []
    found: list[Array] = []
    at, end = 0, len(text)
    if not nested:
        at, end = 1, end - 1
    while at < end:
        stop = text.find(b",", at + SLICE)
        if stop < 0:
            stop = end
        piece = text[at:stop]
        if nested:
            marks.append(piece.translate(None, _NUMERAL))
            piece = piece.translate(None, b"[]")
        found.append(_array(piece, decode, dtype))
        at = stop + 1
        yield
    if at == end:  # a comma, and nothing after it
        raise Unusual
    array = np.concatenate(found)
    if nested:
        shape = _shape(b",".join(marks))
        if array.size != _size(shape):
            raise Unusual
        array = array.reshape(shape)
    return array


def _array(piece: bytes, decode: Any, dtype: np.dtype[Any] | None) -> Array:
    try:
        values = decode(b"[%b]" % piece)
        if not values:
            raise Unusual
        with np.errstate(over="raise"):
            array: Array = np.array(values, dtype)
    except (ValueError, OverflowError, FloatingPointError, RecursionError):
        raise Unusual from None
    if array.dtype.char not in "ld" and dtype is None:
        raise Unusual
    return array


def _shape(marks: bytes) -> tuple[int, ...]:
    """The shape of nested lists, of which all but brackets and commas was taken away.

    Raises:
        Unusual: they are no array.
    """
    depth = len(marks) - len(marks.lstrip(b"["))
    if depth > 64:
        raise Unusual
    first = marks.find(b"]") + 1
    unit = marks[depth - 1 : first]
    sizes = [len(unit) - 1]
    for level in range(depth - 2, -1, -1):
        last = marks.find(unit + b"]", level + 1)
        count, rest = divmod(last - level - 1, len(unit) + 1)
        if last < 0 or rest:
            raise Unusual
        unit = b"[" + b",".join([unit] * (count + 1)) + b"]"
        if not marks.startswith(unit, level):
            raise Unusual
        sizes.insert(0, count + 1)
    if marks != unit or unit.strip(b"[],"):
        raise Unusual
    return tuple(sizes)


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def plain(array: Array) -> bool:
    """Whether :func:`write` can write it."""
    return array.dtype.kind in "fiub" and array.dtype.char != "g"


def write(array: Array) -> Slices[list[bytes]]:
    """The pieces of a JSON list of an array's numbers, nested as the array is; what is not finite becomes null.

    Digits are those of a double, as Python's own numbers have them, whatever the array's type.
    """
    if array.ndim > 1 and array.size:
        pieces = [b"["]
        each = max(1, WRITTEN // (array.size // len(array)))
        for at in range(0, len(array), each):
            part = array[at : at + each]
            if part.size > WRITTEN and len(part) == 1:
                pieces += yield from write(part[0])
            else:
                pieces.append(_written(part)[1:-1])
            pieces.append(b",")
            yield
        pieces[-1] = b"]"
        return pieces
    pieces = [b"["]
    for at in range(0, array.size, WRITTEN):
        pieces += (_written(array[at : at + WRITTEN])[1:-1], b",")
        yield
    if len(pieces) > 1:
        pieces.pop()
    pieces.append(b"]")
    return pieces


def _written(array: Array) -> bytes:
    dtype = np.float64 if array.dtype.kind == "f" else array.dtype.newbyteorder("=")
    return orjson.dumps(np.ascontiguousarray(array, dtype), option=orjson.OPT_SERIALIZE_NUMPY)
