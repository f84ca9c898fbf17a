"""Waiting for a composition or an instance to settle, with what happens on the way."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import click

from mizzen.cli.acm.api import AcmError, Api

Body = dict[str, Any]

_INTERVAL = 0.2
_SETTLED = {"COMMISSIONED", "PRIMED", "DEPLOYED", "UNDEPLOYED", "DELETED"}


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--wait`` and ``--timeout``."""
    command = click.option("--timeout", default=600.0, show_default=True, help="Seconds to wait at most, with --wait.")(
        command
    )
    return click.option("--wait", is_flag=True, help="Return when it is done, and tell of it meanwhile.")(command)


def for_composition(api: Api, composition: str, goal: str, timeout: float) -> None:
    """Until a definition is in a state.

    Raises:
        AcmError: it failed, or the time is up.
    """

    def look() -> tuple[list[tuple[str, str]], str | None, str]:
        body = api.get("compositions", composition)
        lines = [(name, _told(one["state"], one)) for name, one in sorted(body["elementStateMap"].items())]
        if body["state"] == goal:
            return lines, goal, body["stateChangeResult"]
        return lines, None, body["stateChangeResult"]

    _follow(look, timeout, f"composition {composition}")


def for_instance(api: Api, composition: str, instance: str, goal: str, timeout: float) -> None:
    """Until an instance is in a state (``DELETED``: gone), and does nothing else.

    Raises:
        AcmError: it failed, or the time is up.
    """

    def look() -> tuple[list[tuple[str, str]], str | None, str]:
        try:
            body = api.get("compositions", composition, "instances", instance)
        except AcmError as error:
            if goal == "DELETED" and error.status == 404:
                return [], goal, "NO_ERROR"
            raise
        lines = [
            (element["definition"]["name"], _told(element["deployState"], element))
            for _, element in sorted(body["elements"].items())
        ]
        lock = goal if goal in ("LOCKED", "UNLOCKED") else None
        is_there = body["lockState"] == lock if lock else body["deployState"] == goal
        settled = body["deployState"] in _SETTLED and not body["lockState"].endswith("ING")
        if is_there and settled and body.get("subState", "NONE") == "NONE":
            return lines, goal, body["stateChangeResult"]
        return lines, None, body["stateChangeResult"]

    _follow(look, timeout, f"instance {instance}")


def _told(state: str, element: Body) -> str:
    return f"{state}  {element['message']}" if element.get("message") else state


def _follow(look: Callable[[], tuple[list[tuple[str, str]], str | None, str]], timeout: float, what: str) -> None:
    """Print each element's state whenever it changes, with the time since the beginning."""
    began = time.monotonic()
    seen: dict[str, str] = {}
    while True:
        lines, reached, result = look()
        for name, told in lines:
            if seen.get(name) != told:
                click.echo(f"  {time.monotonic() - began:6.2f} s  {name}  {told}")
                seen[name] = told
        if reached is not None and result != "FAILED":
            click.echo(f"  {time.monotonic() - began:6.2f} s  {reached}")
            return
        if result in ("FAILED", "TIMEOUT"):
            why = "; ".join(sorted({told.partition("  ")[2] for _, told in lines} - {""})) or "nothing was said of it"
            raise AcmError(f"{what}: {result}: {why}")
        if time.monotonic() - began > timeout:
            raise AcmError(
                f"{what} is not done after {timeout:g} s, and goes on; `mizzen acm status` tells how it stands"
            )
        time.sleep(_INTERVAL)
