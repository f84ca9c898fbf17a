"""``serve = await offer(model, ...)``: custom models behind a server in the test's loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from custom_serving import Serving

Offer = Callable[..., Awaitable[Serving]]


@pytest.fixture
async def offer() -> AsyncIterator[Offer]:
    running: list[Serving] = []

    async def start(*models: Any, **more: Any) -> Serving:
        running.append(await Serving.of(*models, **more))
        return running[-1]

    yield start
    for serving in running:
        await serving.end()
