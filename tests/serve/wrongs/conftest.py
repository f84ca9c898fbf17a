"""A server that most of these tests share, because starting one costs more than asking it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mizzen.http.client import Client
from mizzen.http.http2.client import Http2Client
from serve.wrongs.kit import Server, serving, write_iris, write_model

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not sys.platform.startswith("linux"):
        skip = pytest.mark.skip(reason="what a process holds is read from /proc, so: Linux")
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models: ``iris`` is well, ``moody`` misbehaves, ``fatal`` cannot be loaded."""
    folder = tmp_path_factory.mktemp("models")
    write_iris(folder / "iris")
    write_model(folder / "moody", "Moody")
    write_model(folder / "fatal", "Fatal")
    return folder


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[Server]:
    """A server of these models, for one module."""
    with serving("--model_dir", str(models)) as running:
        yield running


@pytest.fixture
async def http1() -> AsyncIterator[Client]:
    async with Client(environ={}) as client:
        yield client


@pytest.fixture
async def http2() -> AsyncIterator[Http2Client]:
    async with Http2Client(environ={}) as client:
        yield client


@pytest.fixture
async def nothing_left(server: Server) -> AsyncIterator[None]:
    """After the test the server holds no more descriptors and threads than before. Ask for it before clients."""
    before = await server.warm()
    yield
    await server.lets_go(before)
