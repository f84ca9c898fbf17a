"""What a request may say: heeded, taken as it is so anyway, or refused by name. Never passed over."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.serve.errors import InvalidInput
from mizzen.serve.generation.model import Chat, Sampling
from mizzen.serve.protocols.openai import parameters
from serve.openai.conftest import Running, Start
from serve.openai.scripted import Echo, Script

USER = {"role": "user", "content": "hello"}


@pytest.fixture
async def server(running: Start) -> Running:
    return await running(Script(), Echo("echo"))


def wrong(name: str, value: Any, code: str | None, text: str, param: str | None = None) -> Any:
    return pytest.param(name, value, code, text, param or name, id=f"{name}={str(value)[:30]}")


BOTH = [
    wrong("temperature", "hot", "invalid_type", "expected float | null, got str"),
    wrong("temperature", 2.5, "invalid_value", "<= 2"),
    wrong("temperature", -1, "invalid_value", ">= 0"),
    wrong("top_p", 0, "invalid_value", "> 0"),
    wrong("top_p", 1.1, "invalid_value", "<= 1"),
    wrong("n", 0, "invalid_value", ">= 1"),
    wrong("n", 1000, "invalid_value", "<= 128"),
    wrong("n", 1.5, "invalid_type", "expected int"),
    wrong("max_tokens", -1, "invalid_value", ">= 0"),
    wrong("presence_penalty", 3, "invalid_value", "<= 2"),
    wrong("frequency_penalty", -3, "invalid_value", ">= -2"),
    wrong("stop", "", "invalid_value", "empty"),
    wrong("stop", ["a", ""], "invalid_value", "empty"),
    wrong("stop", ["a"] * 17, "invalid_value", "more than 16"),
    wrong("stop", 5, "invalid_type", "expected"),
    wrong("stream", "yes", "invalid_type", "expected bool"),
    wrong("stream_options", {"include_usage": True}, None, "stream: true"),
    wrong("stream_options", {"other": 1}, "unknown_parameter", "other", "stream_options.other"),
    wrong("logit_bias", {"one": 5}, "invalid_value", "no token id"),
    wrong("logit_bias", {"٣": 5}, "invalid_value", "no token id"),
    wrong("logit_bias", {"9" * 5000: 5}, "invalid_value", "no token id"),
    wrong("logit_bias", {"1": 500}, "invalid_value", "<= 100", "logit_bias[...]"),
    wrong("seed", "x", "invalid_type", "expected int"),
    wrong("seed", 2**70, "invalid_value", "seed"),
    wrong("store", True, "unsupported_parameter", "not supported"),
    wrong("store", 0, "unsupported_parameter", "not supported"),
    wrong("timeout", 1e10, "invalid_value", "<= 1000000000"),
    wrong("service_tier", "flex", "unsupported_parameter", "not supported"),
    wrong("anything_else", 1, "unknown_parameter", "Unrecognized request argument supplied: anything_else"),
]
COMPLETIONS = [
    wrong("suffix", "after", "unsupported_parameter", "not supported"),
    wrong("best_of", 3, "unsupported_parameter", "not supported"),
    wrong("logprobs", 21, "invalid_value", "<= 20"),
    wrong("prompt", None, "missing_required_parameter", "missing"),
    wrong("prompt", [], "invalid_type", "not empty"),
    wrong("prompt", 5, "invalid_type", "a text, token ids"),
    wrong("prompt", ["a", 5], "invalid_type", "neither", "prompt[1]"),
    wrong("prompt", [[]], "invalid_type", "neither", "prompt[0]"),
    wrong("prompt", [[-1]], "invalid_type", "neither", "prompt[0]"),
    wrong("prompt", [True], "invalid_type", "neither", "prompt[0]"),
    wrong("prompt", ["x"] * 3000, "invalid_value", "at most 2048"),
]
CHAT = [
    wrong("tools", [{"type": "function"}], "unsupported_parameter", "not supported"),
    wrong("tool_choice", "auto", "unsupported_parameter", "not supported"),
    wrong("functions", [{"name": "f"}], "unsupported_parameter", "not supported"),
    wrong("response_format", {"type": "json_object"}, "unsupported_parameter", "not supported"),
    wrong("modalities", ["audio"], "unsupported_parameter", "not supported"),
    wrong("reasoning_effort", "low", "unsupported_parameter", "not supported"),
    wrong("top_logprobs", 2, None, "logprobs: true"),
    wrong("messages", None, "missing_required_parameter", "missing"),
    wrong("messages", [], "invalid_value", "empty"),
    wrong("messages", ["hi"], "invalid_type", "no object", "messages[0]"),
    wrong("messages", [{"role": "king", "content": "x"}], "invalid_value", "'king'", "messages[0].role"),
    wrong("messages", [{"role": "tool", "content": "x"}], "invalid_value", "'tool'", "messages[0].role"),
    wrong("messages", [{"role": "user"}], "invalid_type", "neither a text", "messages[0].content"),
    wrong("messages", [{**USER, "tool_calls": [1]}], "unsupported_parameter", "not", "messages[0].tool_calls"),
    wrong(
        "messages",
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
        "unsupported_parameter",
        "'image_url'",
        "messages[0].content[0]",
    ),
]


async def _refused(server: Running, path: str, body: dict[str, Any], code: str | None, text: str, param: str) -> None:
    answer = await server.ask(path, body)
    error = answer.error
    assert (answer.status, error["type"], error["code"]) == (400, "invalid_request_error", code), error
    assert error["param"] == param
    assert text in error["message"]


@pytest.mark.parametrize(("name", "value", "code", "text", "param"), BOTH + COMPLETIONS)
async def test_what_a_completion_refuses(
    server: Running, name: str, value: Any, code: str | None, text: str, param: str
) -> None:
    await _refused(server, "completions", {"model": "script", "prompt": "x", name: value}, code, text, param)


@pytest.mark.parametrize(("name", "value", "code", "text", "param"), BOTH + CHAT)
async def test_what_a_chat_refuses(
    server: Running, name: str, value: Any, code: str | None, text: str, param: str
) -> None:
    await _refused(server, "chat/completions", {"model": "script", "messages": [USER], name: value}, code, text, param)


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("completions", {"best_of": 1, "suffix": None, "user": "me", "logprobs": None, "stop": None}),
        ("completions", {"store": False, "metadata": {"a": "b"}, "service_tier": "auto"}),
        ("chat/completions", {"tools": None, "tool_choice": "none", "parallel_tool_calls": True}),
        ("chat/completions", {"response_format": {"type": "text"}, "modalities": ["text"], "logprobs": False}),
        ("chat/completions", {"safety_identifier": "x", "prompt_cache_key": "y", "temperature": None, "n": None}),
        ("chat/completions", {"messages": [{**USER, "tool_calls": None, "refusal": None, "name": "Ann"}]}),
    ],
)
async def test_what_asks_for_what_is_so_anyway_is_taken(server: Running, path: str, more: dict[str, Any]) -> None:
    body = {"model": "script", **({"prompt": "x"} if path == "completions" else {"messages": [USER]}), **more}
    assert (await server.ask(path, body)).status == 200


async def test_what_reaches_the_model(running: Start) -> None:
    model = Script()
    server = await running(model)
    await server.client().chat.completions.create(
        model="script",
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Hello"}, {"type": "text", "text": "there"}]},
        ],
        temperature=0.5,
        top_p=0.9,
        presence_penalty=1,
        frequency_penalty=-1,
        logit_bias={"7": -100},
        seed=3,
        stop="END",
        max_tokens=9,
        max_completion_tokens=8,
        logprobs=True,
        top_logprobs=4,
        extra_body={
            "top_k": -1,
            "min_p": 0.1,
            "repetition_penalty": 1.2,
            "min_tokens": 2,
            "ignore_eos": True,
            "stop_token_ids": [5],
            "chat_template_kwargs": {"style": "short"},
        },
    )
    [seen] = model.seen
    assert isinstance(seen.prompt, Chat)
    assert [(one.role, one.content) for one in seen.prompt.messages] == [
        ("developer", "Be brief."),
        ("user", "Hello\nthere"),
    ]
    assert seen.prompt.options == {"style": "short"}
    assert seen.sampling == Sampling(0.5, 0.9, 0, 0.1, 1.0, -1.0, 1.2, {7: -100.0}, 3)
    assert (seen.max_tokens, seen.min_tokens, seen.stop, seen.stop_tokens) == (8, 2, ("END",), (5,))
    assert (seen.logprobs, seen.ignore_eos) == (4, True)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": 1}, "logprobs"),
        ({"echo": True}, "echo"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"temperature": 0.5}, "temperature"),
        ({"seed": 5}, "seed"),
        ({"min_tokens": 5}, "min_tokens"),
    ],
)
async def test_what_a_model_does_not_heed_is_refused_for_it(server: Running, more: dict[str, Any], param: str) -> None:
    body = {"model": "echo", "prompt": "x", **more}
    await _refused(server, "completions", body, "unsupported_parameter", "Model echo does not support", param)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
names = st.sampled_from(
    sorted(
        {
            *parameters.CompletionFields.__struct_fields__,
            *parameters.ChatFields.__struct_fields__,
            *parameters.EmbeddingFields.__struct_fields__,
            *parameters.RerankFields.__struct_fields__,
            "tools",
            "response_format",
        }
    )
)
BASE: dict[str, Any] = {"model": "m", "prompt": "x", "messages": [USER], "input": "x", "query": "x", "documents": ["y"]}


@given(st.dictionaries(names, json_values, max_size=4), st.sampled_from(["completion", "chat", "embedding", "rerank"]))
def test_whatever_a_body_says_is_taken_or_refused_and_never_breaks(more: dict[str, Any], kind: str) -> None:
    known = {"completion": "prompt", "chat": "messages", "embedding": "input", "rerank": "query documents"}[kind]
    fields = {name: value for name, value in BASE.items() if name == "model" or name in known.split()}
    fields.update((name, value) for name, value in more.items() if value is not None)
    try:
        parameters.model(fields)
        asked = getattr(parameters, kind)(fields)
        asked.requests() if hasattr(asked, "requests") else asked.texts()
    except InvalidInput as error:
        assert str(error)


@given(st.binary(max_size=50))
def test_any_bytes_at_all_are_read_or_refused(body: bytes) -> None:
    try:
        parameters.read(body)
    except InvalidInput as error:
        assert str(error)
