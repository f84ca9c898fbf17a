"""Header blocks (HPACK, RFC 7541) from fields and back, as seldom as possible.

A client that calls the same method again and again sends the same bytes again and again, and they mean the same as long
as its dynamic table has not changed: so what a block means is remembered until then, checked and all. The other way, we
put nothing into the dynamic table. A block of ours is then right on any connection at any time, constant parts of it
are encoded once for all, and no neighbour on a shared connection can guess a secret from sizes. It costs some bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from hpack import Decoder, HPACKError, OversizedHeaderListError
from hpack.hpack import encode_integer
from hpack.table import HeaderTable

from mizzen.http.http2.fields import CONNECTION_FIELDS, Pairs
from mizzen.http.http2.frames import Broken, Code

T = TypeVar("T")

_REMEMBERED = 16
_MEMORABLE = 1024
_ENCODED = 2048

# Names that a proxy between must not put into its dynamic table either (RFC 7541, section 7.1.3).
_SECRET = frozenset({b"authorization", b"proxy-authorization", b"cookie", b"set-cookie"})


class _Table(HeaderTable):
    """A dynamic table that tells when it has changed."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = False

    def add(self, name: bytes, value: bytes) -> None:
        self.changed = True
        super().add(name, value)


class BlockDecoder(Generic[T]):
    """One connection's decoder of heads.

    Args:
        understand: makes of a block's pairs what is remembered; what it raises is not remembered.
        largest: all names and values of a block, 32 bytes for each field more. One that is larger ends the
            connection, because it cannot be skipped.
    """

    def __init__(self, understand: Callable[[Pairs], T], largest: int) -> None:
        self._understand = understand
        self._decoder = Decoder(max_header_list_size=largest)
        self._table = self._decoder.header_table = _Table()
        self._remembered: dict[bytes, T] = {}

    def head(self, block: bytes) -> T:
        """What a block means.

        Raises:
            Broken: it cannot be decoded, and so nothing that follows it.
        """
        known = self._remembered.get(block)
        if known is not None:
            return known
        understood = self._understand(self.pairs(block))
        if len(block) <= _MEMORABLE:
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()
            self._remembered[block] = understood
        return understood

    def pairs(self, block: bytes) -> Pairs:
        """A block's fields, unchecked."""
        table = self._table
        # A block may begin with a new size of the table, which may cost it entries (section 6.3).
        table.changed = bool(block) and block[0] >> 5 == 1
        try:
            pairs = self._decoder.decode(block, raw=True)
        except OversizedHeaderListError as error:
            raise Broken(Code.ENHANCE_YOUR_CALM, f"the header is too large: {error}") from error
        except (HPACKError, IndexError, TypeError, ValueError) as error:
            raise Broken(Code.COMPRESSION_ERROR, f"the header cannot be decoded: {error}") from error
        finally:
            if table.changed:
                self._remembered.clear()
        return pairs


def _literal(name: bytes, value: bytes) -> bytes:
    entry = HeaderTable.STATIC_TABLE_MAPPING.get(name)
    kind = 0x10 if name in _SECRET else 0x00
    if entry is None:
        start = bytes([kind]) + _text(name)
    else:
        index = encode_integer(entry[0], 4)
        index[0] |= kind
        start = bytes(index)
    return start + _text(value)


def _text(value: bytes) -> bytes:
    return bytes(encode_integer(len(value), 7)) + value


def encode_field(name: bytes, value: bytes) -> bytes:
    """One field, by the static table alone."""
    entry = HeaderTable.STATIC_TABLE_MAPPING.get(name)
    if entry is not None and (index := entry[1].get(value)) is not None:
        return bytes([0x80 | index])
    return _literal(name, value)


def encode_fields(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join([encode_field(name, value) for name, value in fields])


def content_length(size: int) -> bytes:
    digits = b"%d" % size
    return b"\x0f\x0d%c%b" % (len(digits), digits)


# Tells the other side that our use of the dynamic table is none (section 6.3).
NO_TABLE = b"\x20"

_lines: dict[tuple[int, bytes], bytes] = {}
_pairs: dict[tuple[tuple[bytes, bytes], ...], bytes] = {}


def encode_head(status: int, lines: bytes) -> bytes:
    """The beginning of an answer's block, from a status and encoded lines as HTTP/1.1 has them.

    Raises:
        ValueError: something among the lines is none.
    """
    block = _lines.get((status, lines))
    if block is None:
        block = encode_field(b":status", b"%d" % status) + encode_fields(split_lines(lines))
        _remember(_lines, (status, lines), block)
    return block


def encode_pairs(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A block, or a part of one, from ordinary fields. Those that speak of one connection of HTTP/1.1 are left out.

    Raises:
        ValueError: a name or value holds what would end its line in HTTP/1.1.
    """
    key = tuple(pairs)
    block = _pairs.get(key)
    if block is None:
        for name, value in key:
            if any(bad in part for part in (name, value) for bad in (b"\r", b"\n", b"\0")) or name[:1] in (b"", b":"):
                raise ValueError(f"field {name!r} has no name, or holds a line end or NUL: {value!r}")
        block = encode_fields(_passed((name.lower(), value.strip()) for name, value in key))
        _remember(_pairs, key, block)
    return block


def _passed(fields: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [pair for pair in fields if pair[0] not in CONNECTION_FIELDS]


def split_lines(lines: bytes) -> list[tuple[bytes, bytes]]:
    """The fields of encoded lines, but for those that speak of one connection of HTTP/1.1.

    Raises:
        ValueError: something among the lines is none.
    """
    fields = []
    for line in lines.split(b"\r\n"):
        if line:
            name, colon, value = line.partition(b":")
            if not colon or not name or b"\r" in line or b"\n" in line or b"\0" in line:
                raise ValueError(f"this is no header line: {line!r}")
            fields.append((name.lower(), value.strip()))
    return _passed(fields)


def _remember(known: dict, key: object, block: bytes) -> None:  # type: ignore[type-arg]
    if len(block) <= _MEMORABLE:
        if len(known) >= _ENCODED:
            known.clear()
        known[key] = block
