"""Files that are sent to a runtime, and what it says of them, line by line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import yaml

from mizzen.cli.acm.api import AcmError

JSON, YAML = "application/json", "application/yaml"


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


def mapping(content: bytes, file: str) -> dict[str, Any]:
    """A document as a mapping, to set something in it.

    Raises:
        AcmError: it is none.
    """
    try:
        value = yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise AcmError(f"{file} is neither JSON nor YAML: {error}") from None
    if not isinstance(value, dict):
        raise AcmError(f"{file} is no instance: it is to have name, version, compositionId and elements")
    return value


def tell_problems(file: str, problems: Sequence[dict[str, Any]]) -> None:
    """What is wrong, as compilers say it: ``FILE:LINE:COLUMN: message``."""
    for problem in problems:
        place = ":".join(str(part) for part in (file, problem.get("line"), problem.get("column")) if part is not None)
        click.echo(f"{place}: {problem['message']}", err=True)
        if problem.get("hint"):
            click.echo(f"  {problem['hint']}", err=True)
