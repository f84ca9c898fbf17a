"""Several requests at the same time, each to its end, with the first error afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

# How many objects a controller works on at a time. The API commits in groups, and writes on their way fill them: 1,000
# new deployments settle in 7 s so, and in 11 s with 8 at a time.
WORKERS = 32


async def all_of(work: Sequence[Awaitable[None]]) -> None:
    """Await everything; raise the first error once all have ended.

    Unlike a task group it lets the others finish: a request that is broken off may have been carried out all the same.
    """
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
