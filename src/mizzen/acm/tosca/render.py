"""Findings as a compiler prints them: the sentence, the place, the line, a mark below it, and what would be right."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Protocol

# A definition of one long line is still shown by its piece around the place.
_WIDTH = 100
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'|[^\s,:\]}"\']+')
_LINE_ENDS = re.compile(r"\r\n|\r|\n")

_RED, _YELLOW, _BLUE, _BOLD, _PLAIN = "\x1b[1;31m", "\x1b[1;33m", "\x1b[1;34m", "\x1b[1m", "\x1b[0m"


class Finding(Protocol):
    """What there is to print of a problem."""

    @property
    def path(self) -> str: ...
    @property
    def line(self) -> int | None: ...
    @property
    def column(self) -> int | None: ...
    @property
    def message(self) -> str: ...
    @property
    def hint(self) -> str: ...


def render(
    problems: Sequence[Finding], warnings: Sequence[Finding], source_name: str, source_text: str, color: bool
) -> str:
    """All findings one after the other, and their number in the last line; empty where there are none."""
    if not problems and not warnings:
        return ""
    lines = _LINE_ENDS.split(source_text)
    blocks = [_block("error", _RED, found, source_name, lines) for found in problems]
    blocks += [_block("warning", _YELLOW, found, source_name, lines) for found in warnings]
    counts = [_count(len(problems), "error"), _count(len(warnings), "warning")]
    text = "\n\n".join([*blocks, f"{source_name}: {', '.join(count for count in counts if count)}"]) + "\n"
    return text if color else re.sub(r"\x1b\[[0-9;]*m", "", text)


def _count(number: int, of: str) -> str:
    return f"{number} {of}{'' if number == 1 else 's'}" if number else ""


def _block(word: str, tone: str, found: Finding, name: str, lines: Sequence[str]) -> str:
    head = f"{tone}{word}{_PLAIN}{_BOLD}: {shown(found.message)}{_PLAIN}"
    rows = [head]
    gutter = ""
    if found.line is not None and found.column is not None and found.line <= len(lines):
        number = str(found.line)
        gutter = " " * len(number)
        piece, before, marks = _excerpt(lines[found.line - 1], found.column - 1)
        rows += [
            f"{gutter}{_BLUE}--> {_PLAIN}{name}:{found.line}:{found.column}",
            f"{gutter} {_BLUE}|{_PLAIN}",
            f"{_BLUE}{number} |{_PLAIN} {piece}",
            f"{gutter} {_BLUE}|{_PLAIN} {' ' * before}{tone}{'^' * marks}{_PLAIN}",
        ]
    else:
        rows.append(f"{_BLUE}--> {_PLAIN}{name}")
    if found.path:
        rows.append(f"{gutter} {_BLUE}={_PLAIN} at: {shown(found.path)}")
    if found.hint:
        rows.append(f"{gutter} {_BLUE}={_PLAIN} help: {shown(found.hint)}")
    return "\n".join(rows)


def _excerpt(line: str, column: int) -> tuple[str, int, int]:
    """The piece of a line that fits, the width of what stands before the place, and the width of what is marked."""
    column = min(column, len(line))
    token = _TOKEN.match(line[column : column + _WIDTH])
    end = column + (token.end() if token else 1)
    start = 0
    if len(line) > _WIDTH:
        start = max(0, min(column - _WIDTH // 3, len(line) - _WIDTH))
    stop = start + _WIDTH
    lead = "..." if start else ""
    piece = f"{lead}{shown(line[start:stop])}{'...' if stop < len(line) else ''}"
    before = len(lead) + _width(shown(line[start:column]))
    return piece, before, max(1, _width(shown(line[column : min(end, stop)])))


def shown(text: str) -> str:
    """The text as a terminal may be given it: a file cannot move the cursor or change colours."""
    return "".join(c if c.isprintable() else " " if c == "\t" else "\N{MIDDLE DOT}" for c in text)


def _width(text: str) -> int:
    """The columns that a text takes on a terminal."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
