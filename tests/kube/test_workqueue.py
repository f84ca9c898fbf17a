"""A key waits once, is worked on once at a time, and comes back when it should."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.kube import workqueue
from mizzen.kube.workqueue import WorkQueue


@pytest.fixture
def queue() -> WorkQueue[str]:
    return WorkQueue()


async def waiting(queue: WorkQueue[str]) -> list[str]:
    """The keys that can be had now, taken and done."""
    found = []
    while len(queue):
        key = await queue.get()
        queue.done(key)
        found.append(key)
    return found


async def test_keys_come_in_order_of_arrival_and_once(queue):
    for key in "abacb":
        queue.add(key)
    assert len(queue) == 3
    assert await waiting(queue) == ["a", "b", "c"]


async def test_a_key_that_is_worked_on_is_not_given_out_again(queue):
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await waiting(queue) == ["a"]


async def test_a_key_that_nobody_added_again_stays_away(queue):
    queue.add("a")
    await queue.get()
    queue.done("a")
    assert len(queue) == 0


async def test_who_waits_is_woken(queue):
    workers = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    queue.add("a")
    queue.add("b")
    async with asyncio.timeout(10):
        done, pending = await asyncio.wait(workers, return_when=asyncio.FIRST_COMPLETED)
        while len(done) < 2:
            done, pending = await asyncio.wait(workers, timeout=0.01)
    assert sorted(task.result() for task in done) == ["a", "b"]
    queue.add("c")
    async with asyncio.timeout(10):
        assert await pending.pop() == "c"


async def test_who_stops_waiting_takes_no_key_along(queue):
    worker = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    worker.cancel()
    await asyncio.wait([worker])
    queue.add("a")
    assert await waiting(queue) == ["a"]


async def test_a_delayed_key_comes_later(queue):
    queue.add_after("a", 0.01)
    assert len(queue) == 0
    async with asyncio.timeout(10):
        assert await queue.get() == "a"


@pytest.mark.parametrize("delays", [(0.01, 3600.0), (3600.0, 0.01)])
async def test_the_nearer_of_two_delays_counts(queue, delays):
    for delay in delays:
        queue.add_after("a", delay)
    async with asyncio.timeout(10):
        assert await queue.get() == "a"


async def test_a_key_that_comes_up_earlier_loses_its_delay(queue):
    queue.add_after("a", 0.02)
    queue.add("a")
    assert await waiting(queue) == ["a"]
    await asyncio.sleep(0.05)
    assert len(queue) == 0


async def test_a_delay_that_ends_while_its_key_is_worked_on(queue):
    queue.add("a")
    await queue.get()
    queue.add_after("a", 0.0)
    await asyncio.sleep(0.02)
    assert len(queue) == 0
    queue.done("a")
    assert await waiting(queue) == ["a"]


async def test_failures_come_back_after_growing_delays(queue):
    delays = [queue.retry("a") for _ in range(20)]
    assert delays[:4] == [workqueue.FIRST_RETRY * factor for factor in (1, 2, 4, 8)]
    assert delays == sorted(delays)
    assert delays[-1] == workqueue.LONGEST_RETRY
    assert queue.retry("b") == workqueue.FIRST_RETRY
    queue.succeeded("a")
    assert queue.retry("a") == workqueue.FIRST_RETRY


async def test_a_failed_key_comes_back_by_itself(queue):
    queue.add("a")
    await queue.get()
    queue.retry("a")
    queue.done("a")
    async with asyncio.timeout(10):
        assert await queue.get() == "a"


STEPS = st.lists(st.tuples(st.sampled_from(["add", "take", "done"]), st.sampled_from("abc")), max_size=40)


@given(STEPS)
def test_no_change_is_missed_and_none_is_looked_at_twice_at_a_time(steps):
    """Whatever happens: after the last ``add`` of a key its work begins once more, and never beside itself."""

    async def story() -> None:
        queue: WorkQueue[str] = WorkQueue()
        working: list[str] = []
        unseen: set[str] = set()

        async def take() -> None:
            key = await queue.get()
            assert key not in working
            working.append(key)
            unseen.discard(key)

        for step, key in steps:
            if step == "add":
                queue.add(key)
                unseen.add(key)
            elif step == "take" and len(queue):
                await take()
            elif step == "done" and key in working:
                working.remove(key)
                queue.done(key)
        while working or len(queue):
            for key in list(working):
                working.remove(key)
                queue.done(key)
            while len(queue):
                await take()
        assert not unseen

    asyncio.run(story())
