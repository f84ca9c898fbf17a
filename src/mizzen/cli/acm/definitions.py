"""``mizzen acm validate``, ``commission``, ``prime`` and ``deprime``: what there can be instances of."""

from __future__ import annotations

import click

from mizzen.acm.tosca import validate as check
from mizzen.cli.acm import api as rest
from mizzen.cli.acm import documents, naming, waiting
from mizzen.cli.acm.api import AcmError, Api


@click.command(short_help="Check a definition or an instance, without a runtime.")
@click.argument("file")
@click.option("--definition", metavar="FILE", help="The definition that an instance has to fit.")
def validate(file: str, definition: str | None) -> None:
    """Check the composition definition or the instance in FILE (YAML or JSON; - for standard input) as a runtime would.

    Exit code 1 if it would be refused; each reason is told with its line.
    """
    content = documents.read(file)
    report = check(content, composition=documents.read(definition) if definition else None)
    if report.problems or report.warnings:
        documents.tell(file, content, report)
    if not report.ok:
        raise click.exceptions.Exit(1)
    click.echo(f"{file}: a runtime takes it")


@click.command(short_help="Give a definition to the runtime.")
@click.argument("file")
@rest.options
def commission(file: str, api: Api) -> None:
    """Give the composition definition in FILE (TOSCA as YAML or JSON; - for standard input) to the runtime."""
    content = documents.read(file)
    try:
        answer = api.ask("POST", "compositions", body=content, media_type=documents.media_type(content))
    except AcmError as error:
        if not error.problems:
            raise
        raise documents.refused(file, content, documents.problems(error.problems)) from None
    click.echo(answer["compositionId"])
    click.echo(f"commissioned; next: mizzen acm prime {answer['compositionId'][:8]} --wait", err=True)


@click.command(short_help="Have the participants take a definition.")
@click.argument("composition")
@waiting.options
@rest.options
def prime(composition: str, wait: bool, timeout: float, api: Api) -> None:
    """Have the participants take the definition COMPOSITION (an id, the beginning of one, NAME or NAME:VERSION)."""
    _order(api, composition, "PRIME", "PRIMED" if wait else None, timeout)


@click.command(short_help="Have the participants give a definition up.")
@click.argument("composition")
@waiting.options
@rest.options
def deprime(composition: str, wait: bool, timeout: float, api: Api) -> None:
    """Have the participants give the definition COMPOSITION up. It may have no instances."""
    _order(api, composition, "DEPRIME", "COMMISSIONED" if wait else None, timeout)


def _order(api: Api, word: str, order: str, goal: str | None, timeout: float) -> None:
    found = naming.composition(api, word)["compositionId"]
    api.ask("PUT", "compositions", found, body=f'{{"primeOrder":"{order}"}}'.encode())
    if goal is not None:
        waiting.for_composition(api, found, goal, timeout)
