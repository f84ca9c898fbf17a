"""A figure: what was measured, how often, and what it is held against. Readings are kept, medians are what counts."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

Say = Callable[[str], None]


@dataclass(kw_only=True)
class Figure:
    """One row of the table.

    Attributes:
        name: what was measured, in the words of the table.
        unit: of the readings and the limit; empty for a plain number, ``x`` for a ratio.
        readings: one for each repetition.
        at_most, at_least: the target; neither for a figure that is only observed.
        note: what a reader of this very reading must know.
    """

    name: str
    unit: str
    readings: list[float]
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.readings)

    @property
    def target(self) -> str:
        if self.at_most is not None:
            return f"≤ {_number(self.at_most)}{_unit(self.unit)}"
        if self.at_least is not None:
            return f"≥ {_number(self.at_least)}{_unit(self.unit)}"
        return ""

    @property
    def verdict(self) -> str:
        """``reached`` or ``missed``, by the median; empty without a target."""
        if self.at_most is not None:
            return "reached" if self.median <= self.at_most else "missed"
        if self.at_least is not None:
            return "reached" if self.median >= self.at_least else "missed"
        return ""

    @property
    def cells(self) -> list[str]:
        """Name, target, median, spread, number of readings, verdict."""
        spread = f"{_number(min(self.readings))} – {_number(max(self.readings))}" if len(self.readings) > 1 else ""
        measured = f"{_number(self.median)}{_unit(self.unit)}"
        return [self.name, self.target, measured, spread, str(len(self.readings)), self.verdict]


COLUMNS = ["figure", "target", "median", "min – max", "n", "verdict"]


def percentile(values: list[float], share: float) -> float:
    """The value below which ``share`` (0 to 1) of the values lie."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def _number(value: float) -> str:
    """Three digits that say something, and thousands apart."""
    size = abs(value)
    if size >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.095 else f"{value:.2g}"


def _unit(unit: str) -> str:
    return unit if unit in ("x", "%") else f" {unit}" if unit else ""
