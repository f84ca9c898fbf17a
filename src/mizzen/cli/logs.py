"""``mizzen logs``: what the containers of a pod, or of all pods of a service or a deployment, have written."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import click
import msgspec

from mizzen.apis.apps import DEPLOYMENT, REPLICA_SET
from mizzen.apis.core import POD, Pod
from mizzen.apis.meta import ResourceDef
from mizzen.apis.serving.v1beta1.inferenceservice import INFERENCE_SERVICE
from mizzen.cli import connection
from mizzen.errors import MizzenError
from mizzen.kube.client import Client
from mizzen.kube.errors import ApiError
from mizzen.kube.selectors import from_typed

_SERVICE_LABEL = "serving.kserve.io/inferenceservice"
# What may stand before a slash, and what is meant by it. A group behind it, as `mizzen get -o name` prints it, is known
# from the kind.
_KINDS = {
    word: kind
    for kind in (POD, INFERENCE_SERVICE, DEPLOYMENT, REPLICA_SET)
    for word in (kind.singular, kind.plural, *kind.short_names)
}


class NothingToRead(MizzenError):
    """There is no pod, or no container of that name."""


@click.command(short_help="Print what a pod, a service or a deployment has written.")
@click.argument("name", metavar="POD | isvc/NAME | deploy/NAME")
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
    """Print the log of POD, or of every pod of the InferenceService, Deployment or ReplicaSet (rs/) NAME."""
    kind, rest = _kind_and_name(name)
    query = {
        "follow": "true" if follow else "",
        "previous": "true" if previous else "",
        "timestamps": "true" if timestamps else "",
        "tailLines": "" if tail is None else str(tail),
    }

    async def work(client: Client) -> None:
        where = namespace or client.config.namespace
        pods = [await _pod(client, rest, where)] if kind == POD else await _pods_of(client, kind, rest, where)
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


def _kind_and_name(given: str) -> tuple[ResourceDef, str]:
    word, slash, name = given.partition("/")
    if not slash:
        return POD, given
    kind, _, group = word.lower().partition(".")
    found = _KINDS.get(kind)
    if found is None or group not in ("", found.group) or not name:
        raise click.UsageError(f"logs takes a POD, isvc/NAME, deploy/NAME or rs/NAME, and {given!r} is none of them")
    return found, name


async def _pod(client: Client, name: str, namespace: str) -> Pod:
    return msgspec.convert(await client.get(POD, name, namespace), Pod)


async def _pods_of(client: Client, kind: ResourceDef, name: str, namespace: str) -> list[Pod]:
    if kind == INFERENCE_SERVICE:
        selector = f"{_SERVICE_LABEL}={name}"
    else:
        owner = await client.get(kind, name, namespace)
        selector = str(from_typed(owner["spec"]["selector"]))
    found = await client.list(POD, namespace, label_selector=selector)
    if not found:
        word = kind.short_names[0]
        raise NothingToRead(f"the {kind.kind} {name} has no pods in {namespace}; see `mizzen describe {word} {name}`")
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
