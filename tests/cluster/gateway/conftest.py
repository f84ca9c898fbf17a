"""Gateways under test. Both event loops, because connections end differently on each."""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import uvloop

from gateway_front import Front
from gateway_front import front as made


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture(autouse=True)
def nothing_forgotten(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No test leaves an exception that nobody fetched, or a task that nobody awaited."""
    yield
    if inspect.iscoroutinefunction(request.function):
        gc.collect()
    for when in ("setup", "call", "teardown"):
        assert [record.getMessage() for record in caplog.get_records(when) if record.name == "asyncio"] == []


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    async with made() as found:
        yield found
