"""Header fields as both ends hold them: a list of pairs of bytes, names in lower case, order and repeats kept.

A list and not a mapping, because a proxy must pass on what it got (two ``set-cookie`` are two), and because a model
server looks at two of ten fields: building an index costs more than looking for them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from http import HTTPStatus

Headers = list[tuple[bytes, bytes]]

JSON = b"content-type: application/json\r\n"

# RFC 9110, section 7.6.1: these speak of one connection and must not be passed on. Trailers are not passed on, so
# neither is the promise of them.
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)

# The reader of a message finds its end by these; whoever writes it decides them anew.
FRAMING = frozenset({b"content-length", b"transfer-encoding"})

_FORBIDDEN = (b"\r", b"\n", b"\0")


def find(headers: Headers, name: bytes) -> bytes | None:
    """The first value of the field called ``name`` (in lower case), or None."""
    for field, value in headers:
        if field == name:
            return value
    return None


def end_to_end(headers: Headers) -> Headers:
    """The fields that a proxy passes on: neither those of one hop (``connection`` names more), nor framing, nor
    ``expect``."""
    dropped = set(HOP_BY_HOP | FRAMING)
    dropped.add(b"expect")
    for field, value in headers:
        if field == b"connection":
            dropped.update(token.strip().lower() for token in value.split(b","))
    return [pair for pair in headers if pair[0] not in dropped]


def encode(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The fields as they go over the wire, each with its line end.

    Raises:
        ValueError: a name or value would end its line early and so forge another field.
    """
    pairs = list(headers)
    lines = b"".join([b"%b: %b\r\n" % pair for pair in pairs])
    # One look at the whole costs a tenth of a look at each part.
    if lines.count(b"\n") != len(pairs) or lines.count(b"\r") != len(pairs) or b"\0" in lines:
        for name, value in pairs:
            if any(forbidden in name or forbidden in value for forbidden in _FORBIDDEN):
                raise ValueError(f"header {name!r} holds a line end or NUL: {value!r}")
    return lines


STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


def status_line(status: int) -> bytes:
    line = STATUS_LINES.get(status)
    return line if line is not None else b"HTTP/1.1 %d \r\n" % status


_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def date_line(seconds: float) -> bytes:
    """The ``date`` field for a time in seconds since the epoch, whatever the locale."""
    now = time.gmtime(seconds)
    return (
        f"date: {_DAYS[now.tm_wday]}, {now.tm_mday:02} {_MONTHS[now.tm_mon - 1]} {now.tm_year} "
        f"{now.tm_hour:02}:{now.tm_min:02}:{now.tm_sec:02} GMT\r\n"
    ).encode()
