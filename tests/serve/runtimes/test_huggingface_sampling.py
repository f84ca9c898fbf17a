"""Choosing tokens: each parameter does what OpenAI says it does."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed")

import torch

from mizzen.serve.generation.model import Sampling
from mizzen.serve.runtimes.huggingface.sampler import Sampler, likeliest

LOGITS = [2.0, 1.0, 0.0, -1.0, 1.5]


def sampler(
    prompt: tuple[int, ...] = (), defaults: dict[str, float] | None = None, offset: int = 0, **given: Any
) -> Any:
    return Sampler(Sampling(**given), defaults or {}, prompt, torch.device("cpu"), offset)


def draws(made: Sampler, times: int = 400, logits: list[float] = LOGITS) -> list[int]:
    """Independent draws: what was drawn is forgotten again."""
    drawn = []
    for _ in range(times):
        drawn.append(made.pick(torch.tensor(logits)))
        made._counts.clear()
    return drawn


def test_without_temperature_the_likeliest_is_taken() -> None:
    assert set(draws(sampler(temperature=0), 20)) == {0}


def test_chances_are_the_models() -> None:
    counts = Counter(draws(sampler(seed=1), 4000))
    wanted = torch.tensor(LOGITS).softmax(-1).tolist()
    for token, share in enumerate(wanted):
        assert abs(counts[token] / 4000 - share) < 0.04


def test_a_low_temperature_sharpens() -> None:
    counts = Counter(draws(sampler(seed=1, temperature=0.2)))
    assert counts[0] > 340


@pytest.mark.parametrize(
    ("given", "possible"),
    [
        ({"top_k": 1}, {0}),
        ({"top_k": 2}, {0, 4}),
        ({"top_k": 0}, {0, 1, 2, 3, 4}),
        ({"top_p": 0.01}, {0}),
        # 0.45, 0.27 and 0.17 are the first three: the third crosses 0.8.
        ({"top_p": 0.8}, {0, 4, 1}),
        ({"min_p": 0.5}, {0, 4}),
        ({"top_k": 3, "top_p": 0.6}, {0, 4}),
        ({"logit_bias": {3: 100.0}}, {3}),
        ({"logit_bias": {0: -100.0, 4: -100.0, 99: 5.0}}, {1, 2, 3}),
    ],
)
def test_what_is_possible(given: dict[str, Any], possible: set[int]) -> None:
    assert set(draws(sampler(seed=1, **given), 1500)) == possible


def test_a_nucleus_in_a_large_vocabulary_is_the_same_as_by_sorting() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5000, generator=generator)
    for top_p in (0.05, 0.5, 0.99):
        values, tokens = logits.softmax(-1).sort(descending=True)
        nucleus = set(tokens[values.cumsum(-1) - values < top_p].tolist())
        made = sampler(seed=1, top_p=top_p)
        assert set(draws(made, 200, logits.tolist())) <= nucleus


def test_a_seed_gives_the_same_tokens_and_another_gives_others() -> None:
    one, same, other = (draws(sampler(seed=seed), 50) for seed in (5, 5, 6))
    assert one == same != other
    assert draws(sampler(seed=5, offset=1), 50) == other
    assert draws(sampler(), 50) != draws(sampler(), 50)


def test_penalties_grow_with_presence_and_frequency() -> None:
    made = sampler(temperature=0, presence_penalty=0.3, frequency_penalty=0.4)
    # A first mention costs 0.7, each further one 0.4: 0 falls from 2 to 1.3, 0.9 and 0.5, 4 from 1.5 to 0.8.
    assert [made.pick(torch.tensor(LOGITS)) for _ in range(6)] == [0, 4, 0, 1, 0, 4]


def test_a_repetition_penalty_counts_the_prompt_and_works_on_both_signs() -> None:
    made = sampler((0,), temperature=0, repetition_penalty=2.0)
    logits = torch.tensor(LOGITS)
    assert made.pick(logits) == 4
    assert logits[0] == 1.0
    made = sampler((0, 1), temperature=0, repetition_penalty=2.0)
    logits = torch.tensor([-1.0, -0.5])
    assert made.pick(logits) == 1
    assert logits.tolist() == [-2.0, -1.0]


def test_the_models_own_values_are_for_what_a_request_leaves_out() -> None:
    assert set(draws(sampler(seed=1, defaults={"top_k": 1.0}))) == {0}
    assert set(draws(sampler(seed=1, defaults={"temperature": 0.0}))) == {0}
    assert len(set(draws(sampler(seed=1, top_k=0, defaults={"top_k": 1.0})))) == 5


def test_forbidden_tokens_are_not_taken() -> None:
    assert sampler(temperature=0).pick(torch.tensor(LOGITS), {0, 4, 77}) == 1


def test_the_likeliest_and_their_logarithms() -> None:
    logprobs = torch.tensor([0.0, float("-inf"), -1.0])
    assert likeliest(logprobs, 5) == [(0, 0.0), (2, -1.0), (1, -9999.0)]
