"""``mizzen acm instantiate``, ``deploy``, ``undeploy``, ``update`` and the other orders that an instance takes."""

from __future__ import annotations

import json
import re
from typing import Any

import click

from mizzen.acm.tosca import Document
from mizzen.cli.acm import api as rest
from mizzen.cli.acm import documents, naming, waiting
from mizzen.cli.acm.api import AcmError, Api

_INSTANCE = "INSTANCE is an id, the beginning of one, NAME or NAME:VERSION."


@click.command(short_help="Make an instance of a definition.")
@click.argument("composition")
@click.argument("file")
@rest.options
def instantiate(composition: str, file: str, api: Api) -> None:
    """Make an instance of COMPOSITION, a primed definition, as FILE says (YAML or JSON; - for standard input).

    The file's compositionId, often a placeholder, is replaced.
    """
    found = naming.composition(api, composition)["compositionId"]
    document = documents.instance(file, found)
    answer = _post(api, found, document.value | {"compositionId": found}, file, document)
    click.echo(answer["instanceId"])
    click.echo(f"made; next: mizzen acm deploy {answer['instanceId'][:8]} --wait", err=True)


def _post(api: Api, composition: str, body: dict[str, Any], file: str, document: Document) -> Any:
    try:
        return api.ask("POST", "compositions", composition, "instances", body=json.dumps(body).encode())
    except AcmError as error:
        if not error.problems:
            raise
        raise documents.refused(file, document.text, documents.problems(error.problems, document)) from None


def _order(name: str, field: str, goal: str, about: str) -> click.Command:
    """A command for one order."""

    @click.command(name, short_help=about, help=f"{about} {_INSTANCE}")
    @click.argument("instance")
    @waiting.options
    @rest.options
    def command(instance: str, wait: bool, timeout: float, api: Api) -> None:
        found = naming.instance(api, instance)
        composition, identifier = found["compositionId"], found["instanceId"]
        try:
            body = json.dumps({field: name.upper()}).encode()
            api.ask("PUT", "compositions", composition, "instances", identifier, body=body)
        except AcmError as error:
            raise _plain(error, name, found) from None
        if wait:
            waiting.for_instance(api, identifier, goal, timeout)

    return command


def _plain(error: AcmError, order: str, instance: dict[str, Any]) -> AcmError:
    """What is said of an order that does not fit the state: the runtime's own sentence is for programs."""
    told = re.match(r"Not valid order .*; (DeployState: .*)", str(error))
    if told is None:
        return error
    states = dict(part.split(": ", 1) for part in told[1].split("; "))
    state = states.pop("DeployState")
    more = ", ".join(value for value in states.values() if value not in ("NONE", "NO_ERROR"))
    state += f" ({more})" if more else ""
    name = f"{instance['name']}:{instance['version']}"
    return AcmError(f"{name} cannot take the order {order} while it is {state}", error.status)


deploy = _order("deploy", "deployOrder", "DEPLOYED", "Bring an instance up.")
undeploy = _order("undeploy", "deployOrder", "UNDEPLOYED", "Take an instance down.")
lock = _order("lock", "lockOrder", "LOCKED", "Take an instance out of use, so that it may be changed.")
unlock = _order("unlock", "lockOrder", "UNLOCKED", "Put an instance into use.")
prepare = _order("prepare", "subOrder", "UNDEPLOYED", "Have the participants prepare the deployment of an instance.")
review = _order("review", "subOrder", "DEPLOYED", "Have the participants look a deployed instance over.")


@click.command(short_help="Change an instance.")
@click.argument("instance")
@click.argument("file")
@waiting.options
@rest.options
def update(instance: str, file: str, wait: bool, timeout: float, api: Api) -> None:
    """Change INSTANCE as FILE says (YAML or JSON; - for standard input).

    While it is deployed, FILE may name some of its elements, and what it leaves out stays.
    """
    found = naming.instance(api, instance)
    goal = "UNDEPLOYED" if found["deployState"] == "UNDEPLOYED" else "DEPLOYED"
    _change(api, found, file, {}, goal if wait else None, timeout)


@click.command(short_help="Bring an instance to another definition.")
@click.argument("instance")
@click.argument("composition")
@click.argument("file")
@click.option("--precheck", is_flag=True, help="Only ask the participants whether they could.")
@waiting.options
@rest.options
def migrate(instance: str, composition: str, file: str, precheck: bool, wait: bool, timeout: float, api: Api) -> None:
    """Bring INSTANCE to the definition COMPOSITION, with the elements that FILE names (YAML or JSON; - for standard
    input): those it leaves out are removed, those that are new are added."""
    target = naming.composition(api, composition)["compositionId"]
    found = naming.instance(api, instance)
    more: dict[str, Any] = {"compositionTargetId": target} | ({"precheck": True} if precheck else {})
    _change(api, found, file, more, "DEPLOYED" if wait else None, timeout)


def _change(api: Api, found: dict[str, Any], file: str, more: dict[str, Any], goal: str | None, timeout: float) -> None:
    composition, identifier = found["compositionId"], found["instanceId"]
    document = documents.instance(file, composition)
    body = {"name": found["name"], "version": found["version"]} | document.value
    _post(api, composition, body | {"compositionId": composition, "instanceId": identifier} | more, file, document)
    if goal is not None:
        waiting.for_instance(api, identifier, goal, timeout)


@click.command(short_help="Go back to before an update or migration that failed.")
@click.argument("instance")
@waiting.options
@rest.options
def rollback(instance: str, wait: bool, timeout: float, api: Api) -> None:
    """Go back to what INSTANCE was before an update or a migration that failed."""
    found = naming.instance(api, instance)
    composition, identifier = found["compositionId"], found["instanceId"]
    api.ask("POST", "compositions", composition, "instances", identifier, "rollback")
    if wait:
        waiting.for_instance(api, identifier, "DEPLOYED", timeout)
