"""A runtime, asked over its REST API."""

from __future__ import annotations

import base64
import contextlib
import functools
import http.client
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult, quote, urlencode, urlsplit

import click
import orjson

from mizzen.errors import MizzenError
from mizzen.up.acm import state
from mizzen.up.acm.home import AcmHome

_BASE = "/onap/policy/clamp/acm/v2"
_TIMEOUT = 60.0


class AcmError(MizzenError):
    """The runtime says no, or nothing.

    Attributes:
        status: of its answer; 0 where there was none.
        problems: where in a document, if it says so.
    """

    def __init__(self, message: str, status: int = 0, problems: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.problems = problems or []


class Api:
    """Where a runtime is, and who asks.

    Args:
        url: with or without the path under which ONAP serves it.
    """

    def __init__(self, url: str, user: str, password: str) -> None:
        parts = _parts(url)
        self.url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._parts = parts
        self._base = parts.path.rstrip("/") or _BASE
        word = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {word}", "Accept": "application/json"}

    def get(self, *path: str, **query: str) -> Any:
        return self.ask("GET", *path, query=query)

    def ask(
        self,
        verb: str,
        *path: str,
        query: dict[str, str] | None = None,
        body: bytes | None = None,
        media_type: str = "application/json",
    ) -> Any:
        """The decoded answer, None where it has no body.

        Raises:
            AcmError: it refuses, or does not answer.
        """
        target = "/".join([self._base, *(quote(part, safe="") for part in path)])
        if query:
            target += f"?{urlencode(query)}"
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = media_type
        try:
            with contextlib.closing(self._connection()) as connection:
                connection.request(verb, target, body, headers)
                answer = connection.getresponse()
                told = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise AcmError(f"the runtime at {self.url} does not answer: {error}") from error
        if answer.status >= 400:
            raise _refused(self.url, answer.status, told)
        try:
            return orjson.loads(told) if told else None
        except orjson.JSONDecodeError:
            raise AcmError(f"{self.url}{target} answers, but not as a runtime does", answer.status) from None

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT, context=ssl.create_default_context())
        return http.client.HTTPConnection(host, port, timeout=_TIMEOUT)


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts
    except ValueError:
        pass  # a port that is no number, or half an IPv6 address
    raise AcmError(f"{url!r} is no URL of a runtime; it reads like http://127.0.0.1:6969")


def _refused(url: str, status: int, told: bytes) -> AcmError:
    if status == 401:
        return AcmError(f"the runtime at {url} does not know this user and password (--user, --password)", status)
    try:
        answer = orjson.loads(told)
        details = answer["errorDetails"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return AcmError(f"the runtime at {url} answers with status {status}", status)
    return AcmError(str(details), status, answer.get("errors"))


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--url``, ``--user`` and ``--password``; the command is given an :class:`Api` as ``api``."""

    @functools.wraps(command)
    def with_api(*args: Any, url: str | None, user: str | None, password: str | None, **kwargs: Any) -> Any:
        return command(*args, api=connect(url, user, password), **kwargs)

    with_password = click.option("--password", envvar="MIZZEN_ACM_PASSWORD", help="Its password.")(with_api)
    with_user = click.option("--user", envvar="MIZZEN_ACM_USER", help="A user of that runtime.")(with_password)
    about = "The runtime [default: that of `mizzen acm up`]."
    return click.option("--url", envvar="MIZZEN_ACM_URL", help=about)(with_user)


def connect(url: str | None, user: str | None, password: str | None) -> Api:
    """The runtime that is named, or this home's.

    Raises:
        AcmError: none is named and none runs here.
    """
    home = AcmHome.from_environment()
    if url is None:
        running = state.read(home)
        if running is None:
            raise AcmError(f"no runtime runs in {home.root}; start one with `mizzen acm up -d`, or name one with --url")
        kept = home.kept_credentials()
        if kept is not None:
            user, password = user or kept.user, password or kept.password
        url = running.url
    if not user or password is None:
        raise AcmError(f"who asks {url}? Name --user and --password, or MIZZEN_ACM_USER and MIZZEN_ACM_PASSWORD")
    return Api(url, user, password)
