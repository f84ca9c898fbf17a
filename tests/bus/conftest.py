"""An embedded broker for each test that asks for one, and the check that no thread of a bus outlives its test."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from mizzen.bus import Broker, Bus

TOPICS = ("operations", "sync")


@pytest.fixture(autouse=True)
def no_thread_survives() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before and thread.name.startswith("bus")]
    for thread in left:
        thread.join(5)
    assert [thread.name for thread in left if thread.is_alive()] == []


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with Broker(TOPICS) as broker:
        yield broker


@pytest.fixture
async def bus(broker: Broker) -> AsyncIterator[Bus]:
    async with Bus(broker.settings) as bus:
        yield bus
