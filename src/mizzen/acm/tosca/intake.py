"""Fields as ONAP's runtime takes them in: what kind each must be, and what names and versions must look like.

A value of the wrong kind (a shape) cannot be read at all; a name, version or type of the wrong form (a refusal) is
read, and then thrown out. Both are noted here, and something harmless is put in their place so that the rest can be
looked at.
"""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct

from mizzen.acm.tosca.hints import nearest
from mizzen.acm.tosca.javatext import text_of
from mizzen.acm.tosca.nodes import kind_of
from mizzen.acm.tosca.problems import Path

NULL_VERSION = "0.0.0"
NULL_NAME = "NULL"
NAME_REGEXP = r"^[A-Za-z0-9\-_\.]+$"
# The dots stand for any character: that is how ONAP has it.
VERSION_REGEXP = r"^(\d+.){2}\d+$"

NAME = re.compile(NAME_REGEXP, re.ASCII)
VERSION = re.compile(VERSION_REGEXP, re.ASCII)

_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE", "")


class Refusal(Struct, frozen=True):
    """What the conversion cannot hold: its place, the sentence, and the runtime's own text and status."""

    path: Path
    message: str
    hint: str
    details: str
    status: int
    key: bool = False


class Shape(Struct, frozen=True):
    """A value of a kind that its field cannot take."""

    path: Path
    message: str
    hint: str


class Intake:
    """Reads fields of mappings, and notes what is wrong with them.

    Attributes:
        shapes: values of the wrong kind.
        refusals: in the order in which they were met.
    """

    def __init__(self) -> None:
        self.shapes: list[Shape] = []
        self.refusals: list[Refusal] = []

    def valid_name(self, name: str, path: Path, *, key: bool = False) -> None:
        """Refuse what is no name of a concept, at its key or at the value."""
        if not NAME.fullmatch(name):
            details = _mismatch("name", name, NAME_REGEXP)
            hint = "a name is made of letters, digits, dots, hyphens and underscores"
            self.refuse(path, f'"{name}" is no name', hint, details, 500, key=key)

    def valid_version(self, version: str, path: Path) -> None:
        """Refuse what is no version."""
        if not VERSION.fullmatch(version):
            details = _mismatch("version", version, VERSION_REGEXP)
            number = re.match(r"\d+(\.\d+)?\Z", version)
            filled = ".".join([*version.split("."), "0", "0"][:3]) if number else "1.0.0"
            hint = f'a version has three numbers: "{filled}"'
            self.refuse(path, f'"{version}" is no version', hint, details, 500)

    def refuse(self, path: Path, message: str, hint: str, details: str, status: int, *, key: bool = False) -> None:
        """Note what the runtime throws out."""
        self.refusals.append(Refusal(path, message, hint, details, status, key))

    def wrong_kind(self, path: Path, value: Any, wanted: str, example: str = "") -> None:
        """Note a value that its field cannot take."""
        hint = f"write {example}" if example else ""
        self.shapes.append(Shape(path, f"{path[-1]} is {kind_of(value)}; it has to be {wanted}", hint))

    def mapping(self, owner: dict[str, Any], name: str, path: Path) -> dict[str, Any] | None:
        """The mapping in a field; None where there is none."""
        value = owner.get(name)
        if value is None or isinstance(value, dict):
            return value
        self.wrong_kind((*path, name), value, "a mapping")
        return None

    def items(self, owner: dict[str, Any], name: str, path: Path) -> list[Any] | None:
        """The list in a field; None where there is none."""
        value = owner.get(name)
        if value is None or isinstance(value, list):
            return value
        self.wrong_kind((*path, name), value, "a list")
        return None

    def text(self, owner: dict[str, Any], name: str, path: Path) -> str | None:
        """The text in a field, also where it is a number or a truth; None where there is none."""
        return self.text_of(owner.get(name), (*path, name))

    def text_of(self, value: Any, path: Path) -> str | None:
        """A value as a text."""
        if isinstance(value, (dict, list)):
            self.wrong_kind(path, value, "a text")
            return None
        return None if value is None else text_of(value)

    def flag(self, owner: dict[str, Any], name: str, path: Path) -> bool:
        """The truth in a field, also as a number or a text; false where there is none."""
        value = owner.get(name)
        if value is None or isinstance(value, (bool, int)):
            return bool(value)
        if isinstance(value, str) and value.strip() in (*_TRUE, *_FALSE):
            return value.strip() in _TRUE
        near = nearest(value, ("true", "false")) if isinstance(value, str) else ""
        self.wrong_kind((*path, name), value, "true or false", f"{name}: {near}" if near else "")
        return False

    @staticmethod
    def put(result: dict[str, Any], name: str, value: Any) -> None:
        """Set a field, unless there is nothing to set."""
        if value is not None:
            result[name] = value

    def reference(self, source: dict[str, Any], path: Path) -> tuple[str, str]:
        """The name and version of a type that is referred to: of two fields, or of one as ``name:version``."""
        name, version = self.text(source, "type", path), self.text(source, "type_version", path)
        version = version if version and version.strip() else None
        if name is None:
            why = 'Cannot invoke "String.split(String)" because "name" is null'
            details = f"java.lang.NullPointerException {'name is marked non-null but is null' if version else why}"
            self.refuse(path, "the type is missing", "add type:", details, 500, key=True)
            return NULL_NAME, NULL_VERSION
        if version is None:
            parts = name.split(":")
            while parts and not parts[-1]:
                parts.pop()
            if len(parts) == 2:
                name, version = parts
            elif len(parts) > 2:
                name = NULL_NAME
        self.valid_name(name, (*path, "type"))
        if version is not None:
            self.valid_version(version, (*path, "type_version"))
        return name, version or NULL_VERSION


def _mismatch(parameter: str, value: str, expression: str) -> str:
    said = f'parameter "{parameter}": value "{value}", does not match regular expression "{expression}"'
    return f"java.lang.IllegalArgumentException {said}"
