"""A command that asks a served model, ready to be pasted: with a request of the shape that the model itself tells.

A line that has to be completed first is a line that most people paste as it is, and that then fails. So the model is
asked for its inputs, and the request holds one row of them. A model that tells nothing (or a service that is not up)
leaves dots to be filled in.
"""

from __future__ import annotations

import math
import shlex
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
import orjson

from mizzen.apis.serving.v1beta1 import InferenceService

_PATIENCE = 2.0
_LONGEST = 100  # values; pictures are not typed in


class _Input(msgspec.Struct):
    """An input as V2 metadata tells of it; -1 in the shape is any number of rows."""

    name: str
    datatype: str
    shape: list[int]

    @property
    def one_row(self) -> list[int]:
        return [abs(size) for size in self.shape]

    @property
    def is_short(self) -> bool:
        return math.prod(self.one_row) <= _LONGEST

    @property
    def value(self) -> Any:
        return {"BYTES": "text", "BOOL": True}.get(self.datatype, 1.0 if self.datatype.startswith("FP") else 1)


class _Metadata(msgspec.Struct):
    inputs: list[_Input] = []


async def curl(isvc: InferenceService, gateway: str) -> str:
    """The command that reaches the service through the gateway; empty while it has no URL."""
    if not isvc.status.url:
        return ""
    host = urlsplit(isvc.status.url).netloc
    inputs = await _inputs(gateway, host, isvc.name)
    model = isvc.spec.predictor.model
    if model and model.protocol_version == "v2":
        path, body = f"/v2/models/{isvc.name}/infer", _v2(inputs)
    else:
        path, body = f"/v1/models/{isvc.name}:predict", _v1(inputs)
    return f"curl -H 'Host: {host}' -H 'Content-Type: application/json' {gateway}{path} -d {shlex.quote(body)}"


def _v1(inputs: list[_Input]) -> str:
    if len(inputs) != 1 or not inputs[0].is_short:
        return '{"instances": [...]}'
    return _text({"instances": _nested(inputs[0].value, inputs[0].one_row)})


def _v2(inputs: list[_Input]) -> str:
    if not inputs or not all(one.is_short for one in inputs):
        return '{"inputs": [{"name": "input-0", "shape": [...], "datatype": "...", "data": [...]}]}'
    tensors = [
        {"name": one.name, "shape": one.one_row, "datatype": one.datatype, "data": [one.value] * math.prod(one.one_row)}
        for one in inputs
    ]
    return _text({"inputs": tensors})


def _nested(value: Any, shape: list[int]) -> Any:
    return [_nested(value, shape[1:]) for _ in range(shape[0])] if shape else value


def _text(value: Any) -> str:
    return orjson.dumps(value).decode().replace(",", ", ").replace('":', '": ')


async def _inputs(gateway: str, host: str, name: str) -> list[_Input]:
    """What the model says that it takes; nothing where it cannot be asked or does not say."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PATIENCE)) as session,
            session.get(f"{gateway}/v2/models/{name}", headers={"Host": host}) as answer,
        ):
            return msgspec.json.decode(await answer.read(), type=_Metadata).inputs
    except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError):
        return []
