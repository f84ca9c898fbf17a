"""Classes of somebody's own that are no ``mizzen.serve.Model``, but models of the server's own two shapes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from serving_process import ask

TENSORS = """
from mizzen.serve.model import Options, Tensor, TensorModel

class Times(TensorModel):
    def __init__(self, name, factor=2):
        super().__init__(name)
        self.factor = factor
        self.batchable = True

    def load(self):
        self.loaded = True

    def infer(self, inputs, options):
        return [Tensor("output-0", inputs[0].array * self.factor)]
"""

LATER = TENSORS.replace("factor=2", "factor=10")

TALK = """
from mizzen.serve.generation.model import Chunk, GenerativeModel, Usage

class Talk(GenerativeModel):
    def load(self):
        pass

    def generate(self, request):
        words = request.text.split()
        yield Chunk(f"{len(words)} words")
        yield Chunk(finish="stop", usage=Usage(len(words), 2))
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "times.py").write_text(TENSORS)
    (tmp_path / "talk.py").write_text(TALK)
    return tmp_path


async def test_a_tensor_model_of_ones_own_is_served_and_batched(start, client, code):
    process = start("--model_dir", f"{code}/times.py:Times", "--http_port=0", "--host=127.0.0.1")
    url = await process.url()
    tensor = {"name": "x", "shape": [2, 1], "datatype": "FP64", "data": [1.5, 2.0]}
    status, body = await ask(client, f"{url}/v2/models/model/infer", {"inputs": [tensor]})
    assert (status, body["outputs"][0]["data"]) == (200, [3.0, 4.0])
    assert await ask(client, f"{url}/v1/models/model:predict", {"instances": [[1.0]]}) == (
        200,
        {"predictions": [[2.0]]},
    )
    async with await client.request("GET", f"{url}/metrics") as page:
        assert b'mizzen_batching_enabled{model_name="model"} 1.0' in await page.read()


async def test_it_runs_in_a_process_of_its_own_too(start, client, code):
    process = start("--model_dir", f"{code}/times.py:Times", "--http_port=0", "--host=127.0.0.1", "--isolation=process")
    url = await process.url()
    assert await ask(client, f"{url}/v1/models/model:predict", {"instances": [[4.0]]}) == (
        200,
        {"predictions": [[8.0]]},
    )


async def test_it_is_loaded_anew_when_its_file_changes(start, client, code):
    process = start("--model_dir", f"{code}/times.py:Times", "--http_port=0", "--host=127.0.0.1", "--reload")
    url = await process.url()
    (code / "times.py").write_text(LATER)
    body: object = None
    for _ in range(600):
        _, body = await ask(client, f"{url}/v1/models/model:predict", {"instances": [[1.0]]})
        if body == {"predictions": [[10.0]]}:
            break
        await asyncio.sleep(0.05)
    assert body == {"predictions": [[10.0]]}


async def test_what_was_written_while_it_was_loaded_is_read_again(start, client, code):
    late = TENSORS.replace("self.loaded = True", f"open({str(code / 'times.py')!r}, 'w').write({LATER!r})")
    (code / "times.py").write_text(late)
    process = start("--model_dir", f"{code}/times.py:Times", "--http_port=0", "--host=127.0.0.1", "--reload")
    url = await process.url()
    body: object = None
    for _ in range(600):
        _, body = await ask(client, f"{url}/v1/models/model:predict", {"instances": [[1.0]]})
        if body == {"predictions": [[10.0]]}:
            break
        await asyncio.sleep(0.05)
    assert body == {"predictions": [[10.0]]}


async def test_a_generative_model_of_ones_own_is_asked_over_openais_protocol(start, client, code):
    process = start("--model_dir", f"{code}/talk.py:Talk", "--http_port=0", "--host=127.0.0.1", "--model_name=talk")
    url = await process.url()
    status, body = await ask(client, f"{url}/openai/v1/completions", {"model": "talk", "prompt": "well hello there"})
    assert (status, body["choices"][0]["text"]) == (200, "3 words")
    assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
