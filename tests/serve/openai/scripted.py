"""Models that say what they are told to, so that a test knows what must come out."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator, Sequence

from mizzen.serve.generation.model import FEATURES, Chunk, GenerationRequest, GenerativeModel, Usage


class Script(GenerativeModel):
    """Says its words one by one, on a thread, and counts them.

    Args:
        words: to be said; with ``for_ever`` again and again.
        error: raised after them.
        gate: waited for before each word, if there is one.
    """

    features = FEATURES

    def __init__(
        self,
        name: str = "script",
        words: Sequence[str] = ("one ", "two ", "three"),
        *,
        for_ever: bool = False,
        error: Exception | None = None,
        gate: threading.Semaphore | None = None,
        concurrency: int = 4,
    ) -> None:
        super().__init__(name)
        self.words = words
        self.for_ever = for_ever
        self.error = error
        self.gate = gate
        self.concurrency = concurrency
        self.said = 0
        self.seen: list[GenerationRequest] = []
        self.now = 0
        self.most = 0
        self._lock = threading.Lock()

    def load(self) -> None:
        pass

    def generate(self, request: GenerationRequest) -> Iterator[Chunk]:
        with self._lock:
            self.seen.append(request)
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            for word in self._words():
                if self.gate is not None:
                    self.gate.acquire()
                self.said += 1
                for index in range(request.n):
                    yield Chunk(word, index)
            if self.error is not None:
                raise self.error
            for index in range(request.n):
                last = index == request.n - 1
                yield Chunk("", index, finish="stop", usage=Usage(5, len(self.words) * request.n) if last else None)
        finally:
            with self._lock:
                self.now -= 1

    def _words(self) -> Iterator[str]:
        yield from self.words
        while self.for_ever:
            yield from self.words


class Echo(GenerativeModel):
    """Says the prompt's words, on the event loop. As a user would write one: nothing but the words."""

    def load(self) -> None:
        pass

    async def generate(self, request: GenerationRequest) -> AsyncIterator[Chunk]:
        for word in request.text.split(" "):
            yield Chunk(word + " ")
