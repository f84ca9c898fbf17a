"""The page of figures: a table between two marks of a Markdown file, and beside it the readings themselves as JSON.

Readings of measurements that were not taken this time stay, if they are of the same machine and the same libraries:
one table never mixes two.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from figures import COLUMNS, Figure

BEGIN, END = "<!-- readings: written by bench/run.py -->", "<!-- end of readings -->"

Taken = dict[str, Any]


def taken(figures: list[Figure], when: str, load: float) -> Taken:
    """One measurement as it is kept: its figures, the day, and how busy the machine was when it began."""
    return {"when": when, "load": round(load, 2), "figures": [asdict(figure) for figure in figures]}


def write(page: Path, machine: dict[str, str], fresh: dict[str, Taken], order: list[str]) -> None:
    """Put fresh readings into the page and into the JSON file of the same name.

    Raises:
        ValueError: the page has no marks, or keeps readings of another machine that are not replaced by these.
    """
    text = page.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} must have the lines {BEGIN} and {END}; the table goes between them")
    kept: dict[str, Taken] = {}
    store = page.with_suffix(".json")
    if store.exists():
        old = json.loads(store.read_text())
        kept = {name: found for name, found in old["measurements"].items() if name not in fresh}
        if kept and old["machine"] != machine:
            raise ValueError(
                f"{store} has readings of another machine or other libraries ({', '.join(kept)}); measure these, too"
            )
    both = kept | fresh
    measurements = {name: both[name] for name in order if name in both}
    store.write_text(json.dumps({"machine": machine, "measurements": measurements}, indent=1) + "\n")
    page.write_text(f"{before}{BEGIN}\n\n{render(machine, measurements)}\n{END}{after}")


def render(machine: dict[str, str], measurements: dict[str, Taken]) -> str:
    """The machine and the table, as Markdown."""
    lines = [f"- {what}: {value}" for what, value in machine.items()]
    for name, found in measurements.items():
        figures = [Figure(**one) for one in found["figures"]]
        lines += ["", f"### {name}", "", f"Taken on {found['when']}, load {found['load']} at its beginning.", ""]
        lines += [_line(COLUMNS), _line(["---", "---", "---:", "---:", "---:", "---"])]
        lines += [_line(figure.cells) for figure in figures]
        notes = [f"{figure.name}: {figure.note}." for figure in figures if figure.note]
        lines += ["", *notes] if notes else []
    return "\n".join(lines) + "\n"


def plain(figures: list[Figure]) -> str:
    """The table for a terminal."""
    rows = [COLUMNS, *(figure.cells for figure in figures)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
