"""Stop texts: an answer ends before the first of them, wherever tokens begin and end.

Text that may be the beginning of a stop is held back until it is clear whether it is one, so that nobody is ever shown
a part of it.
"""

from __future__ import annotations

from collections.abc import Iterable


class StopScanner:
    """Args:
    stops: none of them empty.

    Attributes:
        stopped: whether a stop was found; nothing comes after it.
    """

    def __init__(self, stops: Iterable[str]) -> None:
        self._stops = tuple(stops)
        if not all(self._stops):
            raise ValueError("a stop text is empty")
        self._longest = max(map(len, self._stops), default=0)
        self._held = ""
        self.stopped = False

    def feed(self, text: str) -> str:
        """Take more text, and return what can be shown now."""
        if self.stopped or not self._stops:
            return "" if self.stopped else text
        text = self._held + text
        # What is found first is what begins first; a later beginning may be complete earlier.
        cut = min((at for at in (text.find(stop) for stop in self._stops) if at >= 0), default=-1)
        doubt = self._doubtful(text)
        if 0 <= cut <= doubt:
            self.stopped, self._held = True, ""
            return text[:cut]
        self._held = text[doubt:]
        return text[:doubt]

    def finish(self) -> str:
        """No more text comes: return what was held back, less what a stop in it cuts off."""
        held, self._held = self._held, ""
        cut = min((at for at in (held.find(stop) for stop in self._stops) if at >= 0), default=-1)
        if cut >= 0:
            self.stopped = True
            return held[:cut]
        return held

    @property
    def held(self) -> int:
        """How many characters are held back."""
        return len(self._held)

    def _doubtful(self, text: str) -> int:
        """Where the first end of ``text`` begins that may be the beginning of a stop; its length if none."""
        for at in range(max(len(text) - self._longest + 1, 0), len(text)):
            if any(len(stop) > len(text) - at and text.startswith(stop[: len(text) - at], at) for stop in self._stops):
                return at
        return len(text)
