"""The script that drives ONAP's own runtime drives ours, and says so when something is not as it should be."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from installed import Mizzen, installation, train

SCRIPT = Path(__file__).parents[2] / "scripts" / "acm_against_onap.py"

pytest.importorskip("confluent_kafka")


@pytest.fixture
def mizzen() -> Iterator[Mizzen]:
    with installation() as found:
        found("acm", "up", "-d", "--rest-port", "0", "--user", "tester", "--password", "of the test")
        try:
            yield found
        finally:
            found.run("acm", "down")


def drive(mizzen: Mizzen, *options: str, password: str = "of the test") -> subprocess.CompletedProcess[str]:
    url = json.loads((mizzen.home / "acm" / "state.json").read_text())["url"]
    return subprocess.run(
        [sys.executable, str(SCRIPT), "--url", url, "--user", "tester", *options],
        env=mizzen.environment | {"MIZZEN_ACM_PASSWORD": password},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_our_own_runtime_goes_through_it(mizzen: Mizzen, tmp_path: Path) -> None:
    train(tmp_path / "model")
    record = tmp_path / "record.json"
    done = drive(mizzen, "--storage-uri", f"file://{tmp_path}/model", "--record", str(record))
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "all as expected"
    assert all(line.startswith("  ok ") for line in lines[:-1])
    assert len(lines) == 17
    assert any('"url": "http://mizzen-check-' in line for line in lines)
    assert mizzen.objects("isvc") == []
    kept = json.loads(record.read_text())
    assert (kept[0]["verb"], kept[0]["path"], kept[0]["status"]) == ("GET", "/participants", 200)
    assert (kept[-1]["verb"], kept[-1]["status"]) == ("GET", 404)
    assert "of the test" not in record.read_text()

    wrong = drive(mizzen, "--storage-uri", "file:///nowhere", "--namespace", "nowhere")
    assert wrong.returncode == 1
    (line,) = (line for line in wrong.stdout.splitlines() if "WRONG" in line)
    assert line.startswith("  WRONG  deploy: DEPLOYING/")
    assert "nowhere" in line
    assert wrong.stdout.endswith("not as expected\n")
    assert json.loads(mizzen("acm", "status", "-o", "json")) == {"compositions": [], "instances": []}

    stranger = drive(mizzen, "--storage-uri", "file:///nowhere", password="another")
    assert stranger.returncode == 1
    assert "401 instead of 200" in stranger.stdout
