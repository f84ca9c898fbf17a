"""One broker for all tests of a process, and a world for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mizzen.bus import Broker
from runtime_world import TOPICS, World


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with Broker([TOPICS.operation, TOPICS.sync]) as broker:
        yield broker


@pytest.fixture
async def world(broker: Broker, tmp_path: Path) -> AsyncIterator[World]:
    async with World(broker.settings, f"sqlite:///{tmp_path}/acm.db") as world:
        yield world
