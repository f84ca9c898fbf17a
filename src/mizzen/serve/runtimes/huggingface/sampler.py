"""Choosing a token by its logits, as OpenAI defines the parameters.

Penalties and biases change logits; temperature sharpens; top-k, top-p and min-p leave out the unlikely. Chance comes
from a generator of the request's own, so that a seed means the same whoever else is being answered. Log-probabilities
are the model's own, from before all of this.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from typing import Any

import torch

from mizzen.serve.generation.model import Sampling

# A nucleus is nearly always within so many tokens; sorting a vocabulary of 150,000 takes longer than a small model.
_LIKELY = 1024

# What OpenAI writes for a token that cannot be.
NEVER = -9999.0


class Sampler:
    """The choices of one answer.

    Args:
        defaults: the model's own values, for those that the request leaves out.
        prompt: its token ids, which the repetition penalty counts too.
        offset: added to the seed, so that the answers to one prompt differ.
    """

    def __init__(
        self, sampling: Sampling, defaults: dict[str, float], prompt: Collection[int], device: Any, offset: int = 0
    ) -> None:
        def value(name: str, otherwise: float) -> float:
            given = getattr(sampling, name)
            return float(defaults.get(name, otherwise) if given is None else given)

        self._temperature = value("temperature", 1.0)
        self._top_p = value("top_p", 1.0)
        self._top_k = int(value("top_k", 0))
        self._min_p = value("min_p", 0.0)
        self._repetition = value("repetition_penalty", 1.0)
        self._presence = sampling.presence_penalty
        self._frequency = sampling.frequency_penalty
        self._bias = sampling.logit_bias
        self._prompt = frozenset(prompt) if self._repetition != 1.0 else frozenset()
        self._counts: Counter[int] = Counter()
        self._generator: Any = None
        if self._temperature > 0:
            self._generator = torch.Generator(device)
            if sampling.seed is None:
                self._generator.seed()
            else:
                self._generator.manual_seed((sampling.seed + offset) % 2**63)

    def pick(self, logits: torch.Tensor, forbidden: Collection[int] = ()) -> int:
        """The next token.

        Args:
            logits: float32, one for each token of the vocabulary; they may be changed.
            forbidden: tokens that it may not be.
        """
        self._adjust(logits)
        if forbidden:
            logits[[token for token in forbidden if token < len(logits)]] = -math.inf
        token = int(logits.argmax()) if self._temperature <= 0 else self._draw(logits / self._temperature)
        self._counts[token] += 1
        return token

    def _adjust(self, logits: torch.Tensor) -> None:
        size = len(logits)
        if self._repetition != 1.0:
            seen = [token for token in self._prompt | self._counts.keys() if token < size]
            some = logits[seen]
            logits[seen] = torch.where(some > 0, some / self._repetition, some * self._repetition)
        if self._counts and (self._presence or self._frequency):
            tokens = list(self._counts)
            times = torch.tensor([self._counts[token] for token in tokens], device=logits.device)
            logits[tokens] -= self._presence + self._frequency * times
        for token, bias in self._bias.items():
            if token < size:
                logits[token] += bias

    def _draw(self, logits: torch.Tensor) -> int:
        if 0 < self._top_k < len(logits):
            values, tokens = logits.topk(self._top_k)
            return int(tokens[self._chosen(values.softmax(-1))])
        probabilities = logits.softmax(-1)
        if self._top_p >= 1 and self._min_p <= 0:
            return int(torch.multinomial(probabilities, 1, generator=self._generator))
        likely, tokens = probabilities.topk(min(_LIKELY, len(probabilities)))
        if likely.sum() < self._top_p or likely[-1] >= self._min_p * likely[0]:
            likely, tokens = probabilities.sort(descending=True)
        return int(tokens[self._chosen(likely)])

    def _chosen(self, probabilities: torch.Tensor) -> int:
        """An index into probabilities that fall, which need not add up to 1."""
        kept = probabilities
        if self._min_p > 0:
            kept = kept.where(kept >= self._min_p * kept[0], 0.0)
        if self._top_p < 1:
            # The token that crosses the line belongs to the nucleus.
            kept = kept.where(probabilities.cumsum(-1) - probabilities < self._top_p, 0.0)
        return int(torch.multinomial(kept, 1, generator=self._generator))


def likeliest(logprobs: torch.Tensor, count: int) -> list[tuple[int, float]]:
    """The tokens with the highest log-probabilities, and those."""
    values, tokens = logprobs.topk(min(count, len(logprobs)))
    return [(token, max(value, NEVER)) for token, value in zip(tokens.tolist(), values.tolist(), strict=True)]
