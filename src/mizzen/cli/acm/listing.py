"""``mizzen acm status`` and ``participants``: how everything stands."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click
import orjson

from mizzen.cli import output
from mizzen.cli.acm import api as rest
from mizzen.cli.acm import elements, naming
from mizzen.cli.acm.api import Api
from mizzen.cli.acm.naming import NotFound

Body = dict[str, Any]

_FORM = click.option("-o", "--output", "form", type=click.Choice(["text", "json", "yaml"]), default="text")


@click.command(short_help="Tell how definitions and instances stand.")
@click.argument("word", metavar="[INSTANCE|COMPOSITION]", required=False)
@_FORM
@rest.options
def status(word: str | None, form: str, api: Api) -> None:
    """Tell how everything stands, or all about one instance or definition (an id, the beginning of one, NAME or
    NAME:VERSION)."""
    if word is not None:
        _tell_one(api, word, form)
        return
    definitions = [api.get("compositions", one["compositionId"]) for one in naming.compositions(api)]
    instances = naming.instances(api)
    if form != "text":
        output.show({"compositions": definitions, "instances": instances}, form)
        return
    click.echo(f"runtime {api.url}")
    if not definitions:
        click.echo("no definitions; give it one with `mizzen acm commission FILE`")
        return
    rows = [
        [
            body["compositionId"],
            f"{body['serviceTemplate']['name']}:{body['serviceTemplate']['version']}",
            _state(body["state"], body),
            str(sum(one["compositionId"] == body["compositionId"] for one in instances)),
        ]
        for body in definitions
    ]
    click.echo("\n" + output.table(rows, ["definition", "name", "state", "instances"]))
    if instances:
        rows = [
            [one["instanceId"], f"{one['name']}:{one['version']}", _state(_instance_state(one), one), _reason(one)]
            for one in instances
        ]
        click.echo("\n" + output.table(rows, ["instance", "name", "state", "message"]))


def _tell_one(api: Api, word: str, form: str) -> None:
    try:
        found = naming.instance(api, word)
    except NotFound as no_instance:
        try:
            body = naming.composition(api, word)
        except NotFound as no_definition:
            raise NotFound(f"{no_instance}; {no_definition}") from None
        if form != "text":
            output.show(body, form)
            return
        click.echo(output.table(_definition_rows(body)))
        rows = [
            [name, one["state"], one.get("participantId", ""), one.get("message") or ""]
            for name, one in sorted(body["elementStateMap"].items())
        ]
        click.echo("\n" + output.table(rows, ["element", "state", "participant", "message"]))
        return
    if form != "text":
        output.show(found, form)
        return
    click.echo(output.table(_instance_rows(found)))
    for element in found["elements"].values():
        click.echo("\n" + output.table(_element_rows(element)))


def _definition_rows(body: Body) -> list[list[str]]:
    template = body["serviceTemplate"]
    return [
        ["definition", f"{template['name']}:{template['version']}"],
        ["id", body["compositionId"]],
        ["state", _state(body["state"], body)],
        ["changed", _when(body.get("lastMsg"))],
    ]


def _instance_rows(body: Body) -> list[list[str]]:
    rows = [
        ["instance", f"{body['name']}:{body['version']}"],
        ["id", body["instanceId"]],
        ["definition", body["compositionId"]],
        ["state", _state(_instance_state(body), body)],
        ["changed", _when(body.get("lastMsg"))],
    ]
    if body.get("compositionTargetId"):
        rows.append(["goes to", body["compositionTargetId"]])
    return rows


def _element_rows(element: Body) -> list[list[str]]:
    rows = [
        ["element", element["definition"]["name"]],
        ["  id", element["id"]],
        ["  state", element["deployState"]],
    ]
    for name, title in (("message", "  message"), ("operationalState", "  works"), ("useState", "  use")):
        if element.get(name):
            rows.append([title, str(element[name])])
    rows += [[f"  {name}", standing] for name, standing in elements.entities(element)]
    rows += [[f"  {name}", _short(value)] for name, value in elements.others(element).items()]
    return rows


def _instance_state(body: Body) -> str:
    state = str(body["deployState"])
    if body.get("lockState") not in (None, "NONE", "LOCKED"):
        state += f"/{body['lockState']}"
    if body.get("subState") not in (None, "NONE"):
        state += f"/{body['subState']}"
    return state


def _state(state: str, body: Body) -> str:
    result = body.get("stateChangeResult")
    return state if result in (None, "NO_ERROR") else f"{state} ({result})"


def _reason(body: Body) -> str:
    if body.get("stateChangeResult") in (None, "NO_ERROR"):
        lost = [one for one in body["elements"].values() if _is_lost(one)]
        return "; ".join(f"does not work: {elements.hindrance(one) or 'no reason told'}" for one in lost)
    return "; ".join(sorted({one["message"] for one in body["elements"].values() if one.get("message")}))


def _is_lost(element: Body) -> bool:
    return element.get("deployState") == "DEPLOYED" and element.get("operationalState") == "DISABLED"


def _short(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


@click.command(short_help="List participants and their replicas.")
@_FORM
@rest.options
def participants(form: str, api: Api) -> None:
    """List the participants that have registered, what they take, and when each of their replicas was heard of last."""
    found: list[Body] = api.get("participants")
    if form != "text":
        output.show(found, form)
        return
    if not found:
        click.echo("no participants; `mizzen acm participant` starts one alone, `mizzen acm up` the whole set")
        return
    rows = []
    for body in found:
        told = body["participant"]
        types = sorted(
            f"{one['typeName']}:{one['typeVersion']}" for one in told["participantSupportedElementTypes"].values()
        )
        replicas = list((told.get("replicas") or {}).values()) or [{"replicaId": "", "participantState": "OFF_LINE"}]
        for replica in replicas:
            rows.append(
                [
                    told["participantId"],
                    ", ".join(types),
                    replica["replicaId"],
                    replica["participantState"],
                    _when(replica.get("lastMsg")),
                ]
            )
    click.echo(output.table(rows, ["participant", "takes", "replica", "state", "heard of"]))


def _when(told: str | None) -> str:
    """``lastMsg`` as an age."""
    if not told:
        return ""
    try:
        then = datetime.fromisoformat(told[:26].rstrip(".")).replace(tzinfo=UTC)
    except ValueError:
        return told
    seconds = max(0, int((datetime.now(UTC) - then).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"
