"""Asking a predictor over REST, in V1 or V2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from mizzen.http.client import Client, Timeouts
from mizzen.http.errors import ConnectFailed, HttpError, TimedOut
from mizzen.http.headers import Headers
from mizzen.serve.codecs.bodies import decode_json
from mizzen.serve.errors import InvalidInput
from mizzen.serve.forwarding import trust
from mizzen.serve.forwarding.config import PredictorConfig
from mizzen.serve.forwarding.errors import PredictorError, Unreachable

JSON_LENGTH = b"inference-header-content-length"


class Reply(NamedTuple):
    """Attributes:
    body: as it came.
    headers: names in lower case.
    """

    body: bytes
    headers: Headers

    @property
    def json_length(self) -> int | None:
        """Of an answer in V2's binary form, how long its JSON is."""
        for name, value in self.headers:
            if name == JSON_LENGTH and value.isdigit():
                return int(value)
        return None

    def json(self) -> Any:
        """
        Raises:
            PredictorError: it is no JSON.
        """
        try:
            return decode_json(self.body)
        except InvalidInput as error:
            raise PredictorError(f"the predictor's answer is no JSON: {error}", 502) from None


class RestPredictor:
    """One predictor, asked from one event loop."""

    def __init__(self, config: PredictorConfig, environ: Mapping[str, str]) -> None:
        self._url = config.predictor_base_url
        timeout = float(config.predictor_request_timeout_seconds)
        self._timeouts = Timeouts(connect=min(5.0, timeout), head=None, total=timeout)
        context = trust.context(environ) if config.predictor_use_ssl else None
        self._client = Client(timeouts=self._timeouts, ssl=context, environ=environ)

    def path(self, verb: str, model: str, v2: bool) -> str:
        name = quote(model, safe="")
        return f"/v2/models/{name}/infer" if v2 else f"/v1/models/{name}:{verb}"

    async def post(self, path: str, body: bytes, headers: Headers) -> Reply:
        """Ask.

        Raises:
            PredictorError: with the status and words of the predictor's error.
            Unreachable: no answer came.
        """
        return await self._ask("POST", path, body, headers, None)

    async def get(self, path: str, timeout: float) -> Reply:
        """As :meth:`post`, without a body."""
        return await self._ask("GET", path, None, [], Timeouts(connect=timeout, head=None, total=timeout))

    async def _ask(
        self, method: str, path: str, body: bytes | None, headers: Headers, timeouts: Timeouts | None
    ) -> Reply:
        url = self._url + path
        try:
            async with await self._client.request(
                method, url, body=body, headers=headers, timeouts=timeouts
            ) as response:
                text = await response.read()
        except HttpError as error:
            raise Unreachable(f"the predictor at {self._url} gave no answer: {error}", _status(error)) from error
        if 200 <= response.status < 300:
            return Reply(text, response.headers)
        raise PredictorError(
            _words(text) or f"the predictor at {url} answered {response.status}", _error(response.status)
        )

    async def close(self) -> None:
        await self._client.close()


def _status(error: HttpError) -> int:
    if isinstance(error, ConnectFailed):
        return 503
    return 504 if isinstance(error, TimedOut) else 502


def _error(status: int) -> int:
    """A predictor that redirects is not where it was said to be."""
    return status if 400 <= status <= 599 else 502


def _words(body: bytes) -> str:
    """What an error's body says: KServe's, FastAPI's or TensorFlow Serving's JSON, or the text that it is."""
    try:
        value = decode_json(body)
    except InvalidInput:
        return body.decode("utf-8", "replace").strip()[:1000]
    if not isinstance(value, dict):
        return str(value)[:1000]
    told = value.get("error", value.get("detail", value))
    if isinstance(told, dict) and isinstance(told.get("message"), str):
        told = told["message"]
    return told if isinstance(told, str) else body.decode("utf-8", "replace")[:1000]
