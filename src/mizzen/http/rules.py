"""What a request's head must be beyond what llhttp makes sure of, so that nobody on its way can read it otherwise.

llhttp refuses a length beside chunks, two lengths, folded fields and the like (RFC 9112, sections 5 and 6.3); here
stands the rest. Plain functions: the connection knows when to ask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mizzen.http.errors import Malformed
from mizzen.http.headers import Headers

if TYPE_CHECKING:
    from mizzen.http.server import Limits


def check_size(target: bytes, headers: Headers, limits: Limits) -> None:
    """Raises:
    Malformed: target and fields together are too large.
    """
    if len(target) + sum(len(name) + len(value) + 4 for name, value in headers) > limits.head:
        raise Malformed(431, head_too_large(limits.head))


def check_head(headers: Headers, version: str, hosts: int, coding: bytes | None, limits: Limits) -> None:
    """Check a head that is not the plainest.

    Args:
        version: such as ``1.1``.
        hosts: how many ``host`` fields it has.
        coding: its ``transfer-encoding``, if any.

    Raises:
        Malformed: it breaks a rule.
    """
    if len(headers) > limits.fields:
        raise Malformed(431, f"the request has more than {limits.fields} header fields")
    if version not in ("1.1", "1.0"):
        raise Malformed(505, f"HTTP/{version} is not spoken here; use HTTP/1.1")
    if hosts != 1 and (version == "1.1" or hosts):
        raise Malformed(400, f"a request must have one host field, this one has {hosts}")
    if coding is not None and (version == "1.0" or coding.strip().lower() != b"chunked"):
        raise Malformed(400, "the only transfer-encoding taken here is chunked, in HTTP/1.1")


def head_too_large(limit: int) -> str:
    return f"the request's header is larger than {limit} bytes"


def too_large(limit: int) -> str:
    return f"the request's body is larger than the {limit} bytes that this server takes"


def without_upgrade(method: bytes, target: bytes, version: str, headers: Headers) -> bytes:
    """A head as it would read without its offer to upgrade, encoded."""
    lines = [b"%b %b HTTP/%b\r\n" % (method, target, version.encode())]
    for name, value in headers:
        if name == b"upgrade":
            continue
        if name == b"connection":
            tokens = [token for token in value.split(b",") if token.strip().lower() != b"upgrade"]
            value = b",".join(tokens)
        lines.append(b"%b: %b\r\n" % (name, value))
    lines.append(b"\r\n")
    return b"".join(lines)
