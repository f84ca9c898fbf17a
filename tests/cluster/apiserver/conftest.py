"""A server for each test, and a client that speaks in mappings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from api_client import Api
from apiserver_fixture import Server, serving


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path) as found:
        yield found


@pytest.fixture
async def api(server: Server) -> AsyncIterator[Api]:
    async with server.session() as session:
        yield Api(session)
