"""``mizzen serve``: one model server, without a cluster."""

from __future__ import annotations

import click


@click.command(short_help="Serve a model from a folder, without a cluster.")
@click.argument("directory")
@click.option("--name", default="model", show_default=True, help="The model's name in URLs.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="The port to listen on; 0 means any."
)
def serve(directory: str, name: str, host: str, port: int) -> None:
    """Serve the model in DIRECTORY over the V1 and V2 protocols, until Ctrl-C."""
    from mizzen.serve.main import serve as run

    raise click.exceptions.Exit(run(directory, name=name, host=host, port=port))
