"""A refusal as a person reads it: what was not done, why, and what to do now; the API's own words stay beside it."""

from __future__ import annotations

import re

from msgspec import Struct

from mizzen.acm.runtime.service import Refused
from mizzen.acm.tosca.problems import Problem

_OFFLINE = re.compile(r"Participant: (\S+) is OFFLINE")
_STATE = re.compile(
    r"Not valid order .*?; DeployState: (\w+); LockState: (\w+); SubState: (\w+); StateChangeResult: (\w+)"
)
_PRIMING = re.compile(r"Not valid (PRIME|DEPRIME)\b")
_TYPE = re.compile(r"Element Type (\S+) (\S+) not supported")
_TAKEN = re.compile(r"(.+) (\S+) already defined")


class Notice(Struct, frozen=True, kw_only=True):
    """
    Attributes:
        hint: what to do now.
        see: a path of ours and its name, where more is to be seen.
        details: what the API said.
    """

    title: str
    text: str = ""
    hint: str = ""
    see: tuple[str, str] | None = None
    details: str = ""
    problems: tuple[Problem, ...] = ()


_TITLES = {
    404: "It is not there.",
    409: "It was not done.",
    413: "That is too large.",
    500: "This did not work.",
    503: "The runtime cannot do this now.",
}


def explain(refusal: Refused) -> Notice:
    title = _TITLES.get(refusal.status, "It was not done.")
    details = refusal.details
    text, hint, see = _known(details)
    if not text and refusal.problems:
        count = len(refusal.problems)
        text = "One thing is wrong." if count == 1 else f"{count} things are wrong."
    return Notice(
        title=title,
        text=text or details,
        hint=hint,
        see=see,
        details=details if text else "",
        problems=refusal.problems,
    )


def _known(details: str) -> tuple[str, str, tuple[str, str] | None]:
    """What we can say better than the API may."""
    if found := _OFFLINE.search(details):
        return (
            f"Participant {found[1]} is offline: nothing has been heard of it lately.",
            "Start it, wait until it is online, and try again.",
            ("/participants", "Participants"),
        )
    if found := _STATE.search(details):
        deploy, lock, sub, result = (one.replace("_", " ").lower() for one in found.groups())
        beside = "".join(f", {one}" for one in (lock, sub) if one != "none")
        after = "" if result == "no error" else f", {result}"
        return (
            f"The instance does not take that order now: it is {deploy}{beside}{after}.",
            "Something may have changed since this page was shown. The orders that it takes are below.",
            None,
        )
    if found := _PRIMING.search(details):
        return f"The definition cannot be {found[1].lower()}d now.", "Wait until what goes on has come to an end.", None
    if found := _TYPE.search(details):
        return (
            f"No participant has registered the element type {found[1]} {found[2]}.",
            "Start a participant that supports it, or correct `type` and `type_version` in the definition.",
            ("/participants", "Participants"),
        )
    if found := _TAKEN.fullmatch(details):
        return f"There is an instance {found[1]} {found[2]} already.", "Choose another name or version.", None
    if details.startswith("There are instances"):
        return "The definition has instances.", "Undeploy and delete them first.", None
    if details.startswith("Delete instances"):
        return "The definition has instances.", "Delete them first.", None
    if details.startswith("ACM not in COMMISSIONED state"):
        return "The definition is primed.", "Deprime it first.", None
    if details.endswith("definition not primed"):
        return "The definition is not primed.", "Prime it first.", None
    return "", "", None
