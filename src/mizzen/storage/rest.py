"""What services answer in JSON, and a part of a file that they send: the same for all that speak plain HTTP."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

from mizzen.storage.connection import chunks, position_of, retry_after
from mizzen.storage.errors import StorageError
from mizzen.storage.failures import Failures
from mizzen.storage.source import Changed, Remote

# A list of 200,000 files is about 40 MiB.
_MAX_ANSWER = 128 << 20


def answer(response: http.client.HTTPResponse, stall: float, failures: Failures) -> Any:
    """The JSON of a response, which is read to its end and closed.

    Raises:
        TransientError: it was cut off.
        StorageError: it is no JSON, so that something else than the service has answered.
    """
    body = bytearray()
    with response:
        for chunk in chunks(response, 0, response.length, stall):
            body += chunk
            if len(body) > _MAX_ANSWER:
                raise failures.other(f"it answers with more than {_MAX_ANSWER >> 20} MiB")
    try:
        return json.loads(body)
    except ValueError:
        raise failures.other("it does not answer in JSON: is its address right?") from None


def part(
    response: http.client.HTTPResponse, remote: Remote, start: int, stop: int | None, stall: float
) -> Iterator[bytes]:
    """The bytes from ``start`` to ``stop`` out of a response with status 200 or 206, which is closed in the end.

    Raises:
        Changed: it is about another file.
        TransientError: it was cut off.
    """
    with response:
        if response.status == 206:
            if position_of(response) not in ((start, remote.size), (start, None)):
                raise Changed(f"another part of {remote.path} came than was asked for")
            yield from chunks(response, start, stop, stall)
            return
        if remote.size is not None and response.length not in (remote.size, None):
            raise Changed(f"{remote.path} has {response.length} bytes, and the list promised {remote.size}")
        skip, left = start, None if stop is None else stop - start
        for chunk in chunks(response, 0, stop, stall):
            if skip < len(chunk):
                wanted = chunk[skip:]
                yield wanted
                if left is not None:
                    left -= len(wanted)
            skip = max(skip - len(chunk), 0)


def refused(response: http.client.HTTPResponse, failures: Failures, what: str, *, anonymous: bool) -> StorageError:
    """What a status other than 200 and 206 means. The response is closed."""
    response.close()
    match response.status:
        case 401:
            return failures.authentication("" if anonymous else "the credentials were not accepted")
        case 403:
            return failures.denied(what, anonymous=anonymous)
        case 404:
            return failures.not_found(what)
        case 412 | 416:
            return Changed(f"{what} changed while it was downloaded")
        case status if status >= 500 or status in (408, 429):
            return failures.busy(status, retry_after(response))
        case status:
            return failures.other(f"status {status}")


def byte_range(start: int, stop: int | None, size: int | None) -> dict[str, str]:
    """The header for a part of a file; none for the whole of it."""
    if not start and stop == size:
        return {}
    return {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"}
