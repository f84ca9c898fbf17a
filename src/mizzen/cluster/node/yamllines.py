"""Reads a typed document from YAML, and says what is wrong with it by file and line.

A person wrote the file, so every complaint, whether of the YAML or of what is in it, leads to the line that they have
to change.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec
import yaml

T = TypeVar("T")

_AT = re.compile(r" - at `(?:key in )?\$([^`]*)`$")
_UNKNOWN = re.compile(r"unknown field `([^`]*)`")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")

Path = tuple[str | int, ...]
Pattern = tuple[str | int | None, ...]


class YamlError(Exception):
    """What is wrong, and in which line (counted from 1)."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


def decode(text: str, kind: type[T]) -> tuple[T, dict[Path, int]]:
    """The document as ``kind``, and the line of every value in it by its path. An empty one is an empty mapping.

    Raises:
        YamlError: it is no YAML, holds a key twice, or is not of that kind.
    """
    lines: dict[Path, int] = {}
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is not None:
                _note_lines(node, (), lines)
            value: Any = {} if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlError(mark.line + 1 if mark else 1, f"no YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise YamlError(1, f"no YAML: {error}") from error
    try:
        return msgspec.convert(value, kind), lines
    except msgspec.ValidationError as error:
        line, message = _located(str(error), lines)
        raise YamlError(line, message) from error


def _note_lines(node: yaml.Node, path: Path, lines: dict[Path, int]) -> None:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = str(key.value)
            place = (*path, name)
            if place in lines:
                raise YamlError(key.start_mark.line + 1, f"{name!r} stands here again (first in line {lines[place]})")
            _note_lines(value, place, lines)
            lines[place] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for place_in_list, item in enumerate(node.value):
            _note_lines(item, (*path, place_in_list), lines)


def _located(message: str, lines: dict[Path, int]) -> tuple[int, str]:
    """The line that a complaint of msgspec is about, and the complaint with the path as a person would write it."""
    found = _AT.search(message)
    pattern: Pattern = ()
    if found:
        message = message[: found.start()]
        pattern = tuple(name or (int(index) if index.isdecimal() else None) for name, index in _STEP.findall(found[1]))
    unknown = _UNKNOWN.search(message)
    if unknown:
        message = f"unknown field {unknown[1]!r}"
    path = _first(lines, (*pattern, unknown[1]) if unknown else pattern)
    shown = path[:-1] if unknown else path
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in shown).removeprefix(".")
    return lines.get(path, 1), f"{where}: {message}" if where else message


def _first(lines: dict[Path, int], pattern: Pattern) -> Path:
    """The first path of the document that fits; where none does, the nearest above that is there.

    msgspec does not say which key of an open mapping it means: such a step fits every key.
    """
    while pattern and pattern[-1] is None:
        pattern = pattern[:-1]
    while pattern:
        for path in lines:
            if len(path) == len(pattern) and all(
                wanted in (None, step) for wanted, step in zip(pattern, path, strict=True)
            ):
                return path
        pattern = pattern[:-1]
    return ()
