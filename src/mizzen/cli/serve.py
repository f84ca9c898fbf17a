"""``mizzen serve``: one model server, without a cluster. Its arguments are the server's own, and so is its help."""

from __future__ import annotations

import click


@click.command(
    short_help="Serve models from a folder, without a cluster.",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def serve(arguments: tuple[str, ...]) -> None:
    """Serve the models in a folder over REST and gRPC, until Ctrl-C."""
    from mizzen.serve.main import command

    raise click.exceptions.Exit(command(arguments))
