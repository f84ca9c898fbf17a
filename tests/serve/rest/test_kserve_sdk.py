"""The kserve SDK's own REST client, unchanged and in an environment of its own."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from mizzen.serve.model import Options, Tensor

from .conftest import Echo

STORY = Path(__file__).with_name("kserve_story.py")
ROOT = Path(__file__).parent.parent.parent.parent


class Fails(Echo):
    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        raise ValueError("it broke")


async def test_what_its_users_do(serving):
    python = os.environ.get("MIZZEN_KSERVE_PYTHON") or str(ROOT / ".venv-kserve/bin/python")
    if not os.access(python, os.X_OK):
        pytest.skip("the kserve SDK is not installed: make kserve-env")
    explains = Echo("explains")
    explains.explains = True
    ask = await serving(Echo(), explains, Fails("fails"))
    process = await asyncio.create_subprocess_exec(
        python,
        "-W",
        "ignore",
        str(STORY),
        f"http://127.0.0.1:{ask.port}",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
    )
    async with asyncio.timeout(90):
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    said = [line for line in output.decode().splitlines() if line in ("ready", "rows", "tensors", "errors")]
    assert said == ["ready", "rows", "tensors", "errors"]
