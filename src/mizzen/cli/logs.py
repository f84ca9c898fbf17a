"""``mizzen logs``: what the containers of a pod, or of a whole service, have written."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import click
import msgspec

from mizzen.apis.core import POD, Pod
from mizzen.cli import connection
from mizzen.errors import MizzenError
from mizzen.kube.client import Client
from mizzen.kube.errors import ApiError

_SERVICE_LABEL = "serving.kserve.io/inferenceservice"
_SERVICES = ("isvc", "inferenceservice", "inferenceservices")


class NothingToRead(MizzenError):
    """There is no pod, or no container of that name."""


@click.command(short_help="Print what a pod or a service has written.")
@click.argument("name", metavar="POD | isvc/NAME")
@click.option("-c", "--container", default="", help="Which container [default: the first].")
@click.option("-f", "--follow", is_flag=True, help="Go on printing until it ends.")
@click.option("-p", "--previous", is_flag=True, help="Of the run before the last restart.")
@click.option("--tail", type=int, default=None, help="Only the last lines.")
@click.option("--timestamps", is_flag=True, help="With the time of each line.")
@connection.options
def logs(
    name: str,
    container: str,
    follow: bool,
    previous: bool,
    tail: int | None,
    timestamps: bool,
    namespace: str,
    kubeconfig: Path | None,
) -> None:
    """Print the log of POD, or of every pod of the InferenceService NAME."""
    query = {
        "follow": "true" if follow else "",
        "previous": "true" if previous else "",
        "timestamps": "true" if timestamps else "",
        "tailLines": "" if tail is None else str(tail),
    }

    async def work(client: Client) -> None:
        where = namespace or client.config.namespace
        kind, slash, rest = name.partition("/")
        pods = (
            await _pods_of(client, rest, where)
            if slash and kind in _SERVICES
            else [await _pod(client, rest or kind, where)]
        )
        prefixed = len(pods) > 1
        async with asyncio.TaskGroup() as group:
            for pod in pods:
                chosen = container or _default_container(pod)
                given = {key: value for key, value in (query | {"container": chosen}).items() if value}
                printing = _print(client, pod.name, where, given, f"{pod.name}: ".encode() if prefixed else b"")
                if follow:
                    group.create_task(printing)
                else:
                    await printing

    try:
        connection.with_client(kubeconfig, work)
    except BaseExceptionGroup as group:
        # The first that failed ended the others. (What is raised in an `except*` becomes a group again.)
        first = group.exceptions[0]
        if isinstance(first, BrokenPipeError):
            raise BrokenPipeError from None  # whoever read has seen enough; with an errno click would fail for it
        raise first from None


async def _pod(client: Client, name: str, namespace: str) -> Pod:
    return msgspec.convert(await client.get(POD, name.removeprefix("pod/"), namespace), Pod)


async def _pods_of(client: Client, service: str, namespace: str) -> list[Pod]:
    found = await client.list(POD, namespace, label_selector=f"{_SERVICE_LABEL}={service}")
    if not found:
        raise NothingToRead(
            f"the InferenceService {service} has no pods in {namespace}; see `mizzen describe isvc {service}`"
        )
    return [msgspec.convert(pod, Pod) for pod in found]


def _default_container(pod: Pod) -> str:
    """The container that is meant: the model server once it has started, until then the step it waits for."""
    for status in pod.status.init_container_statuses or ():
        if not status.state.terminated or status.state.terminated.exit_code:
            return status.name
    return str(pod.spec["containers"][0]["name"])


async def _print(client: Client, pod: str, namespace: str, query: dict[str, str], prefix: bytes) -> None:
    try:
        async with client.logs(pod, namespace, query) as stream:
            async for piece in _lines(stream) if prefix else stream.iter_any():
                sys.stdout.buffer.write(prefix + piece)
                sys.stdout.buffer.flush()
    except ApiError as error:
        raise NothingToRead(f"{pod}: {error}") from error


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """The lines of a log. They may be of any length, and the last may have no end."""
    rest = bytearray()
    async for piece in stream.iter_any():
        rest += piece
        *lines, rest = rest.split(b"\n") if b"\n" in piece else [rest]
        for line in lines:
            yield bytes(line) + b"\n"
    if rest:
        yield bytes(rest) + b"\n"
