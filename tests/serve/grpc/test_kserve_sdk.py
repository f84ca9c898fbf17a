"""The kserve SDK's own gRPC client, unchanged and in an environment of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

STORY = Path(__file__).with_name("kserve_story.py")


async def test_what_its_users_do(speak: Any, kit: Any, kserve_python: str) -> None:
    model = kit.Echo(reads_headers=True)
    speaker = await speak(model, kit.Raising(ValueError("it broke")))

    def story() -> Any:
        return subprocess.run(
            [kserve_python, str(STORY), speaker.address],
            env={name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    done = await speaker.run(story)
    assert done.returncode == 0, done.stderr
    told = [
        line for line in done.stdout.splitlines() if line in {"ready", "raw and typed", "texts and halves", "errors"}
    ]
    assert told == ["ready", "raw and typed", "texts and halves", "errors"]
    assert model.told[0].headers["x-tag"] == "t"
    assert model.told[0].parameters == {"mode": "fast"}
