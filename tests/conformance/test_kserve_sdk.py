"""KServe's own Python SDK, unchanged and in an environment of its own, against a whole installation."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from installed import installation, train

ROOT = Path(__file__).parents[2]
STORY = Path(__file__).with_name("kserve_story.py")
STEPS = [
    "connected",
    "created and ready",
    "asked over V1 and V2",
    "looked at with the Kubernetes client",
    "patched",
    "replaced, and a second one served",
    "refused in the SDK's own way",
    "deleted",
    "done",
]


def interpreter() -> Path:
    """The Python that has the SDK: it pins other versions than ours, so it lives apart."""
    found = Path(os.environ.get("MIZZEN_KSERVE_PYTHON") or ROOT / ".venv-kserve/bin/python")
    if not found.exists():
        pytest.skip("the kserve SDK is not installed: make kserve-env")
    return found


def test_what_its_users_do(tmp_path):
    python = interpreter()
    train(tmp_path)
    with installation() as mizzen:
        arguments = [str(mizzen.home / "kubeconfig"), mizzen.status()["gateway"]["url"], str(tmp_path)]
        done = subprocess.run(
            [str(python), str(STORY), *arguments],
            env=mizzen.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    told = [line for line in done.stdout.splitlines() if line in STEPS]
    assert done.returncode == 0, f"after {told[-1:]}: {done.stderr}"
    assert told == STEPS
