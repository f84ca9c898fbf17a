"""A text with what is wrong beside its lines; of the rest only so much as shows where one is."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from mizzen.acm.tosca.problems import Problem

_AROUND = 2
_LONGEST = 240


class Line(Struct, frozen=True):
    """Attributes:
    number: 0 for lines that are left out.
    """

    number: int
    text: str
    problems: tuple[Problem, ...] = ()


def listing(text: str, problems: Sequence[Problem]) -> list[Line]:
    lines = text.splitlines()
    at: dict[int, list[Problem]] = {}
    for problem in problems:
        if problem.line is not None and 1 <= problem.line <= len(lines):
            at.setdefault(problem.line, []).append(problem)
    near = {number for line in at for number in range(max(1, line - _AROUND), min(len(lines), line + _AROUND) + 1)}
    found: list[Line] = []
    last = 0
    for number in sorted(near):
        if number > last + 1:
            found.append(Line(0, ""))
        shown = lines[number - 1]
        cut = shown if len(shown) <= _LONGEST else shown[:_LONGEST] + " …"
        found.append(Line(number, cut, tuple(at.get(number, ()))))
        last = number
    if near and last < len(lines):
        found.append(Line(0, ""))
    return found
