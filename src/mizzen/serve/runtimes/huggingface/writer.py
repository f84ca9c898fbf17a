"""One answer, token by token: what of its text can be shown, and which tokens that text is of."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from mizzen.serve.generation.model import Chunk, FinishReason, Token
from mizzen.serve.generation.stops import StopScanner
from mizzen.serve.runtimes.huggingface.detokenizer import Detokenizer


class Writer:
    """Args:
    index: of the request's answers, which.

    Attributes:
        count: tokens made, the one that ended the answer included.
        finished: whether it has ended.
    """

    def __init__(self, index: int, detokenizer: Detokenizer, stops: Sequence[str]) -> None:
        self.index = index
        self.count = 0
        self.finished = False
        self._detokenizer = detokenizer
        self._scanner = StopScanner(stops)
        self._made = 0
        self._shown = 0
        # Each with where its text begins and ends in the answer's.
        self._pending: deque[tuple[int, int, Token]] = deque()

    def add(self, token: int, told: Token | None) -> Chunk:
        """A token of the answer's text.

        Args:
            told: it with its log-probability, if that was asked for.
        """
        self.count += 1
        return self._chunk(self._detokenizer.add(token), told)

    def end(self, finish: FinishReason, counted: bool) -> Chunk:
        """No more tokens come.

        Args:
            counted: whether one ended it that is no part of the text.
        """
        self.count += counted
        chunk = self._chunk(self._detokenizer.finish(), None)
        if chunk.finish is None:
            text = self._scanner.finish()
            self._shown += len(text)
            chunk.text += text
            chunk.finish = "stop" if self._scanner.stopped else finish
            left = [token for began, _, token in self._pending if began < self._shown or not self._scanner.stopped]
            chunk.tokens = [*chunk.tokens, *left]
        self.finished = True
        return chunk

    def _chunk(self, text: str, told: Token | None) -> Chunk:
        began, self._made = self._made, self._made + len(text)
        if told is not None:
            # Part of a character is out when the character is.
            self._pending.append((began, self._made + self._detokenizer.holds, told))
        shown = self._scanner.feed(text)
        self._shown += len(shown)
        if self._scanner.stopped:
            self.finished = True
            tokens = [token for began, _, token in self._pending if began < self._shown]
            return Chunk(shown, self.index, tokens, "stop")
        return Chunk(shown, self.index, self._released(self._shown))

    def _released(self, shown: int) -> list[Token]:
        """The tokens whose text is out."""
        found = []
        while self._pending and self._pending[0][1] <= shown:
            found.append(self._pending.popleft()[2])
        return found
