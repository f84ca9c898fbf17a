"""Waiting for a composition or an instance to settle, with what happens on the way."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import click

from mizzen.cli.acm import elements
from mizzen.cli.acm.api import AcmError, Api

Body = dict[str, Any]

_INTERVAL = 0.2
# A runtime that is started again is waited for this long, in seconds.
_SILENCE = 30.0
_NO_ANSWER = (0, 502, 503, 504)
_SETTLED = {"COMMISSIONED", "PRIMED", "DEPLOYED", "UNDEPLOYED", "DELETED"}


class _Look(NamedTuple):
    """How it stands: each element's state and what there is to say of it, whether it is there, and the result."""

    elements: list[tuple[str, str, str]]
    done: bool
    result: str


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

    def look() -> _Look:
        body = api.get("compositions", composition)
        told = [(name, one["state"], one.get("message") or "") for name, one in sorted(body["elementStateMap"].items())]
        return _Look(told, body["state"] == goal, body["stateChangeResult"])

    _follow(look, goal, timeout, f"composition {composition}")


def for_instance(api: Api, instance: str, goal: str, timeout: float) -> None:
    """Until an instance is in a state (``DELETED``: gone), and does nothing else.

    Raises:
        AcmError: it failed, or the time is up.
    """

    def look() -> _Look:
        # Not by its definition, which a migration changes on the way.
        found: list[Body] = api.get("instances", instanceIds=instance).get("automationCompositionList") or []
        if not found:
            if goal == "DELETED":
                return _Look([], True, "NO_ERROR")
            raise AcmError(f"instance {instance} is there no more")
        body = found[0]
        told = [
            (element["definition"]["name"], element["deployState"], _said(element))
            for _, element in sorted(body["elements"].items())
        ]
        lock = goal if goal in ("LOCKED", "UNLOCKED") else None
        is_there = body["lockState"] == lock if lock else body["deployState"] == goal
        settled = body["deployState"] in _SETTLED and not body["lockState"].endswith("ING")
        done = is_there and settled and body.get("subState", "NONE") == "NONE"
        return _Look(told, done, body["stateChangeResult"])

    _follow(look, goal, timeout, f"instance {instance}")


def _said(element: Body) -> str:
    under_way = element["deployState"] not in _SETTLED
    told = [element.get("message"), elements.hindrance(element) if under_way else None]
    return "; ".join(part for part in told if part)


def _follow(look: Callable[[], _Look], goal: str, timeout: float, what: str) -> None:
    """Print each element's state whenever it changes, with the time since the beginning."""
    began = heard = time.monotonic()
    seen: dict[str, str] = {}

    def say(line: str) -> None:
        click.echo(f"  {time.monotonic() - began:6.2f} s  {line}")

    while True:
        try:
            found = look()
        except AcmError as error:
            if error.status not in _NO_ANSWER or time.monotonic() - heard > _SILENCE:
                raise
            if "" not in seen:
                say("the runtime does not answer; it is asked again")
                seen[""] = ""
            time.sleep(_INTERVAL)
            continue
        heard = time.monotonic()
        seen.pop("", None)
        for name, state, said in found.elements:
            line = f"{name}  {state}  {said}".rstrip()
            if seen.get(name) != line:
                say(line)
                seen[name] = line
        if found.done and found.result != "FAILED":
            say(goal)
            return
        why = "; ".join(sorted({said for _, _, said in found.elements if said}))
        if found.result in ("FAILED", "TIMEOUT"):
            raise AcmError(f"{what}: {found.result}: {why or 'nothing was said of it'}")
        if time.monotonic() - began > timeout:
            raise AcmError(
                f"{what} is not done after {timeout:g} s, and goes on{f' ({why})' if why else ''}; "
                "`mizzen acm status` tells how it stands"
            )
        time.sleep(_INTERVAL)
