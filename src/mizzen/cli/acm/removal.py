"""``mizzen acm delete``: an instance that is not deployed, or a definition that is not primed."""

from __future__ import annotations

import click

from mizzen.cli.acm import api as rest
from mizzen.cli.acm import naming, waiting
from mizzen.cli.acm.api import Api
from mizzen.cli.acm.naming import NotFound


@click.command(short_help="Delete an instance or a definition.")
@click.argument("word", metavar="INSTANCE|COMPOSITION")
@waiting.options
@rest.options
def delete(word: str, wait: bool, timeout: float, api: Api) -> None:
    """Delete an instance that is not deployed, or a definition that is not primed (an id, the beginning of one, NAME or
    NAME:VERSION)."""
    try:
        found = naming.instance(api, word)
    except NotFound as no_instance:
        definitions = naming.compositions(api)
        try:
            definition = naming.one_of(definitions, word, "compositionId", "composition")
        except NotFound as no_definition:
            raise NotFound(f"{no_instance}; {no_definition}") from None
        api.ask("DELETE", "compositions", definition["compositionId"])
        return
    composition, identifier = found["compositionId"], found["instanceId"]
    api.ask("DELETE", "compositions", composition, "instances", identifier)
    if wait:
        waiting.for_instance(api, identifier, "DELETED", timeout)
