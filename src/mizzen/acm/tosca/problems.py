"""What is wrong with a text, said to a person and to ONAP's clients.

A problem leads to one place: the path of the value, its line and column, a sentence, and what would be right. A report
holds all of them, and beside them the text and the status with which ONAP's runtime refuses the same text: that is what
existing clients compare, so it stays word for word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

from mizzen.acm.tosca.render import render
from mizzen.errors import MizzenError

Path = tuple[str | int, ...]

NOT_READABLE = "org.springframework.http.converter.HttpMessageNotReadableException"

_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")


class Problem(Struct, frozen=True):
    """One thing that is wrong.

    Attributes:
        path: the value's place in the document, such as ``node_types["a.b"].properties``; empty for the whole of it.
        line: counted from 1; None where the text has no line to show.
        column: counted from 1, in characters.
        message: what is wrong.
        hint: what would be right; empty where that cannot be said.
    """

    path: str
    line: int | None
    column: int | None
    message: str
    hint: str = ""


class Report(Struct, frozen=True):
    """What a check found.

    Attributes:
        problems: what refuses the text, in the order of its lines.
        warnings: what ONAP's runtime accepts, and what will yet go wrong.
        details: ``errorDetails`` as ONAP's runtime has them; empty where nothing is refused.
        status: the HTTP status with which it refuses (400 or 500); 200 where nothing is refused.
    """

    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    details: str = ""
    status: int = 200

    @property
    def ok(self) -> bool:
        return not self.problems

    def render(self, source_name: str, source_text: str | bytes, color: bool = False) -> str:
        """The findings as a compiler prints them: each with its line and a mark below the place.

        Args:
            source_name: what the text is called, such as a file's name.
            source_text: the text that was read.
            color: with the escape sequences of a terminal.
        """
        if isinstance(source_text, bytes):
            source_text = source_text.decode("utf-8", "replace")
        return render(self.problems, self.warnings, source_name, source_text, color)


class Unreadable(MizzenError):
    """A text that cannot be taken in at all: no YAML or JSON, too large, or not of the shape that is asked for."""

    def __init__(self, problems: Iterable[Problem], details: str = "", status: int = 400) -> None:
        self.problems = in_order(problems)
        first = self.problems[0]
        where = f"line {first.line}, column {first.column}: " if first.line else ""
        super().__init__(f"{where}{first.message}")
        self.details = details or f"{NOT_READABLE} {where}{first.message}"
        self.status = status

    @property
    def report(self) -> Report:
        return Report(problems=self.problems, details=self.details, status=self.status)


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The problems in the order of their lines; those without one come first."""
    return tuple(sorted(problems, key=lambda problem: (problem.line or 0, problem.column or 0)))


def path_text(path: Path) -> str:
    """A path as a person writes it: ``topology_template.node_templates["a.b"].properties.elements[0]``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _BARE.match(step):
            text += f".{step}" if text else step
        else:
            text += f'["{step}"]'
    return text
