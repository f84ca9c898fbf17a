"""The published document: complete, sound, and true under fire."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mizzen.serve.model import Options, Tensor, TensorMetadata
from mizzen.serve.openapi.document import document
from mizzen.serve.protocols.loading import Loading
from mizzen.serve.protocols.openai import OpenAI
from mizzen.serve.protocols.v1 import V1
from mizzen.serve.protocols.v2 import V2
from mizzen.serve.repository import Repository
from mizzen.serve.routing import Router

from ..openai.scripted import Script
from .conftest import Echo, Meaning

_REQUESTS = {
    "CompletionFields": ["script"],
    "ChatFields": ["script"],
    "EmbeddingFields": ["meaning"],
    "RerankFields": ["meaning"],
}


class Able(Echo):
    """Takes anything, and explains it, too."""

    def __init__(self, name: str, version: str | None = None) -> None:
        super().__init__(name, version, [TensorMetadata("input-0", "FP32", [-1, 4])])
        self.explains = True

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        return [Tensor(tensor.name, tensor.array) for tensor in inputs]


@pytest.fixture
async def ask(asking):
    return await asking(Able("one"), Able("two", "1"), Meaning(), Script())


async def test_every_route_of_ours_is_told_of_and_no_other(ask):
    told = (await ask("GET", "/openapi.json")).json
    documented = {(verb.upper(), path) for path, item in told["paths"].items() for verb in item}
    router = Router()
    repository = Repository()
    for protocol in (V1(repository), V2(repository), Loading(repository), OpenAI(repository, {})):
        protocol.register(router)
    ours = set(router.templates) | {("GET", "/"), ("GET", "/metrics"), ("GET", "/openapi.json")}
    assert documented == ours


@pytest.mark.parametrize(
    "prefix, listing", [("/openai", {"/openai/v1/models"}), ("llm/api/", {"/llm/api/v1/models"}), ("", set())]
)
def test_openai_is_told_of_where_it_is(prefix, listing):
    """What is told of is what is served, and no schema of what is not."""
    openai = OpenAI(Repository(), {"KSERVE_OPENAI_ROUTE_PREFIX": prefix})
    told = document([openai], ["one"])
    router = Router()
    openai.register(router)
    served = {(verb.upper(), path) for path, item in openai.paths().items() for verb in item}
    assert served == set(router.templates)
    assert {path for path in openai.paths() if path.endswith("/models")} == listing
    refs = {ref.removeprefix("#/components/schemas/") for ref in _refs(told)}
    assert refs | {"Error"} == set(told["components"]["schemas"])


async def test_a_stream_is_of_what_the_document_says(ask):
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    told = (await ask("GET", "/openapi.json")).json
    chat = {"messages": [{"role": "user", "content": "Hello!"}]}
    options = {"model": "script", "stream": True, "stream_options": {"include_usage": True}, "logprobs": True}
    for path, said in (
        ("/openai/v1/chat/completions", {**chat, **options}),
        ("/v1/completions", {"prompt": "Hello!", **options, "logprobs": 1}),
    ):
        content = told["paths"][path]["post"]["responses"]["200"]["content"]
        _, event = content["text/event-stream"]["schema"]["properties"]["data"]["anyOf"]
        schema = {**event["contentSchema"], "components": told["components"]}
        answer = await ask("POST", path, said)
        assert answer.status == 200, answer.body
        *events, last, rest = answer.body.decode().split("\n\n")
        assert (last, rest) == ("data: [DONE]", "")
        assert len(events) >= 4
        for event in events:
            jsonschema.validate(json.loads(event.removeprefix("data: ")), schema)


def _refs(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "$ref":
                yield item
            else:
                yield from _refs(item)
    elif isinstance(value, list):
        for item in value:
            yield from _refs(item)


async def test_references_lead_somewhere_and_names_are_unique(ask):
    told = (await ask("GET", "/openapi.json")).json
    schemas = told["components"]["schemas"]
    assert {ref.removeprefix("#/components/schemas/") for ref in _refs(told)} == set(schemas)
    names = [one["operationId"] for item in told["paths"].values() for one in item.values()]
    assert len(set(names)) == len(names)
    for item in told["paths"].values():
        for one in item.values():
            assert one["summary"] and not one["summary"].endswith(".")
            assert {"200", "default"} <= set(one["responses"])


async def test_the_models_are_its_examples(ask):
    told = (await ask("GET", "/openapi.json")).json
    [parameter] = told["paths"]["/v2/models/{model}/ready"]["get"]["parameters"]
    assert parameter["examples"] == {name: {"value": name} for name in ("one", "two", "meaning", "script")}


async def test_schemathesis_finds_nothing(ask, tmp_path: Path):
    """Requests made of the document, right ones and wrong ones, and every answer held against it.

    What a right request is beyond its schema (a shape that fits its data) no schema can say, so that right ones are
    taken is not checked; and for the requests to get past "no such model" the models' names are put into the document.
    """
    pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    told = (await ask("GET", "/openapi.json")).json
    names = ["one", "two", "meaning", "script"]
    for name, able in _REQUESTS.items():
        told["components"]["schemas"][f"OpenAI.{name}"]["properties"]["model"] = {"enum": able}
    for path, item in list(told["paths"].items()):
        if path.endswith("/unload"):
            del told["paths"][path]
            continue
        for one in item.values():
            for parameter in one.get("parameters", ()):
                if parameter["name"] == "model":
                    parameter["schema"] = {"enum": ["two"] if "{version}" in path else names}
                    parameter.pop("examples", None)
                elif parameter["name"] == "version":
                    parameter["schema"] = {"enum": ["1"]}
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(told))
    # Some models cannot explain, some requests leave no time: both have a status of the server's that is no failure.
    allowed = '["2xx", "3xx", "4xx", 501, 504]'
    (tmp_path / "schemathesis.toml").write_text(f"[checks.not_a_server_error]\nexpected-statuses = {allowed}\n")
    command = [sys.executable, "-m", "schemathesis.cli", "run", str(file)]
    command += ["--url", f"http://127.0.0.1:{ask.port}", "--phases", "examples,coverage,fuzzing"]
    command += ["--checks", "all", "--exclude-checks", "positive_data_acceptance"]
    command += ["--max-examples", "25", "--seed", "7", "--no-color"]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
    )
    try:
        async with asyncio.timeout(240):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output.decode()
    assert "No test cases" not in output.decode()
