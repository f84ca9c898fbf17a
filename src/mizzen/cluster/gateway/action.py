"""What is done with a request that a route has matched: where it goes, and what is changed on the way.

All of it is decided when the route is compiled. What is left for each request is a look at a tuple.
"""

from __future__ import annotations

import random
from typing import NamedTuple

import msgspec

from mizzen.http.headers import Headers


class Backend(NamedTuple):
    """A port of a Service, by its number or its name."""

    namespace: str
    service: str
    port: int | str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service}:{self.port}"


class HeaderEdits(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of header fields; names in lower case. ``set`` replaces, ``add`` joins what is there."""

    set: tuple[tuple[bytes, bytes], ...] = ()
    add: tuple[tuple[bytes, bytes], ...] = ()
    remove: tuple[bytes, ...] = ()

    def apply(self, headers: Headers) -> Headers:
        dropped = {name for name, _ in self.set}.union(self.remove)
        return [pair for pair in headers if pair[0] not in dropped] + [*self.set, *self.add]


class PathEdit(msgspec.Struct, frozen=True):
    """A path in place of another: in place of the whole of it, or of a matched prefix."""

    replacement: bytes
    # The length of the prefix that gives way, without a slash at its end; None for the whole path.
    prefix: int | None = None

    def apply(self, path: bytes) -> bytes:
        if self.prefix is None:
            return self.replacement
        # The rest begins with a slash or is empty, so the replacement must not end with one.
        return self.replacement.removesuffix(b"/") + path[self.prefix :] or b"/"


class Rewrite(msgspec.Struct, frozen=True, kw_only=True):
    """Another host, another path, or both, for the server that the request goes to."""

    host: bytes = b""
    path: PathEdit | None = None

    def apply(self, host: bytes, target: bytes) -> tuple[bytes, bytes]:
        """Host and request target as the server gets them."""
        if self.path is not None and target.startswith(b"/"):
            path, mark, query = target.partition(b"?")
            target = self.path.apply(path) + mark + query
        return self.host or host, target


class Redirect(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that sends the client elsewhere. What is empty stays as the request had it."""

    status: int = 302
    scheme: str = ""
    host: str = ""
    port: int | None = None
    path: PathEdit | None = None

    def location(self, authority: bytes, target: bytes) -> bytes:
        """The absolute URL that the client is sent to."""
        host, _, port = authority.partition(b":") if not authority.startswith(b"[") else (authority, b"", b"")
        scheme = self.scheme or "http"
        if self.host:
            host = self.host.encode()
        if self.port is not None:
            port = b"%d" % self.port
        elif self.scheme:
            port = b""  # the scheme's own
        if port == (b"443" if scheme == "https" else b"80"):
            port = b""
        path, mark, query = target.partition(b"?")
        if not path.startswith(b"/"):
            path = b"/"
        if self.path is not None:
            path = self.path.apply(path)
        return b"%b://%b%b%b%b%b" % (scheme.encode(), host, b":" + port if port else b"", path, mark, query)


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One of the places a request may go to.

    ``weight`` is its share among them. A target without a backend cannot be reached, for the reason in ``problem``.
    """

    backend: Backend | None
    weight: int = 1
    request: HeaderEdits | None = None
    response: HeaderEdits | None = None
    problem: str = ""


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """Where matched requests go and how they change.

    ``timeout`` is in seconds, from the request to the last byte of its answer; None for no limit. A ``redirect``
    answers without a target.
    """

    targets: tuple[Target, ...] = ()
    request: HeaderEdits | None = None
    response: HeaderEdits | None = None
    rewrite: Rewrite | None = None
    redirect: Redirect | None = None
    timeout: float | None = None

    def choose(self) -> Target | None:
        """One target, by weight; None when there is none that has any."""
        targets = self.targets
        if len(targets) == 1:
            return targets[0] if targets[0].weight else None
        total = sum(target.weight for target in targets)
        if not total:
            return None
        point = random.randrange(total)
        for target in targets:
            point -= target.weight
            if point < 0:
                return target
        return None


def to(backend: Backend) -> Action:
    """The plain case: everything goes to one backend as it came."""
    return Action(targets=(Target(backend=backend),))
