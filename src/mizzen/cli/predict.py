"""``mizzen predict``: ask a model, over V1 or V2, through the gateway."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import click
import msgspec
import orjson

from mizzen.apis.serving.v1beta1.inferenceservice import INFERENCE_SERVICE, InferenceService
from mizzen.cli import connection, output
from mizzen.errors import MizzenError
from mizzen.kube.client import Client


class PredictError(MizzenError):
    """The request could not be made, or the answer was none."""


@click.command(short_help="Ask a model.")
@click.argument("name")
@click.option(
    "-d", "--data", default="-", help="The request as JSON, @FILE, or - for standard input.", show_default=True
)
@click.option("--timeout", default=60.0, show_default=True, help="Seconds to wait for the answer.")
@connection.options
def predict(name: str, data: str, timeout: float, namespace: str, kubeconfig: Path | None) -> None:
    """Send a request to the InferenceService NAME and print its answer.

    A request with "instances" goes over the V1 protocol, one with tensors as "inputs" over V2; a bare list means V1
    instances.
    """
    request = _request(data)

    async def work(client: Client) -> tuple[InferenceService, str | None]:
        found = await client.get(INFERENCE_SERVICE, name, namespace or client.config.namespace)
        return msgspec.convert(found, InferenceService), connection.gateway_url(client.config)

    isvc, gateway = connection.with_client(kubeconfig, work)
    if not isvc.status.url:
        raise PredictError(_not_ready(isvc))
    path = f"/v2/models/{name}/infer" if _is_v2(request) else f"/v1/models/{name}:predict"
    status, answer = asyncio.run(_post(gateway, isvc.status.url, path, request, timeout))
    try:
        click.echo(output.as_json(orjson.loads(answer)))
    except orjson.JSONDecodeError:
        click.echo(answer.decode("utf-8", "replace"))
    if status >= 400:
        raise PredictError(f"{name} answered with {status}")


def _not_ready(isvc: InferenceService) -> str:
    """Why a service has no URL. ``Ready`` repeats the condition that decides, so it alone is told."""
    ready = next((found for found in isvc.status.conditions or () if found.type == "Ready"), None)
    why = (ready.message or ready.reason) if ready else ""
    return f"{isvc.name} is not ready yet{f': {why}' if why else ''}"


def _is_v2(request: Any) -> bool:
    """V1 knows "inputs", too: there they are rows, and in V2 tensors, each a mapping."""
    inputs = request.get("inputs") if isinstance(request, dict) else None
    return isinstance(inputs, list) and all(isinstance(tensor, dict) for tensor in inputs)


def _request(data: str) -> Any:
    try:
        text: str | bytes = data
        if data == "-":
            text = sys.stdin.buffer.read()
        elif data.startswith("@"):
            text = Path(data[1:]).read_bytes()
    except OSError as error:
        raise PredictError(f"{data[1:]}: {error.strerror}") from error
    try:
        request = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise PredictError(f"the request is no JSON: {error}") from error
    return {"instances": request} if isinstance(request, list) else request


async def _post(gateway: str | None, url: str, path: str, request: Any, timeout: float) -> tuple[int, bytes]:
    """Through the installation's gateway with the service's host, or straight to the URL of any other cluster."""
    headers = {"Content-Type": "application/json"}
    if gateway:
        headers["Host"] = urlsplit(url).netloc
    target = (gateway or url) + path
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout)) as session,
            session.post(target, data=orjson.dumps(request), headers=headers) as response,
        ):
            return response.status, await response.read()
    except TimeoutError as error:
        raise PredictError(f"{target} did not answer within {timeout:g} s") from error
    except aiohttp.ClientError as error:
        raise PredictError(f"{target} cannot be reached: {error}") from error
