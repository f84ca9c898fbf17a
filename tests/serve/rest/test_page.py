"""The page at /docs: on its own, true, and of use in a real browser."""

from __future__ import annotations

import asyncio
import html
import json
import re
import threading
from pathlib import Path

import numpy as np
import pytest

from mizzen.serve.errors import LoadError
from mizzen.serve.generation.model import RERANK, Encoder
from mizzen.serve.generation.relay import Relay
from mizzen.serve.model import Servable, Tensor, TensorMetadata
from mizzen.serve.openapi.trials import trials
from mizzen.serve.served import Dormant
from mizzen.serve.server import ModelServer

from ..openai.scripted import Script
from .browser import CHROMIUM, browser
from .conftest import Answers, Echo, Meaning, Payloads


class Broken(Servable):
    def load(self) -> None:
        raise LoadError("</script><script>alert('x')</script> cannot be read")


def named(name: str, *inputs: TensorMetadata) -> Answers:
    model = Answers(Tensor("y", np.array([0.5])))
    model.name = name
    model.inputs = list(inputs)
    return model


@pytest.fixture
async def ask(asking):
    ask = await asking(
        named("matrix", TensorMetadata("x", "FP32", [-1, 3])),
        named("table", TensorMetadata("x", "FP64", [-1, 2], {"columns": ["width", "height"]})),
        named("two", TensorMetadata("image", "FP32", [-1, 2, 2]), TensorMetadata("size", "INT64", [-1])),
        named("<b>&'\"ü", TensorMetadata("</textarea>", "FP32", [-1])),
        Echo("versioned", "3"),
        Payloads(lambda call: {"got": call.payload}, "custom"),
        Meaning(),
        Script(),
    )
    with pytest.raises(LoadError):
        ask.server.repository.load(Broken("broken"))
    return ask


def offered(page: str) -> dict[str, list[dict[str, str]]]:
    """The requests that the page offers, by the models' names."""
    names = [html.unescape(name) for name in re.findall(r"<h3>(.*?)</h3>", page)]
    forms = [json.loads(html.unescape(form)) for form in re.findall(r'data-requests="(.*?)"', page)]
    return dict(zip([name for name in names if name != "broken"], forms, strict=True))


async def test_nothing_on_it_comes_from_elsewhere(ask):
    answer = await ask("GET", "/docs")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    page = answer.body.decode()
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", page)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["content-length"] == str(len(answer.body))


async def test_what_it_offers_is_answered(ask):
    requests = offered((await ask("GET", "/docs")).body.decode())
    assert list(requests) == ["matrix", "table", "two", "<b>&'\"ü", "versioned", "custom", "meaning", "script"]
    labels = {"meaning": ["Embedding", "Rerank", "V1", "V2"], "script": ["Chat", "Completion"]}
    for name, ways in requests.items():
        assert [way["label"] for way in ways] == labels.get(name, ["V1", "V2"])
        for way in ways[:1] if name == "custom" else ways:
            answer = await ask("POST", "/" + way["path"], way["body"].encode())
            assert answer.status == 200, (name, way, answer.body)
    assert [way["path"] for way in requests["script"]] == ["openai/v1/chat/completions", "openai/v1/completions"]
    assert requests["versioned"][1]["path"] == "v2/models/versioned/versions/3/infer"
    assert json.loads(requests["two"][0]["body"]) == {"instances": [{"image": [[1.0, 1.0], [1.0, 1.0]], "size": 1}]}
    assert json.loads(requests["table"][0]["body"]) == {"instances": [{"width": 1.0, "height": 1.0}]}


async def test_whatever_a_model_is_called_stays_text(ask):
    page = (await ask("GET", "/docs")).body.decode()
    assert "<b>&" not in page and "&lt;b&gt;&amp;" in page
    assert page.count("<script>") == 1 == page.count("</script>")
    assert page.count("</textarea>") == page.count("<textarea ")
    assert "cannot be read" in page


async def test_every_route_is_on_it(ask):
    page = (await ask("GET", "/docs")).body.decode()
    for path in (await ask("GET", "/openapi.json")).json["paths"]:
        assert f"<code>{html.escape(path)}</code>" in page


async def test_it_can_be_left_out_and_the_document_stays(serving):
    ask = await serving()
    server = ModelServer(ask.server.repository, docs=False)
    [(_, ask.port)] = await server.listen("127.0.0.1", 0)
    try:
        assert (await ask("GET", "/docs")).status == 404
        assert (await ask("GET", "/openapi.json")).json["openapi"] == "3.1.0"
    finally:
        await server.drain(0, 0)


async def test_a_server_without_models_has_a_page(serving):
    answer = await (await serving())("GET", "/docs")
    assert (answer.status, b"No model is served yet." in answer.body) == (200, True)


class Behind(Relay):
    """A model on a server of its own."""


class OnlyRanks(Encoder):
    methods = frozenset({RERANK})


def test_what_is_offered_is_what_a_model_can_and_where_the_server_has_it():
    paths = ["/llm/v1/chat/completions", "/llm/v1/completions", "/llm/v1/rerank", "/v1/chat/completions"]
    cases = [
        (Behind("far"), {"Chat": "llm/v1/chat/completions", "Completion": "llm/v1/completions"}),
        (OnlyRanks("near"), {"Rerank": "llm/v1/rerank"}),
    ]
    for model, ways in cases:
        assert {one.label: one.path for one in trials(model, paths)} == ways
        assert {json.loads(one.body)["model"] for one in trials(model, paths)} == {model.name}


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
async def test_in_a_browser(ask, tmp_path: Path):
    async with asyncio.timeout(120), browser(tmp_path / "profile") as page:
        await page.open(f"http://127.0.0.1:{ask.port}/docs")
        assert await page.run("document.title") == "Mizzen model server"
        assert await page.run("document.querySelectorAll('form.try').length") == 8
        first = "document.querySelector('form.try')"
        await page.run(f"{first}.querySelector('.send').click()")
        await page.until(f"!{first}.querySelector('pre').hidden")
        assert (await page.run(f"{first}.querySelector('.status').textContent")).startswith("200 OK")
        assert json.loads(await page.run(f"{first}.querySelector('pre').textContent")) == {"predictions": [0.5]}
        await page.run(f"{first}.querySelectorAll('.tabs button')[1].click()")
        assert await page.run(f"{first}.querySelector('.where').textContent") == "POST /v2/models/matrix/infer"
        assert await page.run(f"{first}.querySelector('pre').hidden") is True
        await page.run(f"{first}.querySelector('textarea').value = '{{}}'; {first}.querySelector('.send').click()")
        await page.until(f"!{first}.querySelector('pre').hidden")
        assert (await page.run(f"{first}.querySelector('.status').textContent")).startswith("400 Bad Request")
        assert "at least one tensor" in await page.run(f"{first}.querySelector('pre').textContent")
        assert await page.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        refused = [text for text in page.problems if "status of 400" not in text]
        assert refused == [], "the page breaks its own policy, or fails"


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
async def test_a_stream_is_shown_as_it_comes(asking, tmp_path: Path):
    gate = threading.Semaphore(0)
    script = Script(words=("one ", "two ", "three"), gate=gate)
    ask = await asking(script, Meaning())
    talking, meaning = (f"document.querySelectorAll('form.try')[{at}]" for at in (0, 1))

    def text(form: str, what: str = "pre") -> str:
        return f"{form}.querySelector('{what}').textContent"

    async with asyncio.timeout(120), browser(tmp_path / "profile") as page:
        try:
            await page.open(f"http://127.0.0.1:{ask.port}/docs")
            await page.run(f"{talking}.querySelector('.send').click()")
            gate.release()
            await page.until(f"{text(talking)} === 'one '")
            assert await page.run(text(talking, ".send")) == "Stop"
            gate.release(2)
            await page.until(f"{text(talking, '.send')} === 'Send'")
            assert await page.run(text(talking)) == "one two three"
            assert (await page.run(text(talking, ".status"))).startswith("200 OK, ")
            await page.run(f"{talking}.querySelector('.send').click()")
            gate.release()
            await page.until(f"{text(talking)} === 'one '")
            await page.run(f"{talking}.querySelector('.send').click()")
            await page.until(f"{text(talking, '.status')} === 'Stopped'")
            await page.run(f"{meaning}.querySelector('.send').click()")
            await page.until(f"{text(meaning, '.status')}.startsWith('200')")
            assert len(json.loads(await page.run(text(meaning)))["data"]) == 2
            assert page.problems == []
        finally:
            gate.release(100)


async def test_a_model_that_sleeps_is_as_good_as_there(serving):
    ask = await serving()
    repository = ask.server.repository
    repository.add(Dormant(named("dozy", TensorMetadata("x", "FP32", [-1, 3])))).sleep()
    page = (await ask("GET", "/docs")).body.decode()
    assert '<span class="state ready">asleep: the next request loads it</span>' in page
    assert list(offered(page)) == ["dozy"]
