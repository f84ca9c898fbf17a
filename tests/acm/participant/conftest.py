"""A broker for the tests that want a real one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mizzen.bus import Broker
from participant_world import OPERATION, SYNC


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with Broker((OPERATION, SYNC)) as broker:
        yield broker
