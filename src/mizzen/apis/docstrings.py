"""What the docstring of a struct tells the reader of a manifest, who sees it in ``kubectl explain``.

A struct is described once, for both readers: its first paragraph says what it is, and an ``Attributes:`` section says
it of each field. Nothing is parsed on import; :mod:`mizzen.apis.crd` asks when it makes a CRD.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from functools import cache

import msgspec

_ENTRY = re.compile(r" {4}(\w+): (.+)")


@cache
def summary(kind: type[msgspec.Struct]) -> str:
    """The first paragraph of the struct's own docstring as one line, empty without one."""
    return _plain(_text(kind).partition("\n\n")[0], kind)


@cache
def attributes(kind: type[msgspec.Struct]) -> dict[str, str]:
    """The description of each field that has one, by its Python name, those of base structs included.

    What a base says of a field holds for its subclasses, unless they say it anew.
    """
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        for name, text in _entries(_text(base)):
            text = _plain(text, kind)
            found[name] = text[:1].upper() + text[1:]
    return found


def _text(kind: type) -> str:
    return inspect.cleandoc(kind.__dict__.get("__doc__") or "")


def _entries(text: str) -> Iterator[tuple[str, str]]:
    """The entries of the ``Attributes:`` section, each with the lines that are indented below it."""
    section = text.partition("\nAttributes:\n")[2].partition("\n\n")[0]
    entry: list[str] = []
    for line in section.splitlines():
        if _ENTRY.fullmatch(line) and entry:
            yield _entry(entry)
            entry = []
        entry.append(line)
    if entry:
        yield _entry(entry)


def _entry(lines: list[str]) -> tuple[str, str]:
    name, _, text = " ".join(line.strip() for line in lines).partition(": ")
    return name, text


def _plain(text: str, kind: type) -> str:
    """One line without markup, in which the struct's fields are called as in a manifest."""
    names = getattr(kind, "__struct_fields__", ()), getattr(kind, "__struct_encode_fields__", ())
    wire = dict(zip(*names, strict=True))
    text = " ".join(text.replace("``", "").split())
    return re.sub(r"[a-z]+(?:_[a-z]+)+", lambda word: wire.get(word[0], word[0]), text)
