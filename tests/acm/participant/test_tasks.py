"""Work by key: what comes later takes the place of what came before."""

from __future__ import annotations

import asyncio

import pytest

from mizzen.acm.participant.tasks import Place, Tasks
from participant_world import settle, until


async def test_a_successor_begins_when_its_predecessor_has_ended() -> None:
    told: list[str] = []

    async def slow(place: Place) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await settle()
            told.append("first ends")

    async def quick(place: Place) -> None:
        told.append("second begins")

    tasks = Tasks(2)
    async with tasks.open():
        tasks.start("key", "first", slow)
        await settle()
        tasks.start("key", "second", quick)
        assert tasks.running("key") == "second"
        await until(lambda: len(told) == 2)
    assert told == ["first ends", "second begins"]
    assert len(tasks) == 0


async def test_of_three_the_one_between_never_begins() -> None:
    told: list[str] = []
    release = asyncio.Event()

    async def stubborn(place: Place) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await release.wait()
            told.append("first ends")
            raise

    def saying(what: str):  # type: ignore[no-untyped-def]
        async def say(place: Place) -> None:
            told.append(what)

        return say

    tasks = Tasks(2)
    async with tasks.open():
        tasks.start("key", 1, stubborn)
        await settle()
        tasks.start("key", 2, saying("second"))
        await settle()
        tasks.start("key", 3, saying("third"))
        await settle()
        assert told == []
        release.set()
        await until(lambda: "third" in told)
    assert told == ["first ends", "third"]


async def test_who_will_not_end_is_not_waited_for_for_ever() -> None:
    release, began = asyncio.Event(), asyncio.Event()

    async def stubborn(place: Place) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    async def next_one(place: Place) -> None:
        began.set()

    tasks = Tasks(2, grace=0.05)
    async with tasks.open():
        tasks.start("key", 1, stubborn)
        await settle()
        tasks.start("key", 2, next_one)
        async with asyncio.timeout(20):
            await began.wait()
        release.set()


async def test_what_fails_is_logged_and_gives_its_place_back(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(place: Place) -> None:
        raise RuntimeError("it went wrong")

    done = asyncio.Event()

    async def work(place: Place) -> None:
        done.set()

    tasks = Tasks(1)
    async with tasks.open():
        for key in range(3):
            tasks.start(key, None, fail)
        tasks.start("last", None, work)
        async with asyncio.timeout(20):
            await done.wait()
    assert "it went wrong" in caplog.text


async def test_all_end_with_their_owner() -> None:
    ended: list[int] = []

    def waiting(number: int):  # type: ignore[no-untyped-def]
        async def wait(place: Place) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(number)

        return wait

    tasks = Tasks(2)
    async with tasks.open():
        for number in range(4):
            tasks.start(number, None, waiting(number))
        await settle()
    assert sorted(ended) == [0, 1]  # the others were still waiting for a place
    tasks.start("late", None, waiting(9))
    assert len(tasks) == 0
