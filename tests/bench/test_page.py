"""The page keeps its prose, gets its table, and never mixes the readings of two machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[2] / "bench"
MACHINE = {"processor": "one", "Python": "3.11"}
ORDER = ["startup", "memory"]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The page's module, which lies beside its script and in no package."""
    monkeypatch.syspath_prepend(str(BENCH))
    import page

    return page


@pytest.fixture
def document(bench: Any, tmp_path: Path) -> Path:
    path = tmp_path / "figures.md"
    path.write_text(f"# Figures\n\nbefore\n\n{bench.BEGIN}\nold\n{bench.END}\n\nafter\n")
    return path


def reading(bench: Any, name: str, *values: float, **target: Any) -> Any:
    return bench.taken([bench.Figure(name=name, unit="s", readings=list(values), **target)], "2026-01-01", 0.1)


@pytest.mark.parametrize(
    ("values", "target", "cells"),
    [
        ([1.0, 3.0, 2.0], {"at_most": 2}, ["≤ 2 s", "2 s", "1 – 3", "3", "reached"]),
        ([1.0, 3.0, 2.5], {"at_most": 2}, ["≤ 2 s", "2.50 s", "1 – 3", "3", "missed"]),
        ([1234.5], {"at_least": 2000}, ["≥ 2,000 s", "1,234 s", "", "1", "missed"]),
        ([0.0123], {}, ["", "0.012 s", "", "1", ""]),
    ],
)
def test_a_figure_is_judged_by_its_median(bench: Any, values: list[float], target: Any, cells: list[str]) -> None:
    assert bench.Figure(name="f", unit="s", readings=values, **target).cells == ["f", *cells]


def test_the_table_goes_between_the_marks(bench: Any, document: Path) -> None:
    bench.write(document, MACHINE, {"startup": reading(bench, "up", 1.0, at_most=3)}, ORDER)
    text = document.read_text()
    assert text.startswith(f"# Figures\n\nbefore\n\n{bench.BEGIN}\n")
    assert text.endswith(f"{bench.END}\n\nafter\n")
    assert "| up | ≤ 3 s | 1 s |  | 1 | reached |" in text
    assert "- processor: one" in text
    assert "old" not in text


def test_other_measurements_stay(bench: Any, document: Path) -> None:
    bench.write(document, MACHINE, {"memory": reading(bench, "pss", 200.0)}, ORDER)
    bench.write(document, MACHINE, {"startup": reading(bench, "up", 1.0)}, ORDER)
    bench.write(document, MACHINE, {"startup": reading(bench, "up", 2.0)}, ORDER)
    kept = json.loads(document.with_suffix(".json").read_text())["measurements"]
    assert list(kept) == ORDER
    assert kept["memory"]["figures"][0]["readings"] == [200.0]
    assert kept["startup"]["figures"][0]["readings"] == [2.0]
    assert document.read_text().index("| up |") < document.read_text().index("| pss |")


def test_two_machines_are_not_mixed(bench: Any, document: Path) -> None:
    both = {name: reading(bench, name, 1.0) for name in ORDER}
    bench.write(document, MACHINE, both, ORDER)
    other = MACHINE | {"processor": "another"}
    with pytest.raises(ValueError, match="another machine or other libraries \\(memory\\)"):
        bench.write(document, other, {"startup": both["startup"]}, ORDER)
    bench.write(document, other, both, ORDER)
    assert "- processor: another" in document.read_text()


def test_a_page_without_marks_is_left_alone(bench: Any, tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("# Page\n")
    with pytest.raises(ValueError, match="must have the lines"):
        bench.write(path, MACHINE, {"startup": reading(bench, "up", 1.0)}, ORDER)
    assert path.read_text() == "# Page\n"
