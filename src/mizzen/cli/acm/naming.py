"""Compositions and instances by what people call them: an id, the beginning of one, or a name."""

from __future__ import annotations

from typing import Any

from mizzen.cli.acm.api import AcmError, Api

Body = dict[str, Any]

_SHOWN = 5
_LEAST = 4


class NotFound(AcmError):
    """There is nothing of that name."""


def composition(api: Api, word: str) -> Body:
    """The definition's own body: ``compositionId``, ``serviceTemplate``, ``state``, ...

    Raises:
        NotFound: there is none.
        AcmError: there is more than one.
    """
    found = one_of(compositions(api), word, "compositionId", "composition")
    body: Body = api.get("compositions", found["compositionId"])
    return body


def compositions(api: Api) -> list[Body]:
    """Name, version and ``compositionId`` of each definition."""
    templates = api.get("compositions").get("service_templates") or []
    return [
        {
            "compositionId": template.get("metadata", {}).get("compositionId", ""),
            "name": template.get("name", ""),
            "version": template.get("version", ""),
        }
        for template in templates
    ]


def instance(api: Api, word: str) -> Body:
    """
    Raises:
        NotFound: there is none.
        AcmError: there is more than one.
    """
    return one_of(instances(api), word, "instanceId", "instance")


def instances(api: Api) -> list[Body]:
    found: list[Body] = api.get("instances").get("automationCompositionList") or []
    return found


def one_of(bodies: list[Body], word: str, identifier: str, noun: str) -> Body:
    """The only one that a word can mean.

    Args:
        word: an id, the beginning of one (four characters at least), a name, or ``name:version``.

    Raises:
        NotFound: there is none.
        AcmError: there is more than one.
    """
    name, _, version = word.partition(":")
    exact = [body for body in bodies if body[identifier] == word.lower()]
    named = [body for body in bodies if body["name"] == name and version in ("", body["version"])]
    begun = [body for body in bodies if len(word) >= _LEAST and body[identifier].startswith(word.lower())]
    found = exact or named or begun
    if not found:
        there = ", ".join(f"{body['name']}:{body['version']} ({body[identifier][:8]})" for body in bodies[:_SHOWN])
        more = f" and {len(bodies) - _SHOWN} more" if len(bodies) > _SHOWN else ""
        raise NotFound(f"there is no {noun} {word!r}" + (f"; there is {there}{more}" if there else ""))
    if len(found) > 1:
        several = ", ".join(f"{body['name']}:{body['version']} ({body[identifier]})" for body in found[:_SHOWN])
        more = " ..." if len(found) > _SHOWN else ""
        raise AcmError(f"{word!r} could be any of {len(found)} {noun}s: {several}{more}")
    return found[0]
