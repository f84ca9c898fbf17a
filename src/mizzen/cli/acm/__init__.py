"""``mizzen acm``: automation compositions from the command line.

Two kinds of commands: those that run something here (a whole set, or a participant or a runtime alone), and those that
ask a runtime, this home's or any other, over its REST API.
"""

from __future__ import annotations

import click

from mizzen.cli.lazy import LazyGroup

_COMMANDS = {
    "up": "mizzen.cli.acm.running:up",
    "down": "mizzen.cli.acm.running:down",
    "demo": "mizzen.cli.acm.demo:demo",
    "validate": "mizzen.cli.acm.definitions:validate",
    "commission": "mizzen.cli.acm.definitions:commission",
    "prime": "mizzen.cli.acm.definitions:prime",
    "deprime": "mizzen.cli.acm.definitions:deprime",
    "instantiate": "mizzen.cli.acm.instances:instantiate",
    "deploy": "mizzen.cli.acm.instances:deploy",
    "undeploy": "mizzen.cli.acm.instances:undeploy",
    "update": "mizzen.cli.acm.instances:update",
    "migrate": "mizzen.cli.acm.instances:migrate",
    "rollback": "mizzen.cli.acm.instances:rollback",
    "lock": "mizzen.cli.acm.instances:lock",
    "unlock": "mizzen.cli.acm.instances:unlock",
    "prepare": "mizzen.cli.acm.instances:prepare",
    "review": "mizzen.cli.acm.instances:review",
    "delete": "mizzen.cli.acm.removal:delete",
    "status": "mizzen.cli.acm.listing:status",
    "participants": "mizzen.cli.acm.listing:participants",
    "participant": "mizzen.cli.acm.alone:participant",
    "runtime": "mizzen.cli.acm.alone:runtime",
}


@click.group(cls=LazyGroup, commands_by_module=_COMMANDS, short_help="Deploy models as automation compositions.")
def acm() -> None:
    """Deploy models as elements of automation compositions, as ONAP does.

    `mizzen acm up -d` starts a broker, a runtime and a KServe participant beside the installation of `mizzen up -d`.
    The commands that ask a runtime find that one by themselves; another is named by --url, --user and --password, or by
    MIZZEN_ACM_URL, MIZZEN_ACM_USER and MIZZEN_ACM_PASSWORD.
    """
