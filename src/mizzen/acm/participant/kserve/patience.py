"""How long something is tried: until a deadline, with growing pauses, as long as the trouble may pass.

A Kubernetes API that is away, busy or slow is waited for; what it refuses for good is told at once. At the end the last
trouble is what is told.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from mizzen.acm.participant.kserve.trouble import PASSING, OutOfTime, reason
from mizzen.kube.client import Unreachable
from mizzen.kube.errors import ApiError

log = logging.getLogger(__name__)

T = TypeVar("T")

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
# However little time is left, a request that is made at all gets so much, or its failure would be of our making.
_LEAST = 1.0


class Patience:
    """The time that there is for something.

    Args:
        seconds: from now on.
        call: the longest time for one request.

    Attributes:
        troubled: how often a request came to nothing, so that nobody knows whether it was done.
    """

    def __init__(self, seconds: float, call: float) -> None:
        self.seconds = seconds
        self.troubled = 0
        self._call = call
        self._deadline = asyncio.get_running_loop().time() + seconds
        self._pause = _FIRST_PAUSE
        self._last = ""

    @property
    def left(self) -> float:
        return max(0.0, self._deadline - asyncio.get_running_loop().time())

    async def call(self, request: Callable[[], Awaitable[T]]) -> T:
        """What ``request`` answers; it is asked again while the trouble may pass.

        Raises:
            ApiError: it is refused.
            OutOfTime: there was no answer.
        """
        while True:
            answer = await self.once(request)
            if answer is not None:
                return answer[0]
            await self.pause()

    async def once(self, request: Callable[[], Awaitable[T]]) -> tuple[T] | None:
        """Ask one time; None if it came to nothing for now."""
        if self.left <= 0:
            return None
        limit = max(min(self._call, self.left), _LEAST)
        try:
            async with asyncio.timeout(limit):
                answer = (await request(),)
        except TimeoutError:
            self._trouble(f"the Kubernetes API has not answered within {limit:.0f} s")
            return None
        except Unreachable as error:
            self._trouble(str(error))
            return None
        except ApiError as error:
            if error.code not in PASSING:
                raise
            self._trouble(f"the Kubernetes API keeps answering {reason(error)}")
            return None
        self._pause = _FIRST_PAUSE
        self._last = ""
        return answer

    async def pause(self) -> None:
        """Wait a little before the next try.

        Raises:
            OutOfTime: there is no time for one.
        """
        pause = min(self._pause * random.uniform(0.5, 1.0), self.left)
        if self.left <= 0:
            raise OutOfTime(self.trouble)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        await asyncio.sleep(pause)

    @property
    def trouble(self) -> str:
        """What stands in the way, if something does."""
        return self._last or f"not done within {self.seconds:.0f} s"

    @property
    def is_troubled(self) -> bool:
        """Whether the last request came to nothing."""
        return bool(self._last)

    def _trouble(self, text: str) -> None:
        self.troubled += 1
        if not self._last:
            log.warning("%s; trying on for %.0f s", text, self.left)
        self._last = text
