"""Which requests of a host a route means: a path, and where wanted a method, header fields and query parameters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal
from urllib.parse import unquote_to_bytes

import msgspec

from mizzen.http.headers import Headers

PathType = Literal["exact", "prefix", "regex"]
_RANK: dict[PathType, int] = {"exact": 0, "prefix": 1, "regex": 2}
_ROOT_RANK = 3


class FieldMatch(msgspec.Struct, frozen=True):
    """What a header field (name in lower case) or a query parameter must be: a value, or a pattern for all of it."""

    name: bytes
    value: bytes | re.Pattern[bytes]

    def holds(self, values: Sequence[bytes]) -> bool:
        if not values:
            return False
        # Several fields of one name say the same as one with commas (RFC 9110, section 5.3).
        found = values[0] if len(values) == 1 else b",".join(values)
        return found == self.value if isinstance(self.value, bytes) else self.value.fullmatch(found) is not None


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """All of it must hold. Without anything it takes every request.

    Attributes:
        path: as the type says: the exact path, a prefix of whole segments without a slash at its end, or the source
            of ``pattern``.
        method: empty for any.
    """

    path_type: PathType = "prefix"
    path: bytes = b""
    pattern: re.Pattern[bytes] | None = None
    method: bytes = b""
    headers: tuple[FieldMatch, ...] = ()
    query: tuple[FieldMatch, ...] = ()

    @property
    def takes_all(self) -> bool:
        return self.path_type == "prefix" and not (self.path or self.method or self.headers or self.query)

    def precedence(self) -> tuple[int, ...]:
        """Sorts conditions, the one that is asked first in front: the Gateway API's order.

        A regular expression stands between the prefixes and the prefix ``/``, which restricts nothing.
        """
        rank = _ROOT_RANK if self.path_type == "prefix" and not self.path else _RANK[self.path_type]
        return rank, -len(self.path), not self.method, -len(self.headers), -len(self.query)

    def holds(self, method: bytes, path: bytes, query: bytes, headers: Headers) -> bool:
        own = self.path
        if self.path_type == "prefix":
            # Whole segments: /v1 takes /v1 and /v1/models, never /v1beta.
            if own and not (path.startswith(own) and path[len(own) : len(own) + 1] in (b"", b"/")):
                return False
        elif self.path_type == "exact":
            if path != own:
                return False
        elif self.pattern is None or self.pattern.fullmatch(path) is None:
            return False
        if self.method and self.method != method:
            return False
        for condition in self.headers:
            if not condition.holds([value for name, value in headers if name == condition.name]):
                return False
        if self.query:
            parameters = _parameters(query)
            return all(condition.holds(parameters.get(condition.name, ())[:1]) for condition in self.query)
        return True


def _parameters(query: bytes) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for pair in query.split(b"&"):
        name, _, value = pair.partition(b"=")
        found.setdefault(_decoded(name), []).append(_decoded(value))
    return found


def _decoded(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))
