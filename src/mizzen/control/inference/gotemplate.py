"""The part of Go's text templates that KServe's users write: fields of an object, inserted into text.

``{{ .Name }}``, ``{{ .Labels.modelClass }}`` and ``{{ index .Annotations "a.b/c" }}`` are understood, with the trimming
marks ``{{-`` and ``-}}``. Anything else is refused by name rather than passed through.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mizzen.errors import MizzenError

_ACTION = re.compile(r"\{\{(-(?=\s))?\s*(.*?)(?:\s*|\s+(-))\}\}", re.DOTALL)
_FIELD = re.compile(r"(?:\.[A-Za-z_]\w*)+")
_INDEX = re.compile(r'index\s+((?:\.[A-Za-z_]\w*)+)\s+"([^"]*)"')
_MISSING = "<no value>"  # what Go prints for a key that a map lacks


class TemplateError(MizzenError):
    """A template that uses more of Go's language than fields, or a field that does not exist."""


def render(template: str, values: Mapping[str, Any]) -> str:
    """``template`` with its actions replaced by what they name in ``values``.

    A top-level field that does not exist is an error. A key that a map lacks becomes ``<no value>``, and with ``index``
    nothing, as in Go.

    Raises:
        TemplateError: an action that is not understood or not closed, or a field that is not there or no text.
    """
    parts = []
    place, trims = 0, False
    for match in _ACTION.finditer(template):
        trims_left, action, trims_right = match.groups()
        text = template[place : match.start()]
        text = text.lstrip() if trims else text
        parts += [text.rstrip() if trims_left else text, _value(action, template, values)]
        place, trims = match.end(), bool(trims_right)
    rest = template[place:]
    if "{{" in rest:
        raise TemplateError(f"the template {template!r} has an action that is not closed: {rest[rest.index('{{') :]!r}")
    return "".join([*parts, rest.lstrip() if trims else rest])


def _value(action: str, template: str, values: Mapping[str, Any]) -> str:
    index = _INDEX.fullmatch(action)
    if index:
        mapping = _lookup(index[1], template, values)
        if not isinstance(mapping, Mapping):
            raise TemplateError(f"the template {template!r} looks for a key in {index[1]}, which is no map")
        found = mapping.get(index[2], "")
    elif _FIELD.fullmatch(action):
        found = _lookup(action, template, values)
    else:
        raise TemplateError(
            f"the template {template!r} uses {{{{ {action} }}}}; only fields such as {{{{ .Name }}}} and "
            '{{ index .Labels "key" }} are supported'
        )
    if isinstance(found, Mapping):
        raise TemplateError(f"the template {template!r} inserts all of {action}, which is a map; name one of its keys")
    return str(found)


def _lookup(path: str, template: str, values: Mapping[str, Any]) -> Any:
    first, *rest = path[1:].split(".")
    if first not in values:
        known = ", ".join(f".{name}" for name in values)
        raise TemplateError(f"the template {template!r} names .{first}, which does not exist (there are {known})")
    found = values[first]
    for name in rest:
        if not isinstance(found, Mapping):
            raise TemplateError(f"the template {template!r} names {path}, but .{first} has no field {name}")
        found = found.get(name, _MISSING)
    return found
