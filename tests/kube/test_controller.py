"""A controller looks at each key that its informers name, and again when that failed or asked for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fake_api import client_of, fake_api, until
from mizzen.apis.core import CONFIG_MAP, SECRET
from mizzen.kube.client import Unreachable
from mizzen.kube.controller import Controller, controlled_by
from mizzen.kube.errors import ApiError
from mizzen.kube.informer import Informer


class Recorder:
    """A reconcile function that notes its calls and does what the test says, one outcome a call."""

    def __init__(self, *outcomes: float | BaseException | None) -> None:
        self.outcomes = list(outcomes)
        self.calls: list[tuple[str, str]] = []
        self.running: set[tuple[str, str]] = set()
        self.at_once = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self, namespace: str, name: str) -> float | None:
        key = (namespace, name)
        assert key not in self.running
        self.calls.append(key)
        self.running.add(key)
        self.at_once = max(self.at_once, len(self.running))
        try:
            await self.go_on.wait()
            outcome = self.outcomes.pop(0) if self.outcomes else None
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome
        finally:
            self.running.discard(key)


@asynccontextmanager
async def running(*work) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results), results


KEY = ("default", "a")


async def test_errors_come_back_and_success_ends_it(caplog):
    caplog.set_level(logging.DEBUG, "mizzen.kube.controller")
    recorder = Recorder(
        ApiError(409, "Conflict", "changed meanwhile"),
        Unreachable("the API is away"),
        ApiError(500, "InternalError", "broken"),
        ValueError("a bug"),
        None,
    )
    controller = Controller("test", recorder)
    async with running(controller.run()):
        controller.queue.add(KEY)
        await until(lambda: len(recorder.calls) == 5)
        await asyncio.sleep(0.05)
    assert recorder.calls == [KEY] * 5
    levels = {record.getMessage().split(": ")[-1].split(" (")[0]: record.levelname for record in caplog.records}
    assert levels["changed meanwhile"] == "DEBUG"
    assert levels["the API is away"] == "DEBUG"
    assert levels["broken"] == "WARNING"
    assert [record.exc_info is not None for record in caplog.records if record.levelname == "ERROR"] == [True]


async def test_a_failure_is_forgotten_after_a_success():
    recorder = Recorder(ValueError("once"), None)
    controller = Controller("test", recorder)
    async with running(controller.run()):
        controller.queue.add(KEY)
        await until(lambda: len(recorder.calls) == 2)
        await until(lambda: not recorder.running)
    assert controller.queue.retry(KEY) == pytest.approx(0.05)


async def test_what_asks_to_be_looked_at_again_is():
    recorder = Recorder(0.0, 0.01, None)
    controller = Controller("test", recorder)
    async with running(controller.run()):
        controller.queue.add(KEY)
        await until(lambda: len(recorder.calls) == 3)
        await asyncio.sleep(0.05)
    assert len(recorder.calls) == 3


async def test_several_keys_at_a_time_but_never_one_twice():
    recorder = Recorder()
    recorder.go_on.clear()
    controller = Controller("test", recorder, workers=3)
    async with running(controller.run()):
        for name in "abcde":
            controller.queue.add(("default", name))
        await until(lambda: len(recorder.running) == 3)
        for name in "abc":
            controller.queue.add(("default", name))
        await asyncio.sleep(0.02)
        assert len(recorder.calls) == 3
        recorder.go_on.set()
        await until(lambda: len(recorder.calls) == 8)
        await until(lambda: not recorder.running)
    assert recorder.at_once == 3
    assert sorted(name for _, name in recorder.calls) == list("aabbccde")


async def test_nothing_is_looked_at_before_every_list_is_there():
    async with fake_api() as api, client_of(api) as client:
        await api.put(CONFIG_MAP, "a")
        recorder = Recorder()
        controller = Controller("test", recorder)
        maps, secrets = Informer(client, CONFIG_MAP), Informer(client, SECRET)
        controller.watches(maps)
        controller.watches(secrets)
        async with running(maps.run(), controller.run()):
            await maps.synced.wait()
            await asyncio.sleep(0.05)
            assert recorder.calls == []
            async with running(secrets.run()):
                await until(lambda: recorder.calls == [KEY])


async def test_a_childs_change_wakes_the_one_that_controls_it():
    async with fake_api() as api, client_of(api) as client:
        owner = await api.put(CONFIG_MAP, "owner")
        recorder = Recorder()
        controller = Controller("test", recorder)
        owners, children = Informer(client, CONFIG_MAP), Informer(client, SECRET)
        controller.watches(children, controlled_by(owners))
        async with running(owners.run(), children.run(), controller.run()):
            await until(lambda: owners.synced.is_set() and children.synced.is_set())
            references = [{"uid": "another"}, {"uid": owner["metadata"]["uid"], "controller": True}]
            await api.put(SECRET, "child", metadata={"ownerReferences": references})
            await until(lambda: recorder.calls == [("default", "owner")])
            # One that is let go is of interest once more, to the one that had it.
            await api.put(SECRET, "child")
            await until(lambda: len(recorder.calls) == 2)
            await api.put(SECRET, "stranger", metadata={"ownerReferences": [{"uid": "gone", "controller": True}]})
            await api.put(SECRET, "child", data={"k": "v"})
            await until(lambda: children.object("default", "child").get("data") == {"k": "v"})
            await asyncio.sleep(0.02)
            assert len(recorder.calls) == 2


async def test_keys_are_named_by_the_function_of_the_watch():
    async with fake_api() as api, client_of(api) as client:
        await api.put(CONFIG_MAP, "a", metadata={"labels": {"of": "x"}})
        recorder = Recorder()
        controller = Controller("test", recorder)
        informer = Informer(client, CONFIG_MAP)
        controller.watches(informer, lambda change: [("n", e.labels["of"]) for e in change.entries])
        async with running(informer.run(), controller.run()):
            await until(lambda: recorder.calls == [("n", "x")])


async def test_stopping_stops_the_work_too():
    recorder = Recorder()
    recorder.go_on.clear()
    controller = Controller("test", recorder)
    async with running(controller.run()):
        controller.queue.add(KEY)
        await until(lambda: bool(recorder.running))
    assert not recorder.running
