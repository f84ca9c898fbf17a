"""A zygote imports transformers and forks servers, which load a model and generate: in real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

from serve.runtimes import tiny_transformers as tiny

# Two servers one after the other: the second forks after the first has run its model.
ZYGOTE = """
import importlib, json, os, sys, threading
from mizzen.serve.runtimes import huggingface
for name in huggingface.PRELOAD:
    importlib.import_module(name)
tasks = len(os.listdir("/proc/self/task"))
found = []
for _ in range(2):
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        from pathlib import Path
        from mizzen.serve.generation.model import GenerationRequest, Sampling
        from mizzen.serve.spec import ModelSpec
        try:
            model = huggingface.build(ModelSpec(name="m", directory=Path(sys.argv[1])), os.environ)
            model.load()
            said = []
            request = GenerationRequest(prompt="The quick", max_tokens=20, sampling=Sampling(temperature=0))
            thread = threading.Thread(target=model.produce, args=(request, lambda chunk: said.append(chunk.text)))
            thread.start()
            thread.join()
            text = json.dumps("".join(said))
        except BaseException as error:
            text = json.dumps(repr(error))
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as pipe:
        found.append(json.load(pipe))
    found[-1] = found[-1] if os.waitpid(child, 0)[1] == 0 else "the server died"
print(json.dumps({"tasks": tasks, "said": found}))
"""


def test_servers_that_a_zygote_forks_generate(tmp_path: Path) -> None:
    folder = tiny.causal(tmp_path / "m")
    done = subprocess.run(
        [sys.executable, "-c", ZYGOTE, str(folder)], capture_output=True, text=True, timeout=120, check=True
    )
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["tasks"] == 1, "importing started a thread, which a fork loses"
    first, second = told["said"]
    assert first == second
    assert len(first) > 5
    assert "Error" not in first
