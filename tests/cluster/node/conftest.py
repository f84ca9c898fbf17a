"""Fixtures of the node's tests: a real node, once with real paths of volumes and once with rewritten ones."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from node_world import World, permitted, world


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the agent runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
def no_defects(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No test leaves an exception behind that nobody fetched, or makes the agent stumble."""
    yield
    gc.collect()
    for when in ("setup", "call", "teardown"):
        records = caplog.get_records(when)
        assert [record.getMessage() for record in records if record.levelno >= logging.ERROR] == []


@pytest.fixture
async def bare(tmp_path: Path) -> AsyncIterator[World]:
    """A world whose agent is still to be started, with real paths of volumes where that is possible."""
    async with world(tmp_path, permitted()) as found:
        yield found


@pytest.fixture
async def node(bare: World) -> World:
    """A world with its agent."""
    await bare.start()
    return bare


@pytest.fixture(params=["real paths", "rewritten paths"])
async def either(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """A world with its agent, both ways."""
    mode = permitted()
    if request.param == "real paths" and mode == "none":
        pytest.skip("namespaces are not permitted")
    async with world(tmp_path, mode if request.param == "real paths" else "none") as found:
        await found.start()
        yield found
