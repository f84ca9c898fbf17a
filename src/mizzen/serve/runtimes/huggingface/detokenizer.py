"""From tokens to text, one token at a time: what is shown is never taken back.

A token may be a part of a character, and what it reads as may depend on the one before it (a leading space). So a
window of tokens is decoded with and without the new one, the difference is new text, and what is not complete yet is
held back: it reads as U+FFFD at the end, once for a character or once for each of its bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

# Tokens before the first one of the answer that may decide how it reads.
CONTEXT = 6

INCOMPLETE = "\ufffd"


class Detokenizer:
    """Args:
    decode: the text of some token ids.
    context: token ids that come before.

    Attributes:
        holds: whether something is held back.
    """

    def __init__(self, decode: Callable[[list[int]], str], context: Sequence[int] = ()) -> None:
        self._decode = decode
        size = CONTEXT
        self._window = list(context[-size:])
        before = self._decode(self._window) if self._window else ""
        while (not before or before[0] == INCOMPLETE) and size < len(context):
            # Tokens that say nothing are no context, nor is the rest of a character.
            size *= 2
            self._window = list(context[-size:])
            before = self._decode(self._window)
        # A character that the context leaves incomplete is not shown as its part, and is the answer's once it is whole.
        self._shown = len(before.rstrip(INCOMPLETE))
        # Where in the window a character ends, so that another window may begin there.
        self._clean = 0 if before.endswith(INCOMPLETE) else len(self._window)
        self.holds = False

    def add(self, token: int) -> str:
        """The text that is certain now; empty while a character is incomplete."""
        self._window.append(token)
        text = self._decode(self._window)
        whole = text.rstrip(INCOMPLETE)
        new = whole[self._shown :]
        self._shown = max(self._shown, len(whole))
        self.holds = len(whole) < len(text)
        if not self.holds:
            self._slide()
        return new

    def finish(self) -> str:
        """What was held back: of an incomplete character, the sign for that."""
        if not self.holds:
            return ""
        text = self._decode(self._window)
        new = text[self._shown :]
        self._shown = len(text)
        return new

    def _slide(self) -> None:
        """Forget what cannot change what follows. The window ends with a whole character now."""
        if len(self._window) - self._clean < CONTEXT:
            return
        window = self._window[self._clean :]
        if text := self._decode(window):
            self._window, self._clean, self._shown = window, len(window), len(text)
