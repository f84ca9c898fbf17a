"""The command ``mizzen``.

Each sub-command is imported when it is called, so that ``mizzen status`` does not load a model server.
"""

from __future__ import annotations

import sys

import click

from mizzen import __version__
from mizzen.cli.lazy import LazyGroup
from mizzen.errors import MizzenError

# Command name: module and function, in the order in which --help lists them.
_COMMANDS = {
    "up": "mizzen.cli.installation:up",
    "down": "mizzen.cli.installation:down",
    "status": "mizzen.cli.installation:status",
    "kubeconfig": "mizzen.cli.installation:kubeconfig",
    "env": "mizzen.cli.installation:env",
    "apply": "mizzen.cli.objects:apply",
    "get": "mizzen.cli.objects:get",
    "describe": "mizzen.cli.objects:describe",
    "delete": "mizzen.cli.objects:delete",
    "logs": "mizzen.cli.logs:logs",
    "predict": "mizzen.cli.predict:predict",
    "serve": "mizzen.cli.serve:serve",
    "acm": "mizzen.cli.acm:acm",
}


@click.group(cls=LazyGroup, commands_by_module=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mizzen")
def cli() -> None:
    """Serve machine-learning models from Kubernetes-style manifests, with or without a cluster."""


def main() -> None:
    """Run the command line; what goes wrong is a sentence on stderr and exit code 1."""
    try:
        # What a command exits with comes back as a number; commands themselves return nothing.
        code = cli.main(prog_name="mizzen", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has seen enough; say nothing at exit either.
        sys.stderr.close()
        sys.exit(0)
    except MizzenError as error:
        click.echo(f"mizzen: {error}", err=True)
        sys.exit(1)
