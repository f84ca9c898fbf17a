"""A form for properties: from a definition's fields to inputs, from what was sent back to values.

Each field becomes an input, a group of them (a data type), a list of them, or, where its shape is open, a text of JSON.
Names of inputs are paths, so a form that comes back without its definition's help is still the same tree. What a
definition does not name but an instance has stays with it: a group carries it as JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from mizzen.acm.tosca.fields import Field

_NUMBERS = frozenset({"integer", "float"})
_TEXTS = frozenset({"string", "timestamp"})
# Texts that are documents: KServe's payload is one.
_DOCUMENTS = frozenset({"payload", "manifest", "json", "body"})
# What an element is given of its own for the operations of a runtime.
_LIMIT = "TimeoutMs"
_ENCRYPTED = "ENCRYPTED:"
_MOST_ENTRIES = 500


class Absent:
    """No value at all, which is not the same as null."""


ABSENT = Absent()


class Input(Struct, kw_only=True):
    """
    Attributes:
        kind: ``text``, ``number``, ``boolean``, ``choice``, ``document`` (a text, most likely of JSON), ``json``,
            ``group`` or ``list``.
        path: its name in the form, with a letter before it.
        text: what is in it.
        kept: the stored form of a sensitive value; it stays unless another is given.
        other: of a group: members that the definition does not name, as JSON.
        entry: whether it is one of a list's.
        fresh: the cursor belongs here: it was just added, or an entry of it taken away.
        problem: what is wrong with what was sent.
    """

    kind: str
    path: str
    field: Field
    text: str = ""
    kept: str = ""
    other: str = ""
    entry: bool = False
    fresh: bool = False
    problem: str = ""
    inputs: list[Input] = []

    @property
    def label(self) -> str:
        return self.field.name

    @property
    def main(self) -> list[Input]:
        """Of a group: what is asked first."""
        folded = {id(one) for _, inputs in self.folds for one in inputs}
        return [one for one in self.inputs if id(one) not in folded]

    @property
    def folds(self) -> list[tuple[str, list[Input]]]:
        """Of a group: what most do without, by what it is for.

        Where a list has entries with a member of the same name as an optional field beside the list, that field stands
        for the list with one entry.
        """
        found = []
        for many in self.inputs:
            entry = many.field.entry if many.kind == "list" else None
            names = {one.name for one in entry.fields} if entry is not None else set()
            instead = [one for one in self.inputs if one.field.name in names and not one.field.required]
            if instead:
                found.append((f"In place of {many.field.name}", instead))
        limits = [one for one in self.inputs if one.field.name.endswith(_LIMIT) and not one.field.required]
        return [*found, ("Time limits", limits)] if limits else found

    @property
    def short(self) -> bool:
        """Whether its inputs find room beside each other."""
        small = ("text", "number", "boolean", "choice")
        return len(self.inputs) <= 3 and not self.other and all(one.kind in small for one in self.inputs)

    @property
    def open(self) -> bool:
        """Whether there is something to see in it."""
        return not self.blank or bool(problems(self))

    @property
    def bounds(self) -> str:
        low, high = self.field.minimum, self.field.maximum
        if low and high:
            return f"From {low} to {high}."
        return f"At least {low}." if low else f"At most {high}." if high else ""

    @property
    def blank(self) -> bool:
        if self.kind in ("group", "list"):
            return not self.other.strip() and all(one.blank for one in self.inputs)
        return not self.text.strip() and not self.kept


def kind_of(field: Field) -> str:
    # An element's properties as a whole have no type, and may have no field that is the instance's to give.
    if field.fields or not field.type:
        return "group"
    if field.type == "list" and field.entry is not None:
        return "list"
    if field.type == "boolean":
        return "boolean"
    if field.choices and field.type in _TEXTS | _NUMBERS:
        return "choice"
    if field.type in _NUMBERS:
        return "number"
    if field.type == "string":
        return "document" if field.name.lower() in _DOCUMENTS and not field.sensitive else "text"
    return "text" if field.type == "timestamp" or field.type.startswith("scalar-unit") else "json"


def of_value(field: Field, path: str, value: Any = ABSENT, *, entry: bool = False, opened: bool = False) -> Input:
    """What a value looks like in the form; without one, the default does, or nothing.

    Args:
        opened: a list without a value shows an entry to be filled in: an empty form would not say what it wants.
    """
    kind = kind_of(field)
    found = Input(kind=kind, path=path, field=field, entry=entry)
    if value is ABSENT and field.default is not None:
        value = field.default
    if kind == "group":
        members = value if isinstance(value, dict) else {}
        opened = value is ABSENT and not field.type
        found.inputs = [
            of_value(one, f"{path}/{one.name}", members.get(one.name, ABSENT), opened=opened) for one in field.fields
        ]
        named = {one.name for one in field.fields}
        others = {name: one for name, one in members.items() if name not in named}
        found.other = _dumped(others) if others else ""
    elif kind == "list":
        assert field.entry is not None
        entries = value if isinstance(value, list) else [ABSENT] if field.required or opened else []
        found.inputs = [of_value(field.entry, f"{path}/{at}", one, entry=True) for at, one in enumerate(entries)]
    elif value is not ABSENT:
        text = _text(kind, value)
        if field.sensitive and text.startswith(_ENCRYPTED):
            found.kept = text
        else:
            found.text = text
    return found


def _text(kind: str, value: Any) -> str:
    if kind == "json":
        return _dumped(value)
    if isinstance(value, str):
        return _unfolded(value) if kind == "document" else value
    if isinstance(value, bool):
        return "true" if value else "false"
    return _dumped(value)


def _unfolded(text: str) -> str:
    """JSON in many lines, if it is JSON at all."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return _dumped(value) if isinstance(value, dict | list) and "\n" not in text else text


def _dumped(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def of_form(field: Field, path: str, form: Mapping[str, str], *, entry: bool = False) -> Input:
    """What was sent, as it was sent."""
    kind = kind_of(field)
    found = Input(kind=kind, path=path, field=field, entry=entry)
    if kind == "group":
        found.inputs = [of_form(one, f"{path}/{one.name}", form) for one in field.fields]
        found.other = form.get(f"o/{path}", "")
    elif kind == "list":
        assert field.entry is not None
        count = form.get(f"n/{path}", "")
        most = min(int(count), _MOST_ENTRIES) if count.isdecimal() and len(count) < 9 else 0
        found.inputs = [of_form(field.entry, f"{path}/{at}", form, entry=True) for at in range(most)]
    else:
        found.text = form.get(f"p/{path}", "").replace("\r\n", "\n")
        found.kept = form.get(f"k/{path}", "") if field.sensitive else ""
    return found


def change(root: Input, order: str) -> None:
    """Add an entry to a list, or take one away: ``add PATH`` or ``remove PATH AT``; anything else changes nothing."""
    what, _, rest = order.partition(" ")
    path, at = (rest, "") if what == "add" else rest.rpartition(" ")[::2]
    found = _find(root, path)
    if found is None or found.kind != "list" or found.field.entry is None:
        return
    if what == "add" and len(found.inputs) < _MOST_ENTRIES:
        found.inputs.append(of_value(found.field.entry, f"{path}/{len(found.inputs)}", entry=True))
        _first(found.inputs[-1]).fresh = True
    elif what == "remove" and at.isdecimal() and int(at) < len(found.inputs):
        del found.inputs[int(at)]
        found.fresh = True
        for number, one in enumerate(found.inputs):
            _move(one, f"{path}/{number}")


def _find(root: Input, path: str) -> Input | None:
    if root.path == path:
        return root
    for one in root.inputs:
        if path == one.path or path.startswith(f"{one.path}/"):
            return _find(one, path)
    return None


def _first(one: Input) -> Input:
    """Where one begins to fill in: the first input of a group."""
    return _first(one.inputs[0]) if one.kind == "group" and one.inputs else one


def _move(one: Input, path: str) -> None:
    was, one.path = one.path, path
    for below in one.inputs:
        _move(below, path + below.path[len(was) :])


def value_of(one: Input) -> Any:
    """The value that the inputs hold, or :data:`ABSENT`; what is wrong is written beside the input that has it."""
    if one.kind == "group":
        return _members(one)
    if one.kind == "list":
        return _entries(one)
    if not one.text.strip():
        if one.kept:
            return one.kept
        if one.field.required or one.entry:
            one.problem = "A value is needed."
        return ABSENT
    return _scalar(one)


def _members(one: Input) -> Any:
    if one.blank and not one.field.required and not one.entry:
        return ABSENT
    found: dict[str, Any] = {}
    if one.other.strip():
        try:
            others = json.loads(one.other)
        except ValueError as error:
            one.problem = f"The other properties are no JSON: {_where(error)}."
        else:
            if isinstance(others, dict):
                found |= others
            else:
                one.problem = 'The other properties are names with values, such as {"namespace": "default"}.'
    for below in one.inputs:
        value = value_of(below)
        if value is not ABSENT:
            found[below.field.name] = value
    return found


def _entries(one: Input) -> Any:
    """Without what was left empty, which is how a list is shown that has nothing in it yet."""
    filled = [below for below in one.inputs if not below.blank]
    if not filled:
        if one.field.required:
            one.problem = "At least one entry is needed."
        return ABSENT
    return [value for value in map(value_of, filled) if value is not ABSENT]


def _scalar(one: Input) -> Any:
    kind, text = one.kind, one.text.strip()
    if kind == "json":
        try:
            return json.loads(text)
        except ValueError as error:
            one.problem = f"This is no JSON: {_where(error)}."
            return ABSENT
    if kind == "boolean":
        if text in ("true", "false"):
            return text == "true"
        one.problem = "It is true or false."
        return ABSENT
    if one.field.type in _NUMBERS:
        number = _number(text, whole=one.field.type == "integer")
        if number is None:
            one.problem = "This is no whole number." if one.field.type == "integer" else "This is no number."
            return ABSENT
        one.problem = _beyond(number, one.field)
        return number
    if kind == "choice" and text not in one.field.choices:
        one.problem = "It is one of those in the list."
    return one.text


def _number(text: str, *, whole: bool) -> int | float | None:
    try:
        number = int(text) if whole else float(text)
    except ValueError:
        return None
    return number if whole or math.isfinite(number) else None


def _beyond(number: float, field: Field) -> str:
    low, high = (_number(bound, whole=False) for bound in (field.minimum, field.maximum))
    if low is not None and number < low:
        return f"It is {field.minimum} or more."
    if high is not None and number > high:
        return f"It is {field.maximum} or less."
    return ""


def _where(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}, column {error.colno}: {error.msg[:1].lower()}{error.msg[1:]}"
    return str(error)


def problems(one: Input) -> list[Input]:
    """The inputs with something wrong, in the order of the form."""
    below = [bad for part in one.inputs for bad in problems(part)]
    return [one, *below] if one.problem else below
