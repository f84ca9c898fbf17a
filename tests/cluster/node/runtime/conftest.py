"""Real pod parents in a folder of their own, and the check that each leaves nothing behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cluster.node.runtime.pod_bench import Bench
from mizzen.cluster.node.runtime.client import PodParent


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    await bench.close()
    assert bench.leftovers() == []


@pytest.fixture
async def parent(bench: Bench) -> AsyncIterator[PodParent]:
    async with await bench.ensure() as parent:
        yield parent
