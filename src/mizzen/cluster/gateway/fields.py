"""Header fields on their way through the gateway, in both directions.

One pass over the fields for each message: those that speak of one connection stop here (RFC 9110, section 7.6.1), the
server learns who asked and under which name, and every request has an id that its logs can be joined by.
"""

from __future__ import annotations

import random

from mizzen.http.headers import FRAMING, HOP_BY_HOP, Headers, end_to_end

SERVER = b"server: mizzen-gateway\r\n"

_STOPPED = HOP_BY_HOP | FRAMING | {b"expect"}
_FORWARDED = {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-request-id"}
_WATCHED = _STOPPED | _FORWARDED | {b"host"}

# The server that writes the answer dates it.
_NOT_ANSWERED = _STOPPED | {b"date"}


def request_fields(headers: Headers, host: bytes, asked: bytes, client: bytes) -> Headers:
    """The fields of a request as the server gets them.

    Args:
        host: what the server is called.
        asked: what the client asked for, which the server learns if nobody before has told it.
        client: the address that the request came from.
    """
    passed: Headers = [(b"host", host)]
    chain, proto, via, request_id = b"", b"", b"", b""
    for pair in headers:
        name = pair[0]
        if name not in _WATCHED:
            passed.append(pair)
        elif name == b"connection":
            if pair[1].lower() not in (b"keep-alive", b"close"):
                # It may name more fields that stop here; seldom, so the whole list is gone through again.
                return request_fields(end_to_end(headers), host, asked, client)
        elif name == b"x-forwarded-for":
            chain = chain + pair[1] + b", "
        elif name == b"x-forwarded-proto":
            proto = pair[1]
        elif name == b"x-forwarded-host":
            via = pair[1]
        elif name == b"x-request-id":
            request_id = pair[1]
    passed.append((b"x-forwarded-for", chain + client))
    passed.append((b"x-forwarded-proto", proto or b"http"))
    if via or asked:
        passed.append((b"x-forwarded-host", via or asked))
    passed.append((b"x-request-id", request_id or b"%032x" % random.getrandbits(128)))
    return passed


def response_fields(headers: Headers) -> Headers:
    """The fields of an answer as the client gets them."""
    passed: Headers = []
    for pair in headers:
        name = pair[0]
        if name not in _NOT_ANSWERED:
            passed.append(pair)
        elif name == b"connection" and pair[1].lower() not in (b"keep-alive", b"close"):
            return response_fields(end_to_end(headers))
    return passed
