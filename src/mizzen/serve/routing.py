"""From a request's method and target to the function that answers it.

Paths are written as templates, ``/v2/models/{model}/infer``; a parameter is one segment, percent-decoded, and may be
followed by fixed text as in V1's ``{model}:predict``. What was found once is remembered by the bytes of the target, so
a served model's route costs one look into a mapping.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import unquote

from mizzen.http.exchange import Exchange
from mizzen.serve.errors import MethodNotAllowed, NotFound

Answer = Callable[..., None]

_REMEMBERED = 4096


class Redirect(Exception):
    """The same without its trailing slash is served."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.location = location


class Router:
    def __init__(self) -> None:
        self._routes: list[tuple[str, re.Pattern[str], Answer]] = []
        self._found: dict[tuple[bytes, bytes], Callable[[Exchange], None]] = {}

    def add(self, method: str, template: str, answer: Answer) -> None:
        """Serve ``template`` with ``answer(exchange, *parameters)``. The first that matches wins."""
        parts = re.split(r"(\{\w+\})", template)
        pattern = "".join("(.+)" if part.startswith("{") else re.escape(part) for part in parts)
        # A decoded segment may hold any character, a slash included, so segments are told apart by a NUL.
        self._routes.append((method, re.compile(pattern.replace("/", "\0").replace("(.+)", "([^\0]+)")), answer))

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
        if path.startswith("http://"):  # a proxy's form of target (RFC 9112, section 3.2.2)
            path = "/" + path.removeprefix("http://").partition("/")[2]
        allowed = []
        for verb, parameters, answer in self._matches(path):
            if verb == method:
                return partial(_call, answer, parameters)
            allowed.append(verb)
        if allowed:
            raise MethodNotAllowed(method, unquote(path), sorted(set(allowed)))
        if path.endswith("/") and len(path) > 1 and any(self._matches(path.rstrip("/"))):
            raise Redirect(path.rstrip("/") + (f"?{query}" if query else ""))
        raise NotFound(f"nothing is served at {unquote(path)}")

    def _matches(self, path: str) -> list[tuple[str, tuple[Any, ...], Answer]]:
        segments = [unquote(segment) for segment in path.split("/")]
        if any("\0" in segment for segment in segments):
            return []
        decoded = "\0".join(segments)
        found = []
        for verb, pattern, answer in self._routes:
            match = pattern.fullmatch(decoded)
            if match:
                found.append((verb, match.groups(), answer))
        return found


def _call(answer: Answer, parameters: tuple[Any, ...], exchange: Exchange) -> None:
    answer(exchange, *parameters)
