"""Compositions and instances by what people call them: an id, the beginning of one, or a name."""

from __future__ import annotations

from typing import Any

from mizzen.cli.acm.api import AcmError, Api

Body = dict[str, Any]


def composition(api: Api, word: str) -> Body:
    """The definition's own body: ``compositionId``, ``serviceTemplate``, ``state``, ...

    Raises:
        AcmError: there is none, or more than one.
    """
    return _composition_of(api, one_of(compositions(api), word, "compositionId", "composition"))


def _composition_of(api: Api, found: Body) -> Body:
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
        AcmError: there is none, or more than one.
    """
    return one_of(instances(api), word, "instanceId", "instance")


def instances(api: Api) -> list[Body]:
    found: list[Body] = api.get("instances").get("automationCompositionList") or []
    return found


def one_of(bodies: list[Body], word: str, identifier: str, noun: str) -> Body:
    """The only one that a word can mean.

    Args:
        word: an id, the beginning of one, a name, or ``name:version``.
    """
    name, _, version = word.partition(":")
    exact = [body for body in bodies if body[identifier] == word]
    named = [body for body in bodies if body["name"] == name and version in ("", body["version"])]
    begun = [body for body in bodies if len(word) > 3 and body[identifier].startswith(word.lower())]
    found = exact or named or begun
    if not found:
        there = ", ".join(f"{body['name']}:{body['version']} ({body[identifier][:8]})" for body in bodies[:5])
        raise AcmError(f"there is no {noun} {word}" + (f"; there is {there}" if there else ""))
    if len(found) > 1:
        several = ", ".join(body[identifier] for body in found[:5])
        raise AcmError(f"{word} could be any of {len(found)} {noun}s: {several}")
    return found[0]
