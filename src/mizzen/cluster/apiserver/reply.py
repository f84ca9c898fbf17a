"""An answer before it is HTTP: bytes with a code, or a stream that writes itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import orjson

from mizzen.cluster.apiserver.negotiation import JSON

Write = Callable[[bytes], Awaitable[None]]


class Reply(msgspec.Struct):
    """A whole answer. ``warnings`` become Warning headers; ``gzipped`` says that the body is compressed already."""

    body: bytes
    code: int = 200
    content_type: str = JSON
    headers: dict[str, str] = {}
    warnings: list[str] = []
    gzipped: bool = False


class Stream(msgspec.Struct):
    """An answer that is written piece by piece; ``run`` may raise :class:`ApiError` before its first write."""

    run: Callable[[Write], Awaitable[None]]
    content_type: str = JSON


def json_reply(value: Any, code: int = 200) -> Reply:
    return Reply(orjson.dumps(value) + b"\n", code)


def text_reply(text: str, code: int = 200) -> Reply:
    return Reply(text.encode(), code, "text/plain; charset=utf-8")
