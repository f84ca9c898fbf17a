"""Models that come and go while others answer."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

from mizzen.serve.errors import LoadError, ModelNotFound, ModelNotReady, QueueFull, Unloaded, VersionNotFound
from mizzen.serve.lanes.lane import Call
from mizzen.serve.lanes.scheduling import Scheduling
from mizzen.serve.model import Options, Tensor, TensorModel
from mizzen.serve.repository import Repository
from mizzen.serve.served import State
from mizzen.serve.spec import ModelSpec


class Constant(TensorModel):
    """Answers with a number. Waits for ``hold``, if it has one."""

    def __init__(self, name: str, answer: float, version: str | None = None) -> None:
        super().__init__(name, version)
        self.answer = answer
        self.unloaded = False
        self.hold: threading.Event | None = None

    def load(self) -> None:
        if self.answer < 0:
            raise LoadError("a negative constant")

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        if self.hold is not None:
            assert self.hold.wait(30)
        return [Tensor("output-0", np.full(1, self.answer))]

    def unload(self) -> None:
        self.unloaded = True


class Shelf:
    """A source of constants."""

    def __init__(self, **models: dict[str | None, float]) -> None:
        self.models = models

    def names(self) -> list[str]:
        return list(self.models)

    def specs(self, name, parameters=None):
        if name not in self.models:
            raise ModelNotFound(name)
        return [
            ModelSpec(name=name, directory=Path(), version=version, settings={"answer": answer})
            for version, answer in self.models[name].items()
        ]


class Waiting(Call):
    __slots__ = ("answer",)

    def __init__(self, deadline: float | None = None) -> None:
        super().__init__([Tensor("x", np.zeros((1, 1)))], 0.0, deadline=deadline)
        self.answer: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def resolve(self, outputs, extras=None):
        self.answer.set_result(float(outputs[0].array[0]))

    def reject(self, error):
        self.answer.set_exception(error)


def repository(shelf: Shelf, scheduling: Scheduling | None = None) -> Repository:
    made = Repository(
        scheduling, source=shelf, build=lambda spec: Constant(spec.name, spec.settings["answer"], spec.version)
    )
    made.load_all()
    return made


async def ask(models: Repository, name: str, version: str | None = None) -> float:
    call = Waiting()
    models.ready(name, version).submit(call)
    async with asyncio.timeout(30):
        return await call.answer


async def test_the_highest_version_that_can_answer_is_meant():
    models = repository(Shelf(m={"9": 9, "10": 10, "11": -1, "beta": 0}))
    assert await ask(models, "m") == 10
    assert await ask(models, "m", "9") == 9
    assert models.versions("m") == ["beta", "9", "10", "11"]
    with pytest.raises(ModelNotReady, match="a negative constant"):
        models.ready("m", "11")
    with pytest.raises(VersionNotFound, match="has no version 12; there is beta, 9, 10, 11"):
        models.get("m", "12")
    models.close()


async def test_what_cannot_be_loaded_is_listed_with_its_reason_beside_what_can():
    models = repository(Shelf(good={None: 1}, bad={None: -1}))
    assert await ask(models, "good") == 1
    states = {entry.name: (entry.state, entry.reason) for entry in models.index()}
    assert states == {"good": ("READY", ""), "bad": ("UNAVAILABLE", "a negative constant")}
    models.close()


async def test_opening_a_loaded_model_puts_the_new_one_in_its_place():
    shelf = Shelf(m={None: 1})
    models = repository(shelf)
    old = models.get("m").model
    shelf.models["m"] = {"1": 2, "2": 3}
    await models.open("m")
    assert await ask(models, "m") == 3
    assert models.versions("m") == ["1", "2"]
    assert old.unloaded
    models.close()


async def test_one_that_fails_to_open_leaves_the_old_one_answering():
    shelf = Shelf(m={None: 1})
    models = repository(shelf)
    shelf.models["m"] = {None: -1}
    with pytest.raises(LoadError, match="a negative constant"):
        await models.open("m")
    assert await ask(models, "m") == 1
    models.close()


async def test_a_new_one_that_fails_stays_listed_with_its_reason():
    shelf = Shelf()
    models = repository(shelf)
    shelf.models["m"] = {None: -1}
    with pytest.raises(LoadError):
        await models.open("m")
    with pytest.raises(ModelNotReady, match="a negative constant"):
        models.ready("m")
    shelf.models["m"] = {None: 4}
    await models.open("m")
    assert await ask(models, "m") == 4
    models.close()


async def test_shutting_finishes_what_is_under_way_and_takes_nothing_new():
    models = repository(Shelf(m={None: 1}))
    model = models.get("m").model
    model.hold = threading.Event()
    call = Waiting()
    models.ready("m").submit(call)
    await asyncio.sleep(0.05)
    shutting = asyncio.create_task(models.shut("m"))
    await asyncio.sleep(0.05)
    assert models.get("m").state is State.UNLOADING
    with pytest.raises(ModelNotReady):
        models.ready("m")
    assert not model.unloaded
    model.hold.set()
    async with asyncio.timeout(30):
        assert await call.answer == 1
        await shutting
    assert model.unloaded and models.is_unloaded("m") and not models.is_unloaded("other")
    with pytest.raises(Unloaded, match="/v2/repository/models/m/load"):
        models.get("m")
    assert [(entry.name, entry.reason) for entry in models.index()] == [("m", "unloaded")]


async def test_unknown_models_can_be_neither_opened_nor_shut():
    models = repository(Shelf(m={None: 1}))
    for act in (models.open, models.shut):
        with pytest.raises(ModelNotFound):
            await act("other")
    models.close()


async def test_opened_twice_at_once_it_is_loaded_one_after_the_other():
    models = repository(Shelf(m={None: 1}))
    await asyncio.gather(*(models.open("m") for _ in range(5)))
    assert await ask(models, "m") == 1
    models.close()


async def test_a_full_queue_refuses_and_says_when_to_come_again():
    models = repository(Shelf(m={None: 1}), Scheduling(queue=2))
    served = models.ready("m")
    served.model.hold = threading.Event()
    calls = [Waiting(), Waiting()]
    for call in calls:
        served.submit(call)
    with pytest.raises(QueueFull, match="has 2 requests to answer") as caught:
        served.submit(Waiting())
    assert caught.value.retry_after == 1
    served.model.hold.set()
    assert [await call.answer for call in calls] == [1, 1]
    models.close()


async def test_a_deadline_ends_one_call_and_changes_nothing_else():
    models = repository(Shelf(m={None: 1}))
    served = models.ready("m")
    served.model.hold = threading.Event()
    loop = asyncio.get_running_loop()
    late, patient = Waiting(loop.time() + 0.05), Waiting()
    served.submit(late)
    served.submit(patient)
    async with asyncio.timeout(30):
        with pytest.raises(Exception, match="did not answer within the time"):
            await late.answer
        served.model.hold.set()
        assert await patient.answer == 1
    assert served.ready
    models.close()


async def test_a_call_without_end_turns_its_model_not_ready_and_is_told():
    models = repository(Shelf(m={None: 1}, other={None: 2}), Scheduling(limit=0.2))
    told = []
    models.stuck = lambda served, reason: told.append((served.model.name, reason))
    served = models.ready("m")
    served.model.hold = threading.Event()
    stuck, behind = Waiting(), Waiting()
    served.submit(stuck)
    served.submit(behind)
    async with asyncio.timeout(30):
        for call in (stuck, behind):
            with pytest.raises(ModelNotReady, match=r"predict has not returned for 0\.2 s"):
                await call.answer
    assert told == [("m", "predict has not returned for 0.2 s")]
    with pytest.raises(ModelNotReady):
        models.ready("m")
    assert await ask(models, "other") == 2
    served.model.hold.set()
    models.close()


async def test_as_many_calls_run_at_once_as_may():
    models = repository(Shelf(m={None: 1}), Scheduling(concurrency=3))
    served = models.ready("m")
    inside, most = [], []
    release = threading.Event()

    def infer(inputs, options):
        inside.append(1)
        most.append(len(inside))
        assert release.wait(30)
        inside.pop()
        return [Tensor("output-0", np.ones(1))]

    served.model.infer = infer
    calls = [Waiting() for _ in range(6)]
    for call in calls:
        served.submit(call)
    while len(inside) < 3:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert len(inside) == 3
    release.set()
    async with asyncio.timeout(30):
        await asyncio.gather(*(call.answer for call in calls))
    assert max(most) == 3
    models.close()


async def test_with_a_latency_calls_wait_for_company_and_a_full_one_does_not():
    models = repository(Shelf(m={None: 1}), Scheduling(latency=0.2, rows=3, batching=True))
    served = models.ready("m")
    sizes = []

    def infer(inputs, options):
        sizes.append(len(inputs[0].array))
        return [Tensor("output-0", np.ones(len(inputs[0].array)))]

    served.model.infer = infer
    calls = [Waiting() for _ in range(2)]
    for call in calls:
        served.submit(call)
        await asyncio.sleep(0.02)
    async with asyncio.timeout(30):
        await asyncio.gather(*(call.answer for call in calls))
        assert sizes[0] == 2, "two that came one after the other went together"
        full = [Waiting() for _ in range(3)]
        for call in full:
            served.submit(call)
        await asyncio.gather(*(call.answer for call in full))
    models.close()
