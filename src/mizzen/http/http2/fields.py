"""What a header block must be, so that nobody who passes it on in another version of HTTP can read it otherwise.

HTTP/2 carries names and values with their lengths, so a line end in a value is a line end only to whoever writes it as
HTTP/1.1: that is how requests are smuggled. What RFC 9113, section 8, forbids is refused here, in words; plain
functions of the decoded pairs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from mizzen.http.errors import Malformed
from mizzen.http.headers import Headers

Pairs = Iterable[tuple[bytes, bytes]]

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
# A value neither begins nor ends with white space, and holds no control character but a tab.
_VALUE = re.compile(rb"(?:[^\x00-\x20\x7f](?:[^\x00-\x08\x0a-\x1f\x7f]*[^\x00-\x20\x7f])?)?")
_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TARGET = re.compile(rb"/[!-~]*|\*")
_SCHEME = re.compile(rb"[a-z][-a-z0-9+.]*")
_AUTHORITY = re.compile(rb"[!-~]+")

# These speak of one connection, which HTTP/2 does by other means.
CONNECTION_FIELDS = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})

_REQUEST = frozenset({b":method", b":scheme", b":path", b":authority"})


class RequestHead(NamedTuple):
    """Attributes:
    headers: ``host`` first; pseudo fields left out.
    length: of the body as declared.
    expects: whether the client waits to be asked for the body.
    """

    method: bytes
    target: bytes
    headers: Headers
    length: int | None
    expects: bool


class ResponseHead(NamedTuple):
    status: int
    headers: Headers
    length: int | None


def _split(pairs: Pairs) -> tuple[dict[bytes, bytes], Headers]:
    """Pseudo fields and the others, each well formed.

    Raises:
        Malformed
    """
    pseudo: dict[bytes, bytes] = {}
    fields: Headers = []
    for name, value in pairs:
        if name[:1] == b":":
            if fields:
                raise Malformed(400, f"{_shown(name)} stands after an ordinary field")
            if name in pseudo:
                raise Malformed(400, f"{_shown(name)} is given twice")
            pseudo[name] = value
            continue
        if not _NAME.fullmatch(name):
            raise Malformed(400, f"{_shown(name)} is no field name; in HTTP/2 names are in lower case")
        if not _VALUE.fullmatch(value):
            raise Malformed(400, f"the field {_shown(name)} holds a control character, or white space at an end")
        if name in CONNECTION_FIELDS or (name == b"te" and value.lower() != b"trailers"):
            raise Malformed(400, f"the field {_shown(name)} has no place in HTTP/2")
        # As plain pairs, which the decoder's own are not: whoever compares or prints them should not see it.
        fields.append((name, value))
    return pseudo, fields


def request(pairs: Pairs) -> RequestHead:
    """A request's head from its decoded block.

    Raises:
        Malformed: it breaks a rule; its status says which kind.
    """
    pseudo, fields = _split(pairs)
    for name in pseudo:
        if name not in _REQUEST:
            raise Malformed(400, f"{_shown(name)} has no place in a request")
    method = pseudo.get(b":method", b"")
    if not _METHOD.fullmatch(method):
        raise Malformed(400, "a request must have one :method")
    if method == b"CONNECT":
        raise Malformed(501, "this server is no proxy: CONNECT is not served")
    target, scheme = pseudo.get(b":path", b""), pseudo.get(b":scheme", b"")
    if not _TARGET.fullmatch(target) or (target == b"*" and method != b"OPTIONS"):
        raise Malformed(400, f"a request must have a :path that begins with /, not {_shown(target)}")
    if not _SCHEME.fullmatch(scheme):
        raise Malformed(400, "a request must have a :scheme, http or https")
    authority = pseudo.get(b":authority")
    hosts = [value for name, value in fields if name == b"host"]
    if authority is None:
        authority = hosts[0] if hosts else b""
    if any(host != authority for host in hosts) or len(hosts) > 1:
        raise Malformed(400, ":authority and host must name one and the same")
    if not _AUTHORITY.fullmatch(authority) or b"@" in authority:
        raise Malformed(400, "a request must have an :authority, host:port")
    expects = False
    cookies = []
    headers: Headers = [(b"host", authority)]
    for pair in fields:
        name, value = pair
        if name == b"host":
            continue
        if name == b"cookie":
            # Split for the sake of compression; to everybody else it is one field (section 8.2.3).
            cookies.append(value)
            continue
        if name == b"expect":
            expects = value.lower() == b"100-continue"
        headers.append(pair)
    if cookies:
        headers.append((b"cookie", b"; ".join(cookies)))
    return RequestHead(method, target, headers, _length(fields), expects)


def response(pairs: Pairs) -> ResponseHead:
    """An answer's head, an interim one too.

    Raises:
        Malformed
    """
    pseudo, fields = _split(pairs)
    status = pseudo.pop(b":status", b"")
    if pseudo or len(status) != 3 or not status.isdigit() or status < b"100":
        raise Malformed(502, "an answer must have a :status of three digits, and no other pseudo field")
    return ResponseHead(int(status), fields, _length(fields))


def trailers(pairs: Pairs) -> Headers:
    """Fields after a body.

    Raises:
        Malformed
    """
    pseudo, fields = _split(pairs)
    if pseudo:
        raise Malformed(400, "pseudo fields have no place in trailers")
    return fields


def _length(fields: Headers) -> int | None:
    lengths = {value for name, value in fields if name == b"content-length"}
    if not lengths:
        return None
    value = lengths.pop()
    if lengths or not value.isdigit() or len(value) > 18:
        raise Malformed(400, "content-length must be one number")
    return int(value)


def _shown(text: bytes) -> str:
    return ascii(text[:100].decode("latin-1"))
