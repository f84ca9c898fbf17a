"""Text generation with transformers, through the server, by OpenAI's client; compared with the library."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("openai", reason="openai is not installed")

import openai
import torch
import transformers

from mizzen.serve.errors import LoadError
from mizzen.serve.generation.model import Chunk, GenerationRequest, Sampling
from mizzen.serve.isolation import isolated
from mizzen.serve.repository import Repository
from mizzen.serve.runtimes import huggingface
from mizzen.serve.runtimes.huggingface import generator, vllm
from mizzen.serve.runtimes.huggingface.settings import Settings
from mizzen.serve.server import ModelServer
from mizzen.serve.spec import ModelSpec
from serve.runtimes import tiny_transformers as tiny

PROMPT = "The quick brown fox"
HELLO = [{"role": "user", "content": "Hello 🦊"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.causal(tmp_path_factory.mktemp("causal"))


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.seq2seq(tmp_path_factory.mktemp("seq2seq"))


def built(name: str, folder: Path, **settings: Any) -> Any:
    return huggingface.build(ModelSpec(name=name, directory=folder, settings=settings), {})


@pytest.fixture(scope="module")
def lm(folder: Path) -> Any:
    model = built("lm", folder)
    model.load()
    return model


@pytest.fixture(scope="module")
def reference(folder: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(folder).eval()


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(folder)


@pytest.fixture
async def client(lm: Any, translator: Path) -> AsyncIterator[Any]:
    repository = Repository()
    repository.load(lm)
    repository.load(built("translator", translator))
    server = ModelServer(repository)
    [(_, port)] = await server.listen("127.0.0.1", 0)
    async with openai.AsyncOpenAI(
        base_url=f"http://127.0.0.1:{port}/openai/v1", api_key="none", max_retries=0, timeout=60
    ) as client:
        yield client
    await server.drain(5, 0)


def greedy(model: Any, tokenizer: Any, prompt: str, count: int) -> list[int]:
    """What transformers itself generates."""
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    with torch.inference_mode():
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False, pad_token_id=1
        )[0]
    return out[0 if model.config.is_encoder_decoder else ids.shape[1] :].tolist()


def text_of(tokenizer: Any, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


async def test_a_completion_is_what_transformers_generates(client: Any, reference: Any, tokenizer: Any) -> None:
    ids = greedy(reference, tokenizer, PROMPT, 30)
    answer = await client.completions.create(model="lm", prompt=PROMPT, max_tokens=30, temperature=0)
    assert answer.choices[0].text == text_of(tokenizer, ids)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.prompt_tokens == len(tokenizer(PROMPT).input_ids)
    assert answer.usage.completion_tokens == 30


async def test_a_stream_is_the_same_text_and_counts_the_same(client: Any) -> None:
    asked = {"model": "lm", "messages": HELLO, "max_tokens": 40, "seed": 5, "n": 2}
    whole = await client.chat.completions.create(**asked)
    stream = await client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    texts, ends, usage = {0: "", 1: ""}, {}, None
    async for part in stream:
        usage = part.usage or usage
        for choice in part.choices:
            texts[choice.index] += choice.delta.content or ""
            if choice.finish_reason:
                ends[choice.index] = choice.finish_reason
    assert [texts[one.index] for one in whole.choices] == [one.message.content for one in whole.choices]
    assert ends == {one.index: one.finish_reason for one in whole.choices}
    assert usage == whole.usage
    assert texts[0] != texts[1]


async def test_a_chat_uses_the_models_template(client: Any, tokenizer: Any) -> None:
    asked = {"max_tokens": 10, "temperature": 0, "model": "lm"}
    chat = await client.chat.completions.create(messages=HELLO, **asked)
    prompt = tokenizer.apply_chat_template(HELLO, tokenize=False, add_generation_prompt=True)
    plain = await client.completions.create(prompt=prompt, **asked)
    assert chat.choices[0].message.content == plain.choices[0].text
    assert chat.usage.prompt_tokens == len(tokenizer(prompt, add_special_tokens=False).input_ids)


async def test_token_ids_are_a_prompt(client: Any, tokenizer: Any) -> None:
    asked = {"max_tokens": 10, "temperature": 0, "model": "lm"}
    ids = tokenizer(PROMPT).input_ids
    answers = await client.completions.create(prompt=[ids, tokenizer("a dog").input_ids], **asked)
    texts = [(await client.completions.create(prompt=one, **asked)).choices[0].text for one in (PROMPT, "a dog")]
    assert [one.text for one in answers.choices] == texts


async def test_a_seed_means_the_same_whoever_else_is_answered(client: Any) -> None:
    async def ask(seed: int, n: int = 1) -> list[str]:
        answer = await client.completions.create(model="lm", prompt=PROMPT, max_tokens=20, seed=seed, n=n)
        return [one.text for one in answer.choices]

    alone = [await ask(seed) for seed in range(4)]
    together = await asyncio.gather(*(ask(seed) for seed in range(4)))
    assert alone == together
    assert len({text for [text] in alone}) == 4
    # The answers of one request are those of neighbouring seeds.
    assert await ask(0, 3) == [text for [text] in alone[:3]]


async def test_logprobs_are_the_models_own(client: Any, reference: Any, tokenizer: Any) -> None:
    ids = tokenizer(PROMPT).input_ids
    made = greedy(reference, tokenizer, PROMPT, 8)
    with torch.inference_mode():
        logprobs = reference(torch.tensor([ids + made])).logits[0].log_softmax(-1)
    wanted = [float(logprobs[len(ids) - 1 + at, token]) for at, token in enumerate(made)]
    # Penalties and temperature change what is chosen, not what is told.
    answer = await client.chat.completions.create(
        model="lm",
        messages=HELLO,
        max_tokens=3,
        temperature=0.7,
        presence_penalty=1.5,
        logprobs=True,
        top_logprobs=3,
    )
    content = answer.choices[0].logprobs.content
    assert [len(one.top_logprobs) for one in content] == [3] * len(content)
    assert all(one.top_logprobs[0].logprob >= one.logprob <= 0 for one in content)
    answer = await client.completions.create(model="lm", prompt=PROMPT, max_tokens=8, temperature=0, logprobs=2)
    told = answer.choices[0].logprobs
    assert told.token_logprobs == pytest.approx(wanted, abs=1e-3)
    assert [max(one.values()) for one in told.top_logprobs] == pytest.approx(wanted, abs=1e-3)
    assert len(told.tokens) == answer.usage.completion_tokens == 8


async def test_the_bytes_of_the_tokens_are_the_answers(client: Any) -> None:
    answer = await client.chat.completions.create(model="lm", messages=HELLO, max_tokens=30, seed=1, logprobs=True)
    data = b"".join(bytes(one.bytes) for one in answer.choices[0].logprobs.content)
    assert data.decode("utf-8", "replace") == answer.choices[0].message.content


async def test_echo_with_logprobs_scores_the_prompt(client: Any, reference: Any, tokenizer: Any) -> None:
    """As evaluation harnesses ask: no new token, only how likely the given ones are."""
    ids = tokenizer(PROMPT).input_ids
    with torch.inference_mode():
        logprobs = reference(torch.tensor([ids])).logits[0].log_softmax(-1)
    answer = await client.completions.create(model="lm", prompt=PROMPT, max_tokens=0, echo=True, logprobs=1)
    told = answer.choices[0].logprobs
    assert (answer.choices[0].text, answer.usage.completion_tokens) == (PROMPT, 0)
    assert told.token_logprobs[0] is None
    wanted = [float(logprobs[at, token]) for at, token in enumerate(ids[1:])]
    assert told.token_logprobs[1:] == pytest.approx(wanted, abs=1e-3)
    assert [PROMPT[at:].startswith(token) for at, token in zip(told.text_offset, told.tokens, strict=True)] == [
        True
    ] * len(ids)
    answer = await client.completions.create(model="lm", prompt=PROMPT, max_tokens=5, echo=True, temperature=0)
    assert answer.choices[0].text.startswith(PROMPT)


async def test_a_stop_text_is_found_across_tokens(client: Any, tokenizer: Any) -> None:
    full = (await client.completions.create(model="lm", prompt=PROMPT, max_tokens=40, seed=2)).choices[0].text
    stop = full[10:14]
    answer = await client.completions.create(
        model="lm", prompt=PROMPT, max_tokens=40, seed=2, stop=stop, logprobs=0, stream=True
    )
    parts = [part.choices[0] async for part in answer]
    text = "".join(part.text for part in parts)
    assert text == full[: full.index(stop)]
    assert [part.finish_reason for part in parts if part.finish_reason] == ["stop"]
    # Tokens that are wholly the stop's are not told of.
    offsets = [at for part in parts if part.logprobs for at in part.logprobs.text_offset]
    assert all(at < len(text) for at in offsets)


async def test_the_models_own_end_is_no_part_of_the_text_and_counts(client: Any) -> None:
    always = {"model": "lm", "prompt": PROMPT, "max_tokens": 10, "logit_bias": {"0": 100}}
    answer = await client.completions.create(**always)
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("", "stop")
    assert answer.usage.completion_tokens == 1
    longer = await client.completions.create(**always, extra_body={"min_tokens": 4})
    assert (longer.choices[0].finish_reason, longer.usage.completion_tokens) == ("stop", 5)
    on = await client.completions.create(**always, extra_body={"ignore_eos": True})
    assert (on.choices[0].finish_reason, on.usage.completion_tokens) == ("length", 10)


async def test_answers_of_one_request_end_each_when_it_does(client: Any) -> None:
    answer = await client.completions.create(model="lm", prompt=PROMPT, n=6, seed=1, logit_bias={"0": 4}, max_tokens=30)
    ends = {one.finish_reason for one in answer.choices}
    assert ends == {"stop", "length"} or len({len(one.text) for one in answer.choices}) > 1
    alone = await client.completions.create(model="lm", prompt=PROMPT, seed=4, logit_bias={"0": 4}, max_tokens=30)
    assert answer.choices[3].text == alone.choices[0].text


async def test_without_max_tokens_the_answer_fills_the_models_room(client: Any) -> None:
    answer = await client.completions.create(model="lm", prompt=PROMPT, seed=1, extra_body={"ignore_eos": True})
    assert answer.usage.total_tokens == 128


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"prompt": "dog " * 200}, "maximum context length is 128 tokens"),
        ({"prompt": PROMPT, "max_tokens": 128}, "128 in the completion"),
        ({"prompt": [1] * 128}, "128 in the prompt"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_does_not_fit_is_400(client: Any, asked: dict[str, Any], text: str, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError, match=text) as refused:
        await client.completions.create(model="lm", stream=stream, **asked)
    assert (refused.value.code, refused.value.param) == ("context_length_exceeded", "prompt")


async def test_what_a_template_refuses_is_400_with_its_words(folder: Path, lm: Any) -> None:
    model = built("strict", folder, chat_template="{{ raise_exception('only after lunch') }}")
    model.load()
    with pytest.raises(generator.InvalidRequest, match="only after lunch"):
        model.produce(_chat(), [].append)
    model = built("none", folder)
    model.load()
    model._loaded.tokenizer.chat_template = None
    with pytest.raises(generator.InvalidRequest, match="no chat template"):
        model.produce(_chat(), [].append)


def _chat() -> GenerationRequest:
    from mizzen.serve.generation.model import Chat, Message

    return GenerationRequest(prompt=Chat((Message("user", "x"),)))


async def test_a_token_that_is_none_is_400(client: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="not one of the model's 400"):
        await client.completions.create(model="lm", prompt=[5000])


async def test_an_encoder_and_decoder_answers_as_transformers_does(client: Any, translator: Path) -> None:
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(translator).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(translator)
    wanted = text_of(tokenizer, greedy(model, tokenizer, PROMPT, 20))
    answer = await client.completions.create(model="translator", prompt=PROMPT, max_tokens=20, temperature=0)
    assert answer.choices[0].text == wanted
    drawn = await client.completions.create(model="translator", prompt=PROMPT, max_tokens=20, seed=1, temperature=2)
    assert drawn.choices[0].text
    with pytest.raises(openai.BadRequestError, match="does not support echo"):
        await client.completions.create(model="translator", prompt=PROMPT, echo=True)


async def test_a_generation_ends_within_three_tokens_of_a_disconnect(
    client: Any, lm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = after = 0
    real = generator.Steps.__call__

    def counted(self: generator.Steps, ids: Any, scores: Any) -> Any:
        nonlocal steps, after
        steps += 1
        after += self._request.signal.cancelled
        return real(self, ids, scores)

    monkeypatch.setattr(generator.Steps, "__call__", counted)
    stream = await client.completions.create(
        model="lm", prompt=PROMPT, stream=True, extra_body={"ignore_eos": True}, n=8
    )
    await anext(aiter(stream))
    await stream.close()
    async with asyncio.timeout(20):
        while lm_is_busy(lm):
            await asyncio.sleep(0.005)
    assert after <= 3
    assert steps < 124


def lm_is_busy(lm: Any) -> bool:
    import threading

    return any(thread.name == "model lm" and _generating(thread) for thread in threading.enumerate())


def _generating(thread: Any) -> bool:
    import sys
    import traceback

    frame = sys._current_frames().get(thread.ident)
    return any("generator.py" in one.filename for one in traceback.extract_stack(frame)) if frame else False


async def test_eight_clients_and_every_answer_is_its_own(client: Any, reference: Any, tokenizer: Any) -> None:
    prompts = [f"{at} jumps over" for at in range(8)]
    answers = await asyncio.gather(
        *(client.completions.create(model="lm", prompt=one, max_tokens=15, temperature=0) for one in prompts)
    )
    for prompt, answer in zip(prompts, answers, strict=True):
        assert answer.choices[0].text == text_of(tokenizer, greedy(reference, tokenizer, prompt, 15))


def test_what_the_folder_says_of_sampling_is_the_default(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "m")
    (tmp_path / "m" / "generation_config.json").write_text(json.dumps({"temperature": 0.0, "eos_token_id": [0, 7]}))
    model = built("m", tmp_path / "m")
    model.load()
    texts = []
    for _ in range(2):
        chunks: list[Chunk] = []
        model.produce(GenerationRequest(prompt=PROMPT, max_tokens=10), chunks.append)
        texts.append("".join(chunk.text for chunk in chunks))
    assert texts[0] == texts[1]
    chunks = []
    model.produce(GenerationRequest(prompt=PROMPT, sampling=Sampling(logit_bias={7: 100.0})), chunks.append)
    assert [chunk.finish for chunk in chunks] == ["stop"]


def spoiled(folder: Path, tmp_path: Path, file: str, content: bytes | None) -> Path:
    target = tmp_path / "model"
    shutil.copytree(folder, target)
    if content is None:
        (target / file).unlink()
    else:
        (target / file).write_bytes(content)
    return target


@pytest.mark.parametrize(
    ("file", "content", "settings", "text"),
    [
        ("config.json", None, {}, "has no config.json"),
        ("config.json", b"{", {}, "is no JSON"),
        ("config.json", b"[]", {}, "no JSON object"),
        ("config.json", b"{}", {}, "names no architecture"),
        ("config.json", b'{"architectures": ["SamPredictor"]}', {}, "what SamPredictor is for is not known"),
        ("model.safetensors", None, {}, "cannot be loaded for text_generation"),
        ("model.safetensors", b"rubbish", {}, "cannot be loaded for text_generation"),
        ("tokenizer.json", b"rubbish", {}, "tokenizer"),
        ("extra", b"", {"task": "sequence_classification"}, "no weights for score.weight"),
        ("extra", b"", {"max_model_len": 4096}, "more than the 128 tokens"),
        ("extra", b"", {"max_model_len": "many"}, "not a number of tokens"),
        ("extra", b"", {"task": "painting"}, "'painting' is not supported"),
        ("extra", b"", {"dtype": "int3"}, "'int3' is not supported"),
        ("extra", b"", {"trust_remote_code": "perhaps"}, "neither true nor false"),
        ("extra", b"", {"chat_template": "/no/such/file"}, "chat template /no/such/file cannot be read"),
        ("extra", b"", {"return_probabilities": True, "return_raw_logits": "yes"}, "only one of them"),
    ],
)
def test_what_cannot_be_loaded_is_said(
    folder: Path, tmp_path: Path, file: str, content: bytes | None, settings: dict[str, Any], text: str
) -> None:
    target = spoiled(folder, tmp_path, file, content)
    with pytest.raises(LoadError, match=text):
        built("m", target, **settings).load()


def test_settings_are_those_of_the_command_line(folder: Path) -> None:
    model = built("m", folder, max_length="64", dtype="half")
    model.load()
    assert (model._loaded.length, model._loaded.model.dtype) == (64, torch.float16)
    given = Settings.read({"--max_model_len": 4096, "tensor-input-names": "a, b"}, {"ALLOW_LONG_MAX_MODEL_LEN": "1"})
    assert (given.max_model_len, given.allow_longer, given.tensor_input_names) == (4096, True, ("a", "b"))


def test_vllm_is_started_with_what_it_needs(folder: Path) -> None:
    spec = ModelSpec(name="m", directory=folder)
    words = vllm.command(spec, Settings(dtype="bfloat16", max_model_len=64, trust_remote_code=True))
    assert words[1:5] == ["-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)]
    assert words[words.index("--served-model-name") + 1] == "m"
    assert words[words.index("--port") + 1] == "{port}"
    assert words[-5:] == ["--dtype", "bfloat16", "--max-model-len", "64", "--trust-remote-code"]


def test_vllm_that_is_not_installed_is_said_so(folder: Path) -> None:
    import importlib.util

    if importlib.util.find_spec("vllm") is not None:
        pytest.skip("vllm is installed")
    with pytest.raises(LoadError, match="vllm is not installed"):
        built("m", folder, backend="vllm")


async def test_in_a_process_of_its_own_it_answers_the_same(client: Any, folder: Path, translator: Path) -> None:
    repository = Repository()
    for name, place in (("lm", folder), ("translator", translator)):
        repository.load(isolated(ModelSpec(name=name, directory=place, isolation="process")))
    server = ModelServer(repository)
    [(_, port)] = await server.listen("127.0.0.1", 0)
    async with openai.AsyncOpenAI(
        base_url=f"http://127.0.0.1:{port}/openai/v1", api_key="none", max_retries=0, timeout=60
    ) as there:
        for ask in (
            lambda one: one.completions.create(
                model="lm", prompt=PROMPT, max_tokens=12, temperature=0, logprobs=2, echo=True, n=2
            ),
            lambda one: one.completions.create(model="lm", prompt=PROMPT, max_tokens=30, seed=7, stop=["e"]),
            lambda one: one.completions.create(model="translator", prompt=[3, 4, 5], max_tokens=9, seed=7),
            lambda one: one.chat.completions.create(
                model="lm", messages=HELLO, max_tokens=9, seed=3, logprobs=True, top_logprobs=2
            ),
        ):
            here, over = await ask(client), await ask(there)
            assert over.choices == here.choices and over.usage == here.usage
        stream = await there.completions.create(model="lm", prompt=PROMPT, max_tokens=5, seed=1, stream=True)
        assert len([part async for part in stream]) > 2
        with pytest.raises(openai.BadRequestError) as caught:
            await there.completions.create(model="lm", prompt=PROMPT, max_tokens=10_000)
        assert caught.value.code == "context_length_exceeded"
    await server.drain(5, 0)
    for served in repository:
        await asyncio.to_thread(served.model.unload)
