"""Long work in slices, so that the loop gets a turn between them.

Reading five megabytes of numbers takes ten milliseconds, and a thread would not help: what reads them holds the
interpreter's lock all the while. So such work is written as a generator that yields every few tenths of a millisecond
and returns its result. Whoever is in no hurry drives it on the loop, and others are answered meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

Slices = Generator[None, None, T]

# A body or an answer past so many bytes is read or written in slices.
LARGE = 256 * 1024


async def unhurried(work: Slices[T]) -> T:
    """Do all of it, with a turn for the loop between slices. Raises what the work does."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result
        await asyncio.sleep(0)


def at_once(work: Slices[T]) -> T:
    """Do all of it now."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result
