"""The second call shape: from a prompt to chunks, one after the other, for as long as somebody wants them.

A :class:`GenerativeModel` has one method, :meth:`~GenerativeModel.generate`, written as an asynchronous generator or as
a plain one; the latter runs on a thread. How many run at once, who waits, and how chunks get from the thread to whoever
sends them is :mod:`mizzen.serve.generation.lane`'s. Models that turn texts into vectors or scores are no generators:
:class:`Encoder` is a tensor model that the same protocol finds by its methods.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from msgspec import Struct, field

from mizzen.serve.errors import DeadlineExceeded, InferenceError, InvalidInput
from mizzen.serve.model import Array, Options, Servable, Tensor, TensorModel

if TYPE_CHECKING:
    from mizzen.serve.generation.lane import GenerationLane
    from mizzen.serve.lanes.scheduling import Scheduling
    from mizzen.serve.observing.metrics import ModelMetrics

# What a generative model may or may not do; a request for what it does not is refused.
N, LOGPROBS, ECHO, TOKENS, SAMPLING = "n", "logprobs", "echo", "tokens", "sampling"
FEATURES = frozenset({N, LOGPROBS, ECHO, TOKENS, SAMPLING})

# The methods of an Encoder, beside ``predict``.
EMBED, RERANK = "embed", "rerank"


class InvalidRequest(InvalidInput):
    """A generative request that cannot be done as asked.

    Args:
        param: the field that is to blame.
        code: a word that programs can tell it by, such as ``context_length_exceeded``.
    """

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class Cancelled(Exception):
    """Nobody wants the rest. Raised within a generation, to end it."""


class Signal:
    """Whether anybody still wants what a generation makes. Set on one thread, read on another.

    Attributes:
        deadline: on :func:`time.monotonic`; None is never.
        cancelled: whether the one who asked has gone.
        seen: when the generation last looked, on the same clock.
    """

    __slots__ = ("cancelled", "deadline", "seen")

    def __init__(self, deadline: float | None = None) -> None:
        self.deadline = deadline
        self.cancelled = False
        self.seen = time.monotonic()

    def check(self) -> None:
        """To be called between tokens.

        Raises:
            Cancelled, DeadlineExceeded
        """
        self.seen = time.monotonic()
        if self.cancelled:
            raise Cancelled
        if self.deadline is not None and self.seen >= self.deadline:
            raise DeadlineExceeded


class Message(Struct, frozen=True):
    """One turn of a conversation."""

    role: str
    content: str
    name: str | None = None


class Chat(Struct, frozen=True):
    """A conversation, to be made a prompt by the model's own template.

    Attributes:
        opened: whether the template is to begin the answer.
        options: further values for the template.
    """

    messages: tuple[Message, ...]
    opened: bool = True
    options: dict[str, Any] = {}


# A text, token ids, or a conversation.
Prompt = str | list[int] | Chat


class Sampling(Struct, frozen=True):
    """How a token is chosen. None leaves a value to the model; without its own it is OpenAI's default.

    Attributes:
        temperature: 0 takes the likeliest token.
        top_p: of the likeliest tokens, as many as have this probability together; 1 is all.
        top_k: the likeliest so many; 0 is all.
        min_p: those with at least this part of the likeliest one's probability.
        presence_penalty, frequency_penalty: taken off a token's logit if it was generated before, and for each time.
        repetition_penalty: a token's positive logit is divided by it, a negative one multiplied, if it stands in the
            prompt or was generated.
        logit_bias: added to logits, by token id.
        seed: the same one gives the same tokens.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float | None = None
    logit_bias: dict[int, float] = {}
    seed: int | None = None


class GenerationRequest(Struct):
    """What is asked of a generative model.

    Attributes:
        n: answers to the one prompt.
        max_tokens: of each answer; None is as many as the model has room for.
        min_tokens: before which it does not end by itself.
        stop: an answer ends before the first of these texts.
        stop_tokens: token ids that end it, too.
        ignore_eos: whether the model's own token for the end is one like others.
        logprobs: for how many alternatives beside each token log-probabilities are wanted; None is for no token.
        echo: whether the prompt comes first, as part of the answer's text.
        signal: tells when to stop; see :meth:`Signal.check`.
    """

    prompt: Prompt
    sampling: Sampling = Sampling()
    n: int = 1
    max_tokens: int | None = None
    min_tokens: int = 0
    stop: tuple[str, ...] = ()
    stop_tokens: tuple[int, ...] = ()
    ignore_eos: bool = False
    logprobs: int | None = None
    echo: bool = False
    signal: Signal = field(default_factory=Signal)

    @property
    def text(self) -> str:
        """The prompt as text; a conversation's turns one below the other, each after its role.

        Raises:
            InvalidRequest: it is token ids.
        """
        if isinstance(self.prompt, Chat):
            return "\n".join(f"{message.role}: {message.content}" for message in self.prompt.messages)
        if isinstance(self.prompt, str):
            return self.prompt
        raise InvalidRequest("this model takes texts, not token ids", "prompt")


# By another name: within the classes below ``bytes`` is a field.
_Bytes = bytes


class Alternative(Struct, frozen=True, gc=False):
    """A token that was possible."""

    text: str
    bytes: _Bytes
    logprob: float


class Token(Struct, frozen=True):
    """A token of an answer or, with echo, of the prompt.

    Attributes:
        text: as it reads alone; a part of a character reads as U+FFFD.
        bytes: what it stands for in UTF-8.
        logprob: of the model itself, before temperature and penalties; None for a prompt's first token.
        top: the likeliest tokens at this place, as many as were asked for.
    """

    text: str
    bytes: _Bytes
    logprob: float | None
    top: tuple[Alternative, ...] = ()


FinishReason = Literal["stop", "length"]


class Usage(Struct, frozen=True, gc=False):
    """Tokens of the prompt, and of all answers to it, the one that ended each included."""

    prompt: int
    completion: int


class Chunk(Struct):
    """A piece of an answer.

    Attributes:
        text: to be added to the answer; may be empty, while characters or stop texts are incomplete.
        index: of the n answers, which.
        tokens: those that the text is of, where log-probabilities were asked for.
        finish: why this answer ends; it is its last chunk.
        usage: with the very last chunk.
    """

    text: str = ""
    index: int = 0
    tokens: Sequence[Token] = ()
    finish: FinishReason | None = None
    usage: Usage | None = None


class GenerativeModel(Servable):
    """A model that answers a prompt with chunks.

    Attributes:
        concurrency: generations at once, where the server is not told otherwise.
        features: of :data:`FEATURES`, what ``generate`` heeds. Requests for others are refused.
        stops: whether ``generate`` heeds ``request.stop``; if not, the server looks for those texts and cuts.
    """

    concurrency = 4
    features: frozenset[str] = frozenset()
    stops = False

    def generate(self, request: GenerationRequest) -> AsyncIterator[Chunk] | Iterator[Chunk]:
        """Answer, chunk by chunk. An ``async def`` runs on the event loop, a plain generator on a thread.

        The server closes the generator when the client has gone, at the latest at its next chunk; code that works long
        between chunks calls ``request.signal.check()``.

        Raises:
            InvalidInput: it cannot be done as asked (400). Only what is raised before the first chunk has a status.
            Exception: anything else is the model's own failure (500).
        """
        raise NotImplementedError

    def produce(self, request: GenerationRequest, emit: Callable[[Chunk], None]) -> None:
        """Answer by calling ``emit`` with each chunk, on the calling thread.

        This is how a plain ``generate`` is run. Models whose framework calls back override it instead. ``emit`` waits
        while the client is slower than the model, and raises what :meth:`Signal.check` raises.
        """
        chunks = self.generate(request)
        if not isinstance(chunks, Iterator):
            raise InferenceError(f"{type(self).__name__}.generate must be a generator, not {type(chunks).__name__}")
        try:
            for chunk in chunks:
                emit(chunk)
        finally:
            if inspect.isgenerator(chunks):
                chunks.close()

    def open_lane(self, metrics: ModelMetrics, scheduling: Scheduling, stuck: Callable[[str], None]) -> GenerationLane:
        from mizzen.serve.generation.lane import GenerationLane  # which knows this class

        return GenerationLane(self, metrics, scheduling, stuck)


class Encoder(TensorModel):
    """A model from texts to vectors or scores, for ``embeddings`` and ``rerank`` as for V1 and V2.

    Attributes:
        methods: of :data:`EMBED` and :data:`RERANK`, what it can do.
    """

    methods: frozenset[str] = frozenset()

    def embed(self, texts: Sequence[str | list[int]]) -> tuple[Array, Sequence[int]]:
        """Vectors, and how many tokens each text has.

        Args:
            texts: or token ids.

        Returns:
            float32 of shape (texts, dimensions), and a count for each text.

        Raises:
            InvalidRequest: a text is longer than the model takes.
        """
        raise NotImplementedError

    def rerank(self, query: str, documents: Sequence[str]) -> tuple[Array, int]:
        """How well each document answers the query: higher is better.

        Returns:
            float of shape (documents,), and the number of tokens that were read.
        """
        raise NotImplementedError

    def predict(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        """Answer V1 and V2."""
        raise NotImplementedError

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        if options.method == EMBED:
            vectors, counts = self.embed(inputs[0].array.tolist())
            return [Tensor("embedding", np.asarray(vectors)), Tensor("tokens", np.asarray(counts, np.int64))]
        if options.method == RERANK:
            query, documents = inputs
            scores, count = self.rerank(query.array[0], documents.array.tolist())
            return [Tensor("score", np.asarray(scores)), Tensor("tokens", np.array([count], np.int64))]
        return self.predict(inputs, options)
