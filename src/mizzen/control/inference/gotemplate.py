"""The part of Go's text templates that KServe's users write: fields of an object, inserted into text.

``{{ .Name }}``, ``{{ .Labels.modelClass }}`` and ``{{ index .Annotations "a.b/c" }}`` are understood, with the trimming
marks ``{{-`` and ``-}}``. Anything else is refused by name rather than passed through.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mizzen.errors import MizzenError

_ACTION = re.compile(r"(\s*)\{\{(-)?\s*(.*?)\s*(-)?\}\}(\s*)", re.DOTALL)
_FIELD = re.compile(r"(?:\.[A-Za-z_]\w*)+")
_INDEX = re.compile(r'index\s+((?:\.[A-Za-z_]\w*)+)\s+"([^"]*)"')
_MISSING = "<no value>"  # what Go prints for a key that a map lacks


class TemplateError(MizzenError):
    """A template that uses more of Go's language than fields, or a field that does not exist."""


def render(template: str, values: Mapping[str, Any]) -> str:
    """``template`` with its actions replaced by what they name in ``values``.

    A top-level field that does not exist is an error; a key that a map lacks becomes ``<no value>``, as in Go.
    """

    def replace(match: re.Match[str]) -> str:
        before, trim_left, action, trim_right, after = match.groups()
        left = "" if trim_left else before
        right = "" if trim_right else after
        return left + _value(action, template, values) + right

    return _ACTION.sub(replace, template)


def _value(action: str, template: str, values: Mapping[str, Any]) -> str:
    index = _INDEX.fullmatch(action)
    if index:
        found = _lookup(index[1], template, values)
        return str(found.get(index[2], _MISSING)) if isinstance(found, Mapping) else _MISSING
    if _FIELD.fullmatch(action):
        return str(_lookup(action, template, values))
    raise TemplateError(
        f"the template {template!r} uses {{{{ {action} }}}}; only fields such as {{{{ .Name }}}} and "
        '{{ index .Labels "key" }} are supported'
    )


def _lookup(path: str, template: str, values: Mapping[str, Any]) -> Any:
    first, *rest = path[1:].split(".")
    if first not in values:
        known = ", ".join(f".{name}" for name in values)
        raise TemplateError(f"the template {template!r} names .{first}, which does not exist (there are {known})")
    found = values[first]
    for name in rest:
        if not isinstance(found, Mapping) or name not in found:
            return _MISSING
        found = found[name]
    return found
