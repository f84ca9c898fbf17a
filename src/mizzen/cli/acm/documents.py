"""Files that are sent to a runtime, and what is wrong with them, shown at their lines."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from mizzen.acm.tosca import Document, Problem, Report, Unreadable
from mizzen.acm.tosca import read as parse
from mizzen.cli.acm.api import AcmError

JSON, YAML = "application/json", "application/yaml"

# What public samples have where the id of a definition belongs.
_PLACEHOLDERS = (b"{{compositionId}}", b"DO_NOT_CHANGE_THIS_COMPOSITION_ID")
_STEP = re.compile(r'\["(?P<quoted>.*?)"\](?=[.\[]|$)|\[(?P<number>\d+)\]|\.?(?P<bare>[A-Za-z_][A-Za-z0-9_-]*)')


def read(file: str) -> bytes:
    """A file's content, or standard input's for ``-``.

    Raises:
        AcmError: it cannot be read.
    """
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise AcmError(f"{file} cannot be read: {error.strerror}") from error


def media_type(content: bytes) -> str:
    """JSON begins with a brace; everything else is taken for YAML."""
    return JSON if content.lstrip()[:1] in (b"{", b"[") else YAML


def instance(file: str, composition: str) -> Document:
    """A file that describes an instance, or a part of one, with a definition's id in the place of a placeholder.

    Raises:
        AcmError: it is neither JSON nor YAML, or no mapping; where, has been told.
    """
    content = read(file)
    for placeholder in _PLACEHOLDERS:
        content = content.replace(placeholder, composition.encode())
    try:
        return parse(content)
    except Unreadable as error:
        raise refused(file, content, error.problems) from None


def refused(file: str, content: bytes | str, problems: Sequence[Problem]) -> AcmError:
    """Show what is wrong with a file; returns what is left to say."""
    tell(file, content, Report(problems=tuple(problems)))
    return AcmError(f"{file} is refused")


def tell(file: str, content: bytes | str, report: Report) -> None:
    """Show what is wrong with a file, each at its line."""
    color = sys.stderr.isatty()
    click.echo(report.render(file, content, color=color).rstrip("\n"), err=True, color=color)


def problems(told: Sequence[Mapping[str, Any]], document: Document | None = None) -> list[Problem]:
    """What a runtime says is wrong.

    Args:
        document: the file, where the runtime was sent it in another form, so that its lines are not the file's.
    """
    found = []
    for one in told:
        path, line, column = str(one.get("path") or ""), one.get("line"), one.get("column")
        if document is not None:
            line, column = document.mark(_steps(path))
        found.append(Problem(path, line, column, str(one.get("message", "")), str(one.get("hint") or "")))
    return found


def _steps(path: str) -> tuple[str | int, ...]:
    """The path that a text such as ``elements["a.b"].properties[0]`` stands for."""
    found: list[str | int] = []
    for step in _STEP.finditer(path):
        if step["number"] is not None:
            found.append(int(step["number"]))
        else:
            found.append(step["bare"] if step["quoted"] is None else step["quoted"])
    return tuple(found)
