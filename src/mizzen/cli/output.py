"""Printing objects: the server's own table, or the object as YAML or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
import msgspec
import orjson
import yaml

# Asks the API for the columns that it shows people.
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
_GAP = 3


def widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """The width of each column's widest cell."""
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def table(rows: Sequence[Sequence[str]], header: Sequence[str] = (), least: Sequence[int] = ()) -> str:
    """Columns as wide as their widest cell, and at least so wide; the header in capitals."""
    lines = [[name.upper() for name in header], *rows] if header else list(rows)
    if not lines:
        return ""
    wide = [max(pair) for pair in zip(widths(lines), least or [0] * len(lines[0]), strict=True)]
    return "\n".join(
        "".join(cell.ljust(width + _GAP) for cell, width in zip(line, wide, strict=True)).rstrip() for line in lines
    )


def server_table(answer: dict[str, Any], *, wide: bool, namespaced: bool) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a ``Table`` answer of the API.

    Args:
        wide: also the columns of lower priority.
        namespaced: with a column for the namespace.
    """
    columns = answer.get("columnDefinitions") or []
    shown = [place for place, column in enumerate(columns) if wide or not column.get("priority")]
    header = (["Namespace"] if namespaced else []) + [columns[place]["name"] for place in shown]
    rows = []
    for row in answer.get("rows") or ():
        cells = ["" if row["cells"][place] is None else str(row["cells"][place]) for place in shown]
        metadata = (row.get("object") or {}).get("metadata") or {}
        rows.append(([metadata.get("namespace") or ""] if namespaced else []) + cells)
    return header, rows


class _Dumper(yaml.SafeDumper):
    """YAML as people write it: multi-line texts as blocks, lists indented."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _block)


def as_yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=120).rstrip()


def as_json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def decoded(raw: msgspec.Raw) -> Any:
    """The object of a watch event."""
    return msgspec.json.decode(raw)


def show(value: Any, form: str) -> None:
    click.echo(as_json(value) if form == "json" else as_yaml(value))
