"""What a client may do that brings nothing forward, before it is told to calm down.

HTTP/2 lets a client make work at next to no cost: open a request and cancel it (CVE-2023-44487), ask for
acknowledgements (CVE-2019-9512, 9515), send empty frames (CVE-2019-9518) or endless priorities, or provoke us to reset
streams (CVE-2025-8671). Each is legitimate now and then. So each draws from a budget that refills with time, and with
whatever does bring something forward.
"""

from __future__ import annotations

from mizzen.http.http2.frames import Broken, Code

# How much of a budget comes back each second.
_REFILL = 0.1


class Guard:
    """One connection's budgets.

    Args:
        resets, noise: see :class:`mizzen.http.server.Limits`.
    """

    __slots__ = ("_most_noise", "_most_resets", "_noise", "_resets")

    def __init__(self, resets: int, noise: int) -> None:
        self._most_resets = self._resets = float(resets)
        self._most_noise = self._noise = float(noise)

    def reset(self) -> None:
        """A request was given up, after it had made work.

        Raises:
            Broken: too often.
        """
        self._resets -= 1
        if self._resets < 0:
            raise Broken(Code.ENHANCE_YOUR_CALM, "too many requests were cancelled in too short a time")

    def noise(self) -> None:
        """A frame came that brings no request forward.

        Raises:
            Broken: too often.
        """
        self._noise -= 1
        if self._noise < 0:
            raise Broken(Code.ENHANCE_YOUR_CALM, "too many frames came that bring no request forward")

    def progress(self, frames: int = 2) -> None:
        """Something useful happened: whoever sends or takes data has reason to send that many other frames."""
        if self._noise < self._most_noise:
            self._noise += frames

    def answered(self) -> None:
        """A request got its whole answer: whoever takes answers may also cancel."""
        if self._resets < self._most_resets:
            self._resets += 1

    def passed(self, seconds: float) -> None:
        """Time has passed."""
        self._resets = min(self._most_resets, self._resets + seconds * _REFILL * self._most_resets)
        self._noise = min(self._most_noise, self._noise + seconds * _REFILL * self._most_noise)
