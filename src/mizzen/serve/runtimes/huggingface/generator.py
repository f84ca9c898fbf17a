"""Text generation with transformers, token by token.

The library's own ``generate`` runs the model, because how a step is prepared differs with every architecture (caches,
masks, encoders). Everything else happens between two steps, in a processor of its logits: there the token is chosen,
written, and it is seen whether anybody still wants the next one. The processor leaves ``generate`` with an exception
when all answers are complete.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mizzen.serve.generation.model import (
    ECHO,
    FEATURES,
    Alternative,
    Chat,
    Chunk,
    GenerationRequest,
    GenerativeModel,
    InvalidRequest,
    Token,
    Usage,
)
from mizzen.serve.runtimes.huggingface.detokenizer import Detokenizer
from mizzen.serve.runtimes.huggingface.loading import Loaded, load
from mizzen.serve.runtimes.huggingface.prompts import Prompts
from mizzen.serve.runtimes.huggingface.settings import Settings
from mizzen.serve.runtimes.huggingface.vocabulary import Vocabulary
from mizzen.serve.runtimes.huggingface.writer import Writer

if TYPE_CHECKING:
    import torch

    from mizzen.serve.runtimes.huggingface.sampler import Sampler

# What a folder's generation_config.json may say of sampling; the rest of it is not a request's.
_DEFAULTS = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")


class HuggingFaceGenerator(GenerativeModel):
    """A causal language model, or one of encoder and decoder.

    Args:
        directory: holds the model and its tokenizer.
        task: ``text_generation`` or ``text2text_generation``.
    """

    stops = True

    def __init__(self, name: str, directory: Path, task: str, settings: Settings, version: str | None = None) -> None:
        super().__init__(name, version)
        self.platform = "huggingface"
        self.features = FEATURES if task == "text_generation" else FEATURES - {ECHO}
        self._directory = directory
        self._task = task
        self._settings = settings
        self._defaults: dict[str, float] = {}
        self._ends: frozenset[int] = frozenset()

    def load(self) -> None:
        self._loaded: Loaded = load(self._directory, self._task, self._settings)
        model, tokenizer = self._loaded.model, self._loaded.tokenizer
        self._vocabulary = Vocabulary(tokenizer)
        size = model.get_input_embeddings().weight.shape[0]
        self._prompts = Prompts(
            tokenizer, size, not self._settings.disable_special_tokens, self._settings.chat_template
        )
        self._defaults = _defaults(self._directory)
        self._ends = _ends(model, tokenizer)
        # What a request's configuration leaves out, the library takes from the model's.
        model.generation_config = self._config = _plain(model.generation_config, min(self._ends, default=0))

    def unload(self) -> None:
        del self._loaded

    def produce(self, request: GenerationRequest, emit: Callable[[Chunk], None]) -> None:
        import torch
        from transformers import LogitsProcessorList

        prompt = self._prompts.tokens(request.prompt)
        most = self._room(prompt, request)
        with torch.inference_mode():
            steps = self._steps(request, prompt, most, emit)
            if request.echo:
                self._echo(request, prompt, emit)
            if not most:
                steps.end_all()
                return
            ids = torch.tensor([prompt] * request.n, device=self._loaded.device)
            config = copy.copy(self._config)
            config.max_new_tokens = most
            try:
                self._loaded.model.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    generation_config=config,
                    logits_processor=LogitsProcessorList([steps]),
                )
            except Complete:
                return
            steps.end_all()

    def _room(self, prompt: list[int], request: GenerationRequest) -> int:
        """How many tokens an answer may have.

        Raises:
            InvalidRequest: prompt and answer are more than the model takes.
        """
        length = self._loaded.length
        what = "messages" if isinstance(request.prompt, Chat) else "prompt"
        # An encoder has the prompt for itself.
        left = length - len(prompt) if self._task == "text_generation" else length
        most = left if request.max_tokens is None else request.max_tokens
        fits = len(prompt) <= length and most <= left and (most > 0 or request.max_tokens == 0)
        if not fits:
            asked = f"{len(prompt)} in the {what}"
            if request.max_tokens is not None:
                asked += f", {most} in the completion"
            raise InvalidRequest(
                f"This model's maximum context length is {length} tokens. However, you requested "
                f"{len(prompt) + max(most, 0)} tokens ({asked}). Please reduce the length of the {what} or completion.",
                what,
                "context_length_exceeded",
            )
        return most

    def _steps(self, request: GenerationRequest, prompt: list[int], most: int, emit: Callable[[Chunk], None]) -> Steps:
        from mizzen.serve.runtimes.huggingface.sampler import Sampler

        device = self._loaded.device
        context = prompt if self._task == "text_generation" else []
        writers = [Writer(index, Detokenizer(self._decode, context), request.stop) for index in range(request.n)]
        samplers = [Sampler(request.sampling, self._defaults, prompt, device, index) for index in range(request.n)]
        ends = frozenset(request.stop_tokens) | (frozenset() if request.ignore_eos else self._ends)
        return Steps(request, len(prompt), most, writers, samplers, ends, self._vocabulary, emit)

    def _decode(self, tokens: list[int]) -> str:
        return str(self._loaded.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _echo(self, request: GenerationRequest, prompt: list[int], emit: Callable[[Chunk], None]) -> None:
        """The prompt, as the beginning of each answer."""
        text = request.prompt if isinstance(request.prompt, str) else self._decode(prompt)
        tokens: Sequence[Token] = ()
        if request.logprobs is not None:
            import torch

            ids = torch.tensor([prompt], device=self._loaded.device)
            logits = self._loaded.model(input_ids=ids).logits[0]
            first = Token(*self._vocabulary.read(prompt[0]), None)
            rest = (
                told(self._vocabulary, token, logits[at].float().log_softmax(-1), request.logprobs)
                for at, token in enumerate(prompt[1:])
            )
            tokens = [first, *rest]
        for index in range(request.n):
            emit(Chunk(text, index, tokens))


class Complete(Exception):
    """All answers are."""


class Steps:
    """What happens between two steps of the model: a processor of logits, as transformers calls it.

    Args:
        length: of the prompt, in tokens.
        most: tokens of an answer.
        ends: tokens that end one.
    """

    def __init__(
        self,
        request: GenerationRequest,
        length: int,
        most: int,
        writers: list[Writer],
        samplers: list[Sampler],
        ends: frozenset[int],
        vocabulary: Vocabulary,
        emit: Callable[[Chunk], None],
    ) -> None:
        self._request = request
        self._length = length
        self._most = most
        self._writers = writers
        self._samplers = samplers
        self._ends = ends
        self._vocabulary = vocabulary
        self._emit = emit

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Choose a token for each answer that is not complete; all others are left without one.

        Raises:
            Complete
            Cancelled, DeadlineExceeded: nobody wants more.
        """
        self._request.signal.check()
        chosen = [self._step(writer, scores[at]) for at, writer in enumerate(self._writers)]
        if all(writer.finished for writer in self._writers):
            raise Complete
        # ``generate`` takes the likeliest: nothing else is left.
        scores.fill_(-math.inf)
        scores[range(len(chosen)), chosen] = 0.0
        return scores

    def end_all(self) -> None:
        """End what has not ended: there is no room for more."""
        for writer in self._writers:
            if not writer.finished:
                self._send(writer.end("length", counted=False))

    def _step(self, writer: Writer, logits: torch.Tensor) -> int:
        if writer.finished:
            return 0
        request = self._request
        logprobs = logits.log_softmax(-1) if request.logprobs is not None else None
        early = writer.count < request.min_tokens
        token = self._samplers[writer.index].pick(logits, self._ends if early else ())
        if token in self._ends:
            self._send(writer.end("stop", counted=True))
            return token
        one = None
        if logprobs is not None and request.logprobs is not None:
            one = told(self._vocabulary, token, logprobs, request.logprobs)
        chunk = writer.add(token, one)
        if not writer.finished and writer.count >= self._most:
            last = writer.end("length", counted=False)
            chunk.text += last.text
            chunk.tokens = [*chunk.tokens, *last.tokens]
            chunk.finish = last.finish
        self._send(chunk)
        return token

    def _send(self, chunk: Chunk) -> None:
        if all(writer.finished for writer in self._writers):
            chunk.usage = Usage(self._length, sum(writer.count for writer in self._writers))
        self._emit(chunk)


def told(vocabulary: Vocabulary, token: int, logprobs: torch.Tensor, count: int) -> Token:
    """A token with its log-probability, and the ``count`` likeliest at its place."""
    from mizzen.serve.runtimes.huggingface.sampler import NEVER, likeliest

    top = tuple(Alternative(*vocabulary.read(one), value) for one, value in likeliest(logprobs, count)) if count else ()
    return Token(*vocabulary.read(token), max(float(logprobs[token]), NEVER), top)


def _defaults(directory: Path) -> dict[str, float]:
    """The model's own sampling, where its author wrote any down."""
    try:
        config = json.loads((directory / "generation_config.json").read_bytes())
    except (OSError, ValueError):
        return {}
    if not isinstance(config, dict):
        return {}
    return {
        name: float(value)
        for name in _DEFAULTS
        if isinstance(value := config.get(name), int | float) and not isinstance(value, bool)
    }


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end an answer by the model's own will."""
    found: set[int] = set()
    for value in (model.generation_config.eos_token_id, model.config.eos_token_id, tokenizer.eos_token_id):
        found.update(value if isinstance(value, list | tuple) else [value] if value is not None else [])
        if found:
            break
    return frozenset(found)


def _plain(config: Any, pad: int) -> Any:
    """The model's way to generate, less what is decided here: greedy, one beam, no end of its own."""
    config = copy.deepcopy(config)
    config.update(
        do_sample=False,
        num_beams=1,
        num_return_sequences=1,
        eos_token_id=None,
        max_length=None,
        min_length=0,
        min_new_tokens=None,
        temperature=None,
        top_p=None,
        top_k=None,
        min_p=None,
        repetition_penalty=None,
        use_cache=True,
        return_dict_in_generate=False,
        output_scores=False,
        output_logits=False,
    )
    if config.pad_token_id is None:
        config.pad_token_id = pad
    return config
