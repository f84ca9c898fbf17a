"""``mizzen apply``, ``get``, ``describe`` and ``delete``: for those who have no kubectl."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from mizzen.apis.meta import ResourceDef
from mizzen.cli import connection, description, output
from mizzen.cli.manifests import Manifest, files_option, read
from mizzen.errors import MizzenError
from mizzen.kube.client import Client
from mizzen.kube.discovery import Catalogue, UnknownKind, catalogue
from mizzen.kube.errors import ApiError

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
                title, verb = await _apply(client, kinds, manifest, namespace or client.config.namespace, dry_run)
                click.echo(f"{title} {verb}{' (dry run)' if dry_run else ''}")
            except (ApiError, UnknownKind) as error:
                failed += 1
                click.echo(f"{manifest.where}: {error}", err=True)
        return failed

    failed = connection.with_client(kubeconfig, work)
    if failed and len(documents) == 1:
        raise click.exceptions.Exit(1)  # all has been said
    if failed:
        raise CommandFailed(f"{failed} of {len(documents)} objects could not be applied")


async def _apply(
    client: Client, kinds: Catalogue, manifest: Manifest, namespace: str, dry_run: bool
) -> tuple[str, str]:
    """What was applied, and what came of it."""
    resource = kinds.by_kind(manifest.value["apiVersion"], manifest.value["kind"])
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
    title = _title(resource, manifest.name)
    if before is None:
        return title, "created"
    if dry_run:  # nothing was written, so the version tells nothing
        same = _content(before) == _content(after)
    else:
        same = before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"]
    return title, "unchanged" if same else "configured"


def _content(found: dict[str, Any]) -> dict[str, Any]:
    left_out = ("managedFields", "generation", "resourceVersion")
    return found | {"metadata": {key: value for key, value in found["metadata"].items() if key not in left_out}}


def _title(resource: ResourceDef, name: str) -> str:
    """``inferenceservice.serving.kserve.io/iris``: the name by which every command takes an object, too."""
    return f"{resource.singular}.{resource.group}/{name}" if resource.group else f"{resource.singular}/{name}"


def _kind_and_names(kind: str, names: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """``pod a b`` as it stands, and ``pod/a pod/b`` in the same form."""
    if "/" not in kind:
        return kind, names
    pairs = [word.partition("/") for word in (kind, *names)]
    if len({pair[0] for pair in pairs}) > 1 or not all(pair[2] for pair in pairs):
        raise click.UsageError("name objects of one kind: KIND NAME ..., or KIND/NAME KIND/NAME ...")
    return pairs[0][0], tuple(pair[2] for pair in pairs)


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
    """List the objects of KIND (isvc, pods, deploy, ...), or show those with NAMES.

    Several kinds are written with commas between them: isvc,pods. `all` means every kind that runs something.
    """
    kind, names = _kind_and_names(kind, names)

    async def work(client: Client) -> None:
        resources = (await catalogue(client)).by_words(kind)
        where = "" if all_namespaces else namespace or client.config.namespace
        if form in ("json", "yaml"):
            await _show(client, resources, names, where, selector, form)
            return
        if watch and (len(resources) > 1 or len(names) > 1):
            raise click.UsageError("one kind can be watched at a time, and of that one object or all of them")
        query = {"labelSelector": selector} if selector and not names else {}
        printed = False
        for resource in resources:
            table = _Table(form, resource, all_namespaces, titles=len(resources) > 1)
            version = ""
            for path in [resource.path(where, name) for name in names] or [resource.path(where)]:
                answer = await client.raw("GET", path, query, accept=output.TABLE)
                version = answer["metadata"].get("resourceVersion", "")
                table.add(answer)
            table.print(gap=printed)
            printed |= table.has_printed
        if not printed and not names:
            click.echo(f"no {resources[0].plural if len(resources) == 1 else 'such objects'} found", err=True)
        if watch:
            field = f"metadata.name={names[0]}" if names else ""
            stream = client.watch(
                resource,
                where,
                resource_version=version,
                label_selector=selector,
                field_selector=field,
                accept=output.TABLE,
            )
            async for event in stream:
                if event.type != "BOOKMARK":
                    table.add(output.decoded(event.object))
                    table.print()

    connection.with_client(kubeconfig, work)


async def _show(
    client: Client, resources: list[ResourceDef], names: tuple[str, ...], where: str, selector: str, form: str
) -> None:
    found: list[Any] = []
    for resource in resources:
        if names:
            found += [await client.get(resource, name, where) for name in names]
        else:
            found += await client.list(resource, where, label_selector=selector)
    for one in found:
        one["metadata"].pop("managedFields", None)  # longer than all the rest, and nobody's reading
    single = len(names) == 1 and len(found) == 1
    output.show(found[0] if single else {"apiVersion": "v1", "kind": "List", "items": found}, form)


class _Table:
    """Rows of one kind as they come, printed below one header and as wide as the first of them were.

    Args:
        titles: names are written with their kind, because there are others.
    """

    def __init__(self, form: str | None, resource: ResourceDef, all_namespaces: bool, *, titles: bool) -> None:
        self.has_printed = False
        self._form = form
        self._resource = resource
        self._namespaced = all_namespaces and resource.namespaced
        self._titles = titles
        self._columns: list[Any] = []
        self._rows: list[list[str]] = []
        self._widths: list[int] = []
        self._header: list[str] = []

    def add(self, answer: dict[str, Any]) -> None:
        # The columns are told with the list, and not again with each change.
        self._columns = answer.get("columnDefinitions") or self._columns
        answer = answer | {"columnDefinitions": self._columns}
        self._header, rows = output.server_table(answer, wide=self._form == "wide", namespaced=self._namespaced)
        self._rows += rows

    def print(self, *, gap: bool = False) -> None:
        """Print what was added since; ``gap`` leaves a line free before it."""
        rows, self._rows = self._rows, []
        if not rows:
            return
        first, self.has_printed = not self.has_printed, True
        name = 1 if self._namespaced else 0
        if self._form == "name":
            for row in rows:
                click.echo(_title(self._resource, row[name]))
            return
        if self._titles:
            for row in rows:
                row[name] = _title(self._resource, row[name])
        header = self._header if first else ()
        self._widths = self._widths or output.widths([self._header, *rows])
        click.echo(("\n" if gap else "") + output.table(rows, header, self._widths))


@click.command(short_help="Tell all about one object: state, reasons, events.")
@click.argument("kind")
@click.argument("name", nargs=-1)
@connection.options
def describe(kind: str, name: tuple[str, ...], namespace: str, kubeconfig: Path | None) -> None:
    """Tell all about the object NAME of KIND: its state, why it is so, what happened to it, how to call it."""
    kind, names = _kind_and_names(kind, name)
    if len(names) != 1:
        raise click.UsageError("name one object: KIND NAME")

    async def work(client: Client) -> None:
        resource = (await catalogue(client)).by_word(kind)
        where = namespace or client.config.namespace
        found = await client.get(resource, names[0], where if resource.namespaced else "")
        click.echo(await description.of(client, resource, found, connection.gateway_url(client.config)))

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
    if kind:
        kind, names = _kind_and_names(kind, names)
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
        deleted = []
        for resource, name, place in chosen:
            try:
                answer = await client.delete(resource, name, place if resource.namespaced else "")
                deleted.append((resource, name, place, _uid(answer)))
                click.echo(f"{_title(resource, name)} deleted")
            except ApiError as error:
                failed += 1
                click.echo(str(error), err=True)
        if wait:
            await asyncio.gather(*(_gone(client, *which) for which in deleted))
        return failed

    if connection.with_client(kubeconfig, work):
        raise CommandFailed("not all objects could be deleted")


def _uid(answer: dict[str, Any]) -> str:
    """Which object was deleted: the API answers with it if it is still there, and else with a Status about it."""
    return str((answer.get("metadata") or {}).get("uid") or (answer.get("details") or {}).get("uid") or "")


async def _gone(client: Client, resource: ResourceDef, name: str, namespace: str, uid: str) -> None:
    for _ in range(_GONE_PATIENCE * 20):
        try:
            found = await client.get_metadata(resource, name, namespace if resource.namespaced else "")
        except ApiError as error:
            if error.code == 404:
                return
            raise
        if uid and found["metadata"]["uid"] != uid:
            return  # somebody has made another one of this name
        await asyncio.sleep(0.05)
    raise CommandFailed(f"{_title(resource, name)} is still there after {_GONE_PATIENCE} s: see its finalizers")
