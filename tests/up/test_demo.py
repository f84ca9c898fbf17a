"""``make demo``: the first thing that anybody runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "examples" / "iris" / "demo.py"


def test_the_demonstration_holds_and_leaves_nothing(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MIZZEN_")}
    ran = subprocess.run(
        [sys.executable, DEMO],
        env=environment | {"HOME": str(tmp_path), "TMPDIR": str(tmp_path)},
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
    assert {entry.name for entry in tmp_path.iterdir()} <= {"mizzen-addresses"}
