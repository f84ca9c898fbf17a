"""A container's environment: declared variables, what they are taken from, and ``$(NAME)`` in them.

The order is that of Kubernetes: ``envFrom`` first, then ``env`` from top to bottom, each able to use those before it. A
reference to something unknown stays as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Mapping as ReadMapping

from mizzen.apis.meta import Mapping
from mizzen.cluster.node import downward
from mizzen.cluster.node.errors import ConfigMissing
from mizzen.cluster.node.podspec import Facts
from mizzen.cluster.node.references import Kind, Objects, Reference, text, texts

Fields = tuple[tuple[str, Kind], ...]

_REFERENCE = re.compile(r"\$(\$|\(([^)]*)\))")
_KEY_REFERENCES: Fields = (("configMapKeyRef", "configmap"), ("secretKeyRef", "secret"))
_WHOLE_REFERENCES: Fields = (("configMapRef", "configmap"), ("secretRef", "secret"))


def expand(text: str, values: ReadMapping[str, str]) -> str:
    """``$(NAME)`` replaced by its value; ``$$`` is a dollar sign, and a name that is unknown stays as it is."""

    def replace(found: re.Match[str]) -> str:
        return "$" if found[1] == "$" else values.get(found[2], found[0])

    return _REFERENCE.sub(replace, text)


def references(container: Mapping) -> set[Reference]:
    """The config maps and secrets that the container's variables come from."""
    found: set[Reference] = set()
    for source in container.get("envFrom") or ():
        found.update(Reference(kind, source[field]["name"]) for field, kind in _WHOLE_REFERENCES if source.get(field))
    for entry in container.get("env") or ():
        source = entry.get("valueFrom") or {}
        found.update(Reference(kind, source[field]["name"]) for field, kind in _KEY_REFERENCES if source.get(field))
    return found


def environment(container: Mapping, facts: Facts, objects: Objects, given: ReadMapping[str, str]) -> dict[str, str]:
    """The variables that the pod's manifest asks for.

    Args:
        objects: what :func:`references` names, as it is now.
        given: variables that every container has, which may be referred to.

    Raises:
        ConfigMissing: something that is not optional is not there.
    """
    found: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        found |= _all_of(source, objects)
    for entry in container.get("env") or ():
        source = entry.get("valueFrom")
        if source:
            value = _taken(source, container, facts, objects)
            if value is None:
                continue
        else:
            value = expand(entry.get("value") or "", {**given, **found})
        found[entry["name"]] = value
    return found


def expanded(arguments: Iterable[str], values: ReadMapping[str, str]) -> list[str]:
    """A command or its arguments with the variables in them replaced."""
    return [expand(argument, values) for argument in arguments]


def _all_of(source: Mapping, objects: Objects) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    for field, kind in _WHOLE_REFERENCES:
        if source.get(field):
            reference = Reference(kind, source[field]["name"])
            found = objects.get(reference)
            if found is not None:
                return {prefix + key: value for key, value in texts(found, reference).items()}
            if not source[field].get("optional"):
                raise ConfigMissing(f"{reference} not found")
    return {}


def _taken(source: Mapping, container: Mapping, facts: Facts, objects: Objects) -> str | None:
    """The value of one variable; ``None`` leaves it out."""
    if source.get("fieldRef"):
        return downward.field(source["fieldRef"].get("fieldPath") or "", facts)
    if source.get("resourceFieldRef"):
        return downward.resource(source["resourceFieldRef"], container, facts)
    for field, kind in _KEY_REFERENCES:
        if source.get(field):
            return _of_key(source[field], Reference(kind, source[field]["name"]), facts, objects)
    raise ConfigMissing(f"a variable is to be taken from {', '.join(source)}, which is not supported")


def _of_key(selector: Mapping, reference: Reference, facts: Facts, objects: Objects) -> str | None:
    found = objects.get(reference)
    if found is None:
        if selector.get("optional"):
            return None
        raise ConfigMissing(f"{reference} not found")
    key = selector.get("key") or ""
    value = text(found, reference, key)
    if value is None and not selector.get("optional"):
        named = "ConfigMap" if reference.kind == "configmap" else "Secret"
        namespace = facts.pod["metadata"].get("namespace") or ""
        raise ConfigMissing(f"couldn't find key {key} in {named} {namespace}/{reference.name}")
    return value
