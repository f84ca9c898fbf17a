"""From a request's method and target to the function that answers it.

Paths are written as templates, ``/v2/models/{model}/infer``; a parameter is one segment, percent-decoded, and may be
followed by fixed text as in V1's ``{model}:predict``. What was found once is remembered by the bytes of the target, so
a served model's route costs one look into a mapping.

What is served with GET is served with HEAD, whose answers the transport sends without their bodies; and OPTIONS tells
of any path what it takes.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import unquote

from mizzen.http.exchange import Exchange
from mizzen.serve.errors import MethodNotAllowed, NotFound

Answer = Callable[..., None]

_REMEMBERED = 4096


class Protocol(typing.Protocol):
    """What answers some routes."""

    def register(self, router: Router) -> None:
        """Add its routes."""


@typing.runtime_checkable
class Documented(Protocol, typing.Protocol):
    """What tells of its routes, too."""

    def paths(self) -> dict[str, Any]:
        """Its routes as OpenAPI's path items, by their templates."""

    def schemas(self) -> dict[str, Any]:
        """The schemas that they refer to, by their names."""


class Redirect(Exception):
    """The same without its trailing slash is served."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.location = location


class Router:
    """Attributes:
    templates: what is served, as method and template, in the order of their coming.
    """

    def __init__(self) -> None:
        self._routes: list[tuple[str, re.Pattern[str], int, Answer]] = []
        self._hints: list[tuple[re.Pattern[str], int, str]] = []
        self._found: dict[tuple[bytes, bytes], Callable[[Exchange], None]] = {}
        self.templates: list[tuple[str, str]] = []

    def add(self, method: str, template: str, answer: Answer) -> None:
        """Serve ``template`` with ``answer(exchange, *parameters)``.

        Of templates that match, the one with more text of its own is meant (``m:predict`` is no model's name), and of
        equals the first.
        """
        self.templates.append((method, template))
        pattern, fixed = _compiled(template)
        self._routes.append((method, pattern, fixed, answer))

    def hint(self, template: str, text: str) -> None:
        """Say ``text`` to who asks for ``template`` with a method that it does not take."""
        self._hints.append((*_compiled(template), text))

    def find(self, exchange: Exchange) -> Callable[[Exchange], None]:
        """What answers this request.

        Raises:
            NotFound, MethodNotAllowed, Redirect
        """
        key = (exchange.method, exchange.target)
        found = self._found.get(key)
        if found is None:
            found = self._search(exchange.method.decode(), exchange.target.decode("latin-1"))
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            self._found[key] = found
        return found

    def _search(self, method: str, target: str) -> Callable[[Exchange], None]:
        path, _, query = target.partition("?")
        if path.startswith(("http://", "https://")):  # a proxy's form of target (RFC 9112, section 3.2.2)
            path = "/" + path.partition("://")[2].partition("/")[2]
        matches = self._matches(path)
        most = max((fixed for _, _, fixed, _ in matches), default=0)
        matches = [one for one in matches if one[2] == most]
        wanted = "GET" if method == "HEAD" else method
        for verb, parameters, _, answer in matches:
            if verb == wanted:
                return _bound(answer, parameters)
        if matches:
            allowed = sorted({verb for verb, *_ in matches})
            error = MethodNotAllowed(method, unquote(path), allowed, self._hinted(path, most))
            error.allowed = [*allowed, *(["HEAD"] if "GET" in allowed else ()), "OPTIONS"]
            if method == "OPTIONS":
                return partial(_options, error.allowed)
            raise error
        if path.endswith("/") and len(path) > 1 and any(self._matches(path.rstrip("/"))):
            raise Redirect(path.rstrip("/") + (f"?{query}" if query else ""))
        raise NotFound(f"nothing is served at {unquote(path)}")

    def _hinted(self, path: str, most: int) -> str:
        decoded = _decoded(path)
        return next((text for pattern, fixed, text in self._hints if fixed == most and pattern.fullmatch(decoded)), "")

    def _matches(self, path: str) -> list[tuple[str, tuple[Any, ...], int, Answer]]:
        """The routes of a path: method, parameters, how much of the template is fixed text, and what answers."""
        decoded = _decoded(path)
        found = []
        for verb, pattern, fixed, answer in self._routes:
            match = pattern.fullmatch(decoded)
            if match:
                found.append((verb, match.groups(), fixed, answer))
        return found


def _compiled(template: str) -> tuple[re.Pattern[str], int]:
    """A template as an expression for decoded paths, and how much of it is fixed text."""
    parts = re.split(r"(\{\w+\})", template)
    fixed = sum(len(part) for part in parts if not part.startswith("{"))
    pattern = "".join("(.+)" if part.startswith("{") else re.escape(part) for part in parts)
    return re.compile(pattern.replace("/", "\0").replace("(.+)", "([^\0]+)")), fixed


def _decoded(path: str) -> str:
    """A decoded segment may hold any character, a slash included, so segments are told apart by a NUL; empty, which
    matches nothing, if one holds that."""
    segments = [unquote(segment) for segment in path.split("/")]
    return "" if any("\0" in segment for segment in segments) else "\0".join(segments)


def _bound(answer: Answer, parameters: tuple[Any, ...]) -> Callable[[Exchange], None]:
    if len(parameters) == 1:
        (only,) = parameters
        return lambda exchange: answer(exchange, only)
    return lambda exchange: answer(exchange, *parameters)


def _options(allowed: list[str], exchange: Exchange) -> None:
    exchange.respond(204, b"", b"allow: %b\r\n" % ", ".join(allowed).encode())
