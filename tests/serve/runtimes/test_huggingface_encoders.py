"""Models that read texts, over V1, V2 and OpenAI's protocol; compared with transformers' own answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

import torch
import transformers

from mizzen.http.client import Client
from mizzen.serve.repository import Repository
from mizzen.serve.runtimes import huggingface
from mizzen.serve.server import ModelServer
from mizzen.serve.spec import ModelSpec
from serve.openai.conftest import Running
from serve.runtimes import tiny_transformers as tiny

TEXTS = ["The quick brown fox jumps over the lazy dog.", "models"]

Serve = Callable[..., Awaitable[Running]]


@pytest.fixture
async def serve() -> Any:
    """``await serve(m=folder, ...)``: models by name, each a folder or a folder and settings."""
    started = []

    async def start(**models: Path | tuple[Path, dict[str, Any]]) -> Running:
        repository = Repository()
        for name, given in models.items():
            folder, settings = given if isinstance(given, tuple) else (given, {})
            repository.load(huggingface.build(ModelSpec(name=name, directory=folder, settings=settings), {}))
        server = ModelServer(repository)
        [(_, port)] = await server.listen("127.0.0.1", 0)
        started.append(Running(server, port, Client(environ={})))
        return started[-1]

    yield start
    for one in started:
        await one.http.close()
        await one.server.drain(1, 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``folder(kind, ...)``: a tiny BERT of that class."""
    made: dict[str, Path] = {}

    def make(kind: str, **more: Any) -> Path:
        key = f"{kind}{more}"
        if key not in made:
            made[key] = tiny.bert(tmp_path_factory.mktemp("bert"), kind, **more)
        return made[key]

    return make


def logits(folder: Path, kind: str, text: str, **more: Any) -> Any:
    """What transformers says of one text alone."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = getattr(transformers, kind).from_pretrained(folder).eval()
    with torch.inference_mode():
        return model(**tokenizer(text, return_tensors="pt", **more)).logits[0]


async def predictions(server: Running, instances: list[str], name: str = "m") -> Any:
    answer = await server.ask(f"{name}:predict", {"instances": instances}, prefix="/v1/models/")
    assert answer.status == 200, answer.body
    return answer.json["predictions"]


async def infer(server: Running, texts: list[str], name: str = "m") -> Any:
    tensor = {"name": "input-0", "shape": [len(texts)], "datatype": "BYTES", "data": texts}
    answer = await server.ask(f"{name}/infer", {"inputs": [tensor]}, prefix="/v2/models/")
    assert answer.status == 200, answer.body
    [output] = answer.json["outputs"]
    return output


async def test_classes_of_texts(serve: Serve, folder: Callable[..., Path]) -> None:
    kind = "BertForSequenceClassification"
    home = folder(kind, num_labels=5)
    server = await serve(m=home)
    wanted = [int(logits(home, kind, text).argmax()) for text in TEXTS]
    assert await predictions(server, TEXTS) == wanted
    output = await infer(server, TEXTS)
    assert (output["datatype"], output["shape"], output["data"]) == ("INT64", [2], wanted)
    metadata = (await server.ask("m", method="GET", prefix="/v2/models/")).json
    assert metadata["inputs"] == [{"name": "input-0", "datatype": "BYTES", "shape": [-1]}]
    assert metadata["platform"] == "huggingface"


async def test_probabilities_and_logits_of_classes(serve: Serve, folder: Callable[..., Path]) -> None:
    kind = "BertForSequenceClassification"
    home = folder(kind, num_labels=5)
    server = await serve(p=(home, {"return_probabilities": "true"}), r=(home, {"return_raw_logits": True}))
    one = logits(home, kind, TEXTS[0])
    [found] = await predictions(server, TEXTS[:1], "p")
    assert list(found) == ["0", "1", "2", "3", "4"]
    assert list(found.values()) == pytest.approx(one.softmax(-1).tolist(), abs=1e-4)
    assert all(value == round(value, 4) for value in found.values())
    [found] = await predictions(server, TEXTS[:1], "r")
    assert list(found.values()) == pytest.approx(one.tolist(), abs=1e-4)
    output = await infer(server, TEXTS[:1], "p")
    assert output["datatype"] == "BYTES"
    assert output["data"][0].startswith("{0: 0.")


async def test_one_label_is_a_number(serve: Serve, folder: Callable[..., Path]) -> None:
    kind = "BertForSequenceClassification"
    home = folder(kind, num_labels=1)
    server = await serve(m=home)
    wanted = [float(logits(home, kind, text)[0]) for text in TEXTS]
    assert await predictions(server, TEXTS) == pytest.approx(wanted, abs=1e-4)


async def test_classes_of_tokens_do_not_depend_on_longer_neighbours(serve: Serve, folder: Callable[..., Path]) -> None:
    kind = "BertForTokenClassification"
    home = folder(kind, num_labels=4)
    server = await serve(m=home, p=(home, {"return_probabilities": True}))
    wanted = [[logits(home, kind, text).argmax(-1).tolist()] for text in TEXTS]
    assert await predictions(server, TEXTS) == wanted
    assert await predictions(server, TEXTS[1:]) == wanted[1:]
    assert json.loads((await infer(server, TEXTS))["data"][1]) == wanted[1]
    [found] = await predictions(server, TEXTS[1:], "p")
    assert [len(one) for one in found] == [4] * len(wanted[1][0])


async def test_masked_words_are_filled(serve: Serve, folder: Callable[..., Path]) -> None:
    kind = "BertForMaskedLM"
    home = folder(kind)
    server = await serve(m=home, p=(home, {"return_probabilities": True}))
    tokenizer = transformers.AutoTokenizer.from_pretrained(home)
    text = "the [MASK] fox jumps over the [MASK] dog."
    ids = tokenizer(text).input_ids
    rows = logits(home, kind, text)[[at for at, token in enumerate(ids) if token == tokenizer.mask_token_id]]
    assert await predictions(server, [text, "[MASK]"]) == [
        tokenizer.decode(rows.argmax(-1)),
        tokenizer.decode(logits(home, kind, "[MASK]")[1].argmax(-1)),
    ]
    [found] = await predictions(server, [text], "p")
    assert len(found) == 2
    assert len(found[0]) == len(tokenizer)
    answer = await server.ask("m:predict", {"instances": ["no mask"]}, prefix="/v1/models/")
    assert (answer.status, answer.json) == (400, {"error": "a text has no [MASK] to be filled"})


def vectors(home: Path, texts: list[str]) -> Any:
    """Mean-pooled and of length 1, each text alone."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(home)
    model = transformers.AutoModel.from_pretrained(home).eval()
    with torch.inference_mode():
        pooled = [model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0) for text in texts]
    return [(one / one.norm()).tolist() for one in pooled]


async def test_vectors(serve: Serve, folder: Callable[..., Path]) -> None:
    home = folder("BertModel")
    server = await serve(m=home)
    wanted = np.array(vectors(home, TEXTS))
    assert np.allclose(await predictions(server, TEXTS), wanted, atol=1e-5)
    output = await infer(server, TEXTS)
    assert (output["datatype"], output["shape"]) == ("FP32", [2, 32])
    assert np.allclose(np.array(output["data"]).reshape(2, 32), wanted, atol=1e-5)


async def test_embeddings_by_openais_client(serve: Serve, folder: Callable[..., Path]) -> None:
    home = folder("BertModel")
    server = await serve(m=home)
    tokenizer = transformers.AutoTokenizer.from_pretrained(home)
    wanted = np.array(vectors(home, TEXTS))
    counts = [len(tokenizer(text).input_ids) for text in TEXTS]
    client = server.client()
    # The client asks for base64 and decodes it.
    for answer in (
        await client.embeddings.create(model="m", input=TEXTS),
        await client.embeddings.create(model="m", input=TEXTS, encoding_format="float"),
        await client.embeddings.create(model="m", input=[tokenizer(text).input_ids for text in TEXTS]),
    ):
        assert np.allclose([one.embedding for one in answer.data], wanted, atol=1e-5)
        assert [one.index for one in answer.data] == [0, 1]
        assert (answer.object, answer.model) == ("list", "m")
        assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (sum(counts), sum(counts))
    one = await client.embeddings.create(model="m", input=TEXTS[0])
    assert np.allclose(one.data[0].embedding, wanted[0], atol=1e-5)
    raw = (await server.ask("embeddings", {"model": "m", "input": "x", "encoding_format": "base64"})).json
    assert len(np.frombuffer(base64.b64decode(raw["data"][0]["embedding"]), "<f4")) == 32
    many = await client.embeddings.create(model="m", input=[f"number {at}" for at in range(70)])
    assert np.allclose(many.data[69].embedding, vectors(home, ["number 69"])[0], atol=1e-5)


@pytest.mark.parametrize(
    ("more", "param", "code", "text"),
    [
        ({"dimensions": 8}, "dimensions", "unsupported_parameter", "not supported"),
        ({"encoding_format": "hex"}, "encoding_format", "invalid_value", "float or base64"),
        ({"input": []}, "input", "invalid_type", "not empty"),
        ({"input": ["a", 5]}, "input[1]", "invalid_type", "neither"),
        ({"input": ["a", "dog " * 100]}, "input", "context_length_exceeded", "input[1] has"),
        ({"input": [9999]}, "input", None, "token id 9999"),
        ({"other": 1}, "other", "unknown_parameter", "Unrecognized"),
    ],
)
async def test_what_embeddings_refuse(
    serve: Serve, folder: Callable[..., Path], more: dict[str, Any], param: str, code: str | None, text: str
) -> None:
    server = await serve(m=folder("BertModel"))
    answer = await server.ask("embeddings", {"model": "m", "input": "x", **more})
    assert (answer.status, answer.error["param"], answer.error["code"]) == (400, param, code)
    assert text in answer.error["message"]


async def test_documents_are_ranked_by_their_vectors(serve: Serve, folder: Callable[..., Path]) -> None:
    home = folder("BertModel")
    server = await serve(m=home)
    documents = ["a lazy dog", "the quick fox", "models need no cluster"]
    query, *others = np.array(vectors(home, ["fox", *documents]))
    scores = [float(query @ one) for one in others]
    answer = (await server.ask("rerank", {"model": "m", "query": "fox", "documents": documents})).json
    order = sorted(range(3), key=lambda at: -scores[at])
    assert [one["index"] for one in answer["results"]] == order
    assert [one["document"]["text"] for one in answer["results"]] == [documents[at] for at in order]
    assert [one["relevance_score"] for one in answer["results"]] == pytest.approx(
        [scores[at] for at in order], abs=1e-5
    )
    best = (await server.ask("rerank", {"model": "m", "query": "fox", "documents": documents, "top_n": 1})).json
    assert [one["index"] for one in best["results"]] == order[:1]


async def test_documents_are_ranked_by_a_cross_encoder(serve: Serve, folder: Callable[..., Path]) -> None:
    kind = "BertForSequenceClassification"
    home = folder(kind, num_labels=1)
    server = await serve(m=home)
    documents = ["a lazy dog", "the quick fox"]
    wanted = [float(logits(home, kind, "fox", text_pair=one)[0].sigmoid()) for one in documents]
    answer = (await server.ask("rerank", {"model": "m", "query": "fox", "documents": documents})).json
    found = {one["index"]: one["relevance_score"] for one in answer["results"]}
    assert [found[0], found[1]] == pytest.approx(wanted, abs=1e-5)
    refused = await server.ask("embeddings", {"model": "m", "input": "x"})
    assert (refused.status, refused.error["code"]) == (400, "unsupported_model")


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"documents": []}, "documents"),
        ({"documents": ["a", 5]}, "documents[1]"),
        ({"top_n": 0}, "top_n"),
        ({"query": None}, "query"),
        ({"query": ["a"]}, "query"),
    ],
)
async def test_what_rerank_refuses(serve: Serve, folder: Callable[..., Path], more: dict[str, Any], param: str) -> None:
    server = await serve(m=folder("BertModel"))
    answer = await server.ask("rerank", {"model": "m", "query": "x", "documents": ["y"], **more})
    assert (answer.status, answer.error["param"]) == (400, param)


@pytest.mark.parametrize(
    ("instances", "text"),
    [([1.5], "must be a list of texts"), ([["a", "b"]], "must be a list of texts"), ([{"a": 1}], "list of texts")],
)
async def test_what_is_no_text_is_400(
    serve: Serve, folder: Callable[..., Path], instances: list[Any], text: str
) -> None:
    server = await serve(m=folder("BertModel"))
    answer = await server.ask("m:predict", {"instances": instances}, prefix="/v1/models/")
    assert (answer.status, text in answer.json["error"]) == (400, True), answer.json


async def test_a_text_longer_than_the_model_is_cut_off_as_kserve_does(
    serve: Serve, folder: Callable[..., Path]
) -> None:
    home = folder("BertModel")
    server = await serve(m=(home, {"max_model_len": 6}))
    tokenizer = transformers.AutoTokenizer.from_pretrained(home)
    long = "the quick brown fox jumps over the lazy dog"
    cut = tokenizer.decode(tokenizer(long, truncation=True, max_length=6).input_ids, skip_special_tokens=True)
    assert np.allclose(await predictions(server, [long]), await predictions(server, [cut]), atol=1e-5)


async def test_the_pooling_of_a_sentence_transformer_is_its_own(serve: Serve, tmp_path: Path) -> None:
    home = tiny.bert(tmp_path / "m", "BertModel")
    (home / "1_Pooling").mkdir()
    (home / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    server = await serve(m=home)
    tokenizer = transformers.AutoTokenizer.from_pretrained(home)
    model = transformers.AutoModel.from_pretrained(home).eval()
    with torch.inference_mode():
        first = model(**tokenizer(TEXTS[0], return_tensors="pt")).last_hidden_state[0, 0]
    assert np.allclose(
        await predictions(server, TEXTS), [(first / first.norm()).tolist(), *vectors_cls(home)], atol=1e-5
    )


def vectors_cls(home: Path) -> list[Any]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(home)
    model = transformers.AutoModel.from_pretrained(home).eval()
    with torch.inference_mode():
        first = model(**tokenizer(TEXTS[1], return_tensors="pt")).last_hidden_state[0, 0]
    return [(first / first.norm()).tolist()]


async def test_a_tokenizer_without_padding_gets_it(serve: Serve, tmp_path: Path) -> None:
    config = transformers.GPT2Config(vocab_size=400, n_embd=32, n_layer=2, n_head=2, n_positions=64, num_labels=3)
    torch.manual_seed(0)
    tokenizer = tiny.byte_level()
    tokenizer.pad_token = None
    home = tmp_path / "m"
    transformers.GPT2ForSequenceClassification(config).eval().save_pretrained(home)
    tokenizer.save_pretrained(home)
    server = await serve(m=home)
    wanted = [int(logits(home, "GPT2ForSequenceClassification", text).argmax()) for text in TEXTS]
    assert await predictions(server, TEXTS) == wanted
