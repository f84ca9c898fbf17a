"""``make demo``: the first thing that anybody runs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "examples" / "iris" / "demo.py"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because sockets are made below it."""
    with tempfile.TemporaryDirectory(prefix="mz-") as name:
        yield Path(name)


def test_the_demonstration_holds_and_leaves_nothing(folder: Path) -> None:
    pytest.importorskip("sklearn")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MIZZEN_")}
    ran = subprocess.run(
        [sys.executable, DEMO],
        env=environment | {"HOME": str(folder), "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for part in (
        "ready at http://iris-default.example.com",
        "the model itself says the same",
        "none hung",
        "All of it held",
    ):
        assert part in ran.stdout
    assert {entry.name for entry in folder.iterdir()} <= {"mizzen-addresses"}
