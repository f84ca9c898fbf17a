"""The command that asks a served model through the gateway: with a request of the shape that the model itself tells."""

from __future__ import annotations

from urllib.parse import urlsplit

import aiohttp
import msgspec

from mizzen.apis.serving.v1beta1.inferenceservice import InferenceService
from mizzen.serve.example import Input, command

_PATIENCE = 2.0


class _Metadata(msgspec.Struct):
    inputs: list[Input] = []


async def curl(isvc: InferenceService, gateway: str) -> str:
    """The command, and a line that says what is to be put in; empty while the service has no URL."""
    if not isvc.status.url:
        return ""
    host = urlsplit(isvc.status.url).netloc
    model = isvc.spec.predictor.model
    return command(
        f"curl -H 'Host: {host}' -H 'Content-Type: application/json' {gateway}",
        isvc.name,
        await _inputs(gateway, host, isvc.name),
        "v2" if model and model.protocol_version == "v2" else "v1",
    )


async def _inputs(gateway: str, host: str, name: str) -> list[Input]:
    """What the model says that it takes; nothing where it cannot be asked or does not say."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PATIENCE)) as session,
            session.get(f"{gateway}/v2/models/{name}", headers={"Host": host}) as answer,
        ):
            return msgspec.json.decode(await answer.read(), type=_Metadata).inputs
    except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError):
        return []
