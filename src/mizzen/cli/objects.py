"""``mizzen apply``, ``get``, ``describe`` and ``delete``: for those who have no kubectl."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from mizzen.cli import connection, description, output
from mizzen.cli.manifests import Manifest, ManifestError, files_option, read
from mizzen.errors import MizzenError
from mizzen.kube.client import Client
from mizzen.kube.discovery import Catalogue, UnknownKind, catalogue
from mizzen.kube.errors import ApiError

_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
_GONE_PATIENCE = 60


class CommandFailed(MizzenError):
    """Some of the objects could not be dealt with; each has been told of on its own line."""


@click.command(short_help="Make the cluster as manifests say.")
@files_option("A manifest, a folder of them, or standard input.")
@click.option("--dry-run", is_flag=True, help="Ask the API what would happen, and change nothing.")
@connection.options
def apply(sources: tuple[str, ...], dry_run: bool, namespace: str, kubeconfig: Path | None) -> None:
    """Make the cluster as the manifests say: create what is not there, change what differs.

    Fields that an earlier apply set and the manifest leaves out now are removed (server-side apply).
    """
    if not sources:
        raise click.UsageError("name a manifest with -f FILE")
    documents = read(sources)

    async def work(client: Client) -> int:
        kinds = await catalogue(client)
        failed = 0
        for manifest in documents:
            try:
                verb = await _apply(client, kinds, manifest, namespace or client.config.namespace, dry_run)
                click.echo(f"{manifest.title} {verb}{' (dry run)' if dry_run else ''}")
            except (ApiError, UnknownKind, ManifestError) as error:
                failed += 1
                click.echo(f"{manifest.where}: {error}", err=True)
        return failed

    failed = connection.with_client(kubeconfig, work)
    if failed:
        raise CommandFailed(f"{failed} of {len(documents)} objects could not be applied")


async def _apply(client: Client, kinds: Catalogue, manifest: Manifest, namespace: str, dry_run: bool) -> str:
    resource = kinds.by_kind(manifest.value["apiVersion"], manifest.value["kind"])
    if not manifest.name:
        raise ManifestError("metadata.name is missing")
    metadata = manifest.value["metadata"]
    if resource.namespaced and not metadata.get("namespace"):
        metadata["namespace"] = namespace
    try:
        before = await client.get(resource, manifest.name, metadata.get("namespace") or "")
    except ApiError as error:
        if error.code != 404:
            raise
        before = None
    after = await client.apply(resource, manifest.value, dry_run=dry_run, field_validation="Strict")
    if before is None:
        return "created"
    same = before["metadata"]["resourceVersion"] == after["metadata"].get("resourceVersion")
    return "unchanged" if same else "configured"


@click.command(short_help="List objects, or show one.")
@click.argument("kind")
@click.argument("names", nargs=-1)
@click.option("-A", "--all-namespaces", is_flag=True, help="Of all namespaces.")
@click.option("-l", "--selector", default="", help="Only those with these labels, such as app=web.")
@click.option("-o", "--output", "form", type=click.Choice(["wide", "json", "yaml", "name"]), default=None)
@click.option("-w", "--watch", is_flag=True, help="Go on, and print each change.")
@connection.options
def get(
    kind: str,
    names: tuple[str, ...],
    all_namespaces: bool,
    selector: str,
    form: str | None,
    watch: bool,
    namespace: str,
    kubeconfig: Path | None,
) -> None:
    """List the objects of KIND (isvc, pods, deploy, ...), or show those with NAMES."""

    async def work(client: Client) -> None:
        resource = (await catalogue(client)).by_word(kind)
        where = "" if all_namespaces else namespace or client.config.namespace
        query = {"labelSelector": selector} if selector else {}
        if form in ("json", "yaml"):
            if names:
                found: Any = [await client.get(resource, name, where) for name in names]
            else:
                found = await client.list(resource, where, label_selector=selector)
            single = len(names) == 1
            output.show(found[0] if single else {"apiVersion": "v1", "kind": "List", "items": found}, form)
            return
        paths = [resource.path(where, name) for name in names] or [resource.path(where)]
        version = ""
        for path in paths:
            answer = await client.raw("GET", path, {} if names else query, accept=_TABLE)
            version = answer["metadata"].get("resourceVersion", "")
            _print_table(answer, form, resource.plural, all_namespaces and resource.namespaced, header=path is paths[0])
        if watch:
            field = f"metadata.name={names[0]}" if names else ""
            stream = client.watch(
                resource, where, resource_version=version, label_selector=selector, field_selector=field, accept=_TABLE
            )
            async for event in stream:
                if event.type != "BOOKMARK":
                    answer = output.decoded(event.object)
                    wide = all_namespaces and resource.namespaced
                    _print_table(answer, form, resource.plural, wide, header=False)

    connection.with_client(kubeconfig, work)


def _print_table(answer: dict[str, Any], form: str | None, plural: str, namespaced: bool, *, header: bool) -> None:
    names, rows = output.server_table(answer, wide=form == "wide", namespaced=namespaced)
    if form == "name":
        for row in rows:
            click.echo(f"{plural}/{row[1 if namespaced else 0]}")
    elif rows:
        click.echo(output.table(rows, names if header else ()))
    elif header:
        click.echo(f"no {plural} found", err=True)


@click.command(short_help="Tell all about one object: state, reasons, events.")
@click.argument("kind")
@click.argument("name")
@connection.options
def describe(kind: str, name: str, namespace: str, kubeconfig: Path | None) -> None:
    """Tell all about the object NAME of KIND: its state, why it is so, what happened to it, how to call it."""

    async def work(client: Client) -> None:
        resource = (await catalogue(client)).by_word(kind)
        where = namespace or client.config.namespace
        found = await client.get(resource, name, where if resource.namespaced else "")
        click.echo(await description.of(client, resource, found, connection.gateway_url()))

    connection.with_client(kubeconfig, work)


@click.command(short_help="Delete objects.")
@click.argument("kind", required=False)
@click.argument("names", nargs=-1)
@files_option("Delete what these manifests name.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Return when the objects are gone.")
@connection.options
def delete(
    kind: str | None,
    names: tuple[str, ...],
    sources: tuple[str, ...],
    wait: bool,
    namespace: str,
    kubeconfig: Path | None,
) -> None:
    """Delete the objects NAMES of KIND, or those that the manifests of -f name."""
    if bool(sources) == bool(kind and names):
        raise click.UsageError("name either a KIND and NAMES, or manifests with -f FILE")
    documents = read(sources)

    async def work(client: Client) -> int:
        kinds = await catalogue(client)
        where = namespace or client.config.namespace
        if kind:
            chosen = [(kinds.by_word(kind), name, where) for name in names]
        else:
            chosen = [
                (
                    kinds.by_kind(m.value["apiVersion"], m.value["kind"]),
                    m.name,
                    m.value["metadata"].get("namespace") or where,
                )
                for m in reversed(documents)
            ]
        failed = 0
        for resource, name, place in chosen:
            try:
                await client.delete(resource, name, place if resource.namespaced else "")
                click.echo(f"{resource.singular}/{name} deleted")
            except ApiError as error:
                failed += 1
                click.echo(str(error), err=True)
        if wait and not failed:
            await asyncio.gather(*(_gone(client, *which) for which in chosen))
        return failed

    if connection.with_client(kubeconfig, work):
        raise CommandFailed("not all objects could be deleted")


async def _gone(client: Client, resource: Any, name: str, namespace: str) -> None:
    for _ in range(_GONE_PATIENCE * 20):
        try:
            await client.get(resource, name, namespace if resource.namespaced else "")
        except ApiError as error:
            if error.code == 404:
                return
            raise
        await asyncio.sleep(0.05)
    raise CommandFailed(f"{resource.singular}/{name} is still there after {_GONE_PATIENCE} s: see its finalizers")
