"""Requests that share calls: who is joined with whom, and that nobody ever feels it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import Any

import numpy as np
import pytest

from mizzen.serve.errors import InvalidInput
from mizzen.serve.lanes.batching import CHECK_EVERY, FIRST_CHECKS
from mizzen.serve.lanes.lane import Call
from mizzen.serve.lanes.placement import WINDOW
from mizzen.serve.lanes.scheduling import Scheduling
from mizzen.serve.model import Extras, Options, Tensor, TensorModel
from mizzen.serve.repository import Repository
from mizzen.serve.served import Served


class Waiting(Call):
    """A call whose answer a test waits for."""

    __slots__ = ("answer",)

    def __init__(self, inputs: list[Tensor]) -> None:
        super().__init__(inputs, time.perf_counter())
        self.answer: asyncio.Future[list[Tensor]] = asyncio.get_running_loop().create_future()

    def resolve(self, outputs: list[Tensor], extras: Extras | None = None) -> None:
        self.answer.set_result(outputs)

    def reject(self, error: BaseException) -> None:
        self.answer.set_exception(error)


class Double(TensorModel):
    """Twice its input; keeps the calls it got. Says no to 13, quits at 66."""

    def __init__(self) -> None:
        super().__init__("double")
        self.batchable = True
        self.foreign = False
        self.calls: list[np.ndarray] = []
        self.threads: list[int] = []
        self.hold: threading.Event | None = None

    def load(self) -> None:
        pass

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        self.threads.append(threading.get_ident())
        if self.hold is not None:
            self.hold.wait(10)
        array = inputs[0].array
        self.calls.append(array)
        if np.any(array == 13):
            raise ValueError("13 is not liked here")
        if np.any(array == 66):
            raise SystemExit(3)
        return [Tensor("o", array * 2)]


def row(*values: float) -> list[Tensor]:
    return [Tensor("x", np.array([values], float))]


def served(model: TensorModel, scheduling: Scheduling | None = None) -> Served:
    return Repository(scheduling).load(model)


async def ask(service: Served, *requests: list[Tensor]) -> list[Any]:
    calls = [Waiting(inputs) for inputs in requests]
    for call in calls:
        service.lane.submit(call)
    async with asyncio.timeout(20):
        found = await asyncio.gather(*(call.answer for call in calls), return_exceptions=True)
    return [answer if isinstance(answer, BaseException) else answer[0].array.tolist() for answer in found]


async def settle(service: Served) -> None:
    """Ask until predict has earned the loop and the first checks are over."""
    for turn in range(WINDOW + FIRST_CHECKS):
        await ask(service, row(-turn), row(-turn - 0.5))
    service.model.calls.clear()
    service.model.threads.clear()


async def test_what_arrives_together_shares_one_call():
    service = served(Double())
    await settle(service)
    assert await ask(service, *(row(n) for n in range(20, 40))) == [[[2.0 * n]] for n in range(20, 40)]
    assert len(service.model.calls) == 1
    assert service.model.calls[0].shape == (20, 1)


async def test_what_arrives_during_a_call_goes_into_the_next():
    service = served(Double())
    await ask(service, row(1))
    service.model.hold = threading.Event()
    service.model.calls.clear()
    first = asyncio.create_task(ask(service, row(1)))
    await asyncio.sleep(0.05)
    rest = [asyncio.create_task(ask(service, row(n))) for n in range(2, 12)]
    await asyncio.sleep(0.05)
    assert service.lane.in_flight == 11
    service.model.hold.set()
    assert await first == [[[2.0]]]
    assert [await task for task in rest] == [[[[2.0 * n]]] for n in range(2, 12)]
    assert len(service.model.calls[0]) == 1
    assert len(service.model.calls[1]) == 10
    assert service.lane.in_flight == 0


async def test_requests_that_do_not_fit_have_calls_of_their_own():
    service = served(Double())
    await settle(service)
    requests = [row(1), row(1, 2), [Tensor("x", np.array([[1]]))], row(2), [Tensor("y", np.array([[1.0]]))]]
    answers = await ask(service, *requests)
    assert answers == [[[2.0]], [[2.0, 4.0]], [[2]], [[4.0]], [[2.0]]]
    assert sorted(call.shape for call in service.model.calls) == [(1, 1), (1, 1), (1, 2), (2, 1)]


@pytest.mark.parametrize(
    ("batching", "sizes"),
    [
        (Scheduling(rows=4), [4, 4, 2]),
        (Scheduling(size=8 * 3), [3, 3, 3, 1]),
        (Scheduling(batching=False), [1] * 10),
    ],
)
async def test_how_much_one_call_may_hold(batching, sizes):
    service = served(Double(), batching)
    await settle(service)
    await ask(service, *(row(n) for n in range(10)))
    assert [len(call) for call in service.model.calls] == sizes


async def test_a_request_that_is_larger_than_a_call_goes_alone():
    service = served(Double(), Scheduling(rows=4))
    await settle(service)
    large = [Tensor("x", np.arange(9.0).reshape(9, 1))]
    assert (await ask(service, row(1), large, row(2)))[1] == (np.arange(9.0).reshape(9, 1) * 2).tolist()
    assert sorted(len(call) for call in service.model.calls) == [1, 1, 9]


async def test_models_whose_rows_may_depend_on_each_other_are_asked_singly_unless_declared():
    model = Double()
    model.batchable = False
    service = served(model)
    await ask(service, *(row(n) for n in range(10)))
    assert [len(call) for call in model.calls] == [1] * 10
    declared = served(model, Scheduling(batching=True))
    assert declared.lane.batching


async def test_an_error_is_told_to_the_request_that_caused_it_alone():
    service = served(Double())
    await settle(service)
    for _ in range(3):
        answers = await ask(service, row(1), row(13), row(2), row(66), row(3))
        assert [answers[at] for at in (0, 2, 4)] == [[[2.0]], [[4.0]], [[6.0]]]
        assert str(answers[1]) == "13 is not liked here"
        assert "sys.exit(3)" in str(answers[3])
    assert service.metrics.retried == 15
    assert service.lane.batching, "an error is no reason to stop batching"


async def test_a_single_request_is_not_asked_twice():
    service = served(Double())
    await settle(service)
    [answer] = await ask(service, row(13))
    assert isinstance(answer, ValueError)
    assert len(service.model.calls) == 1


async def test_requests_that_nobody_waits_for_are_left_out():
    service = served(Double())
    await settle(service)
    calls = [Waiting(row(n)) for n in range(6)]
    for call in calls:
        service.lane.submit(call)
    calls[1].settled = calls[4].settled = True
    async with asyncio.timeout(10):
        await calls[5].answer
    assert service.model.calls[0].tolist() == [[0.0], [2.0], [3.0], [5.0]]
    assert not calls[1].answer.done()


async def test_a_batch_of_which_nobody_is_left_is_not_asked():
    service = served(Double())
    await settle(service)
    gone = Waiting(row(1))
    service.lane.submit(gone)
    gone.settled = True
    await asyncio.sleep(0.05)
    assert service.model.calls == []
    assert await ask(service, row(2)) == [[[4.0]]]


async def test_an_answer_that_cannot_be_encoded_is_an_error_of_its_request():
    class Unencodable(Waiting):
        __slots__ = ()

        def resolve(self, outputs: list[Tensor], extras: Extras | None = None) -> None:
            raise InvalidInput("no form for this")

    service = served(Double())
    await settle(service)
    bad, good = Unencodable(row(1)), Waiting(row(2))
    service.lane.submit(bad)
    service.lane.submit(good)
    async with asyncio.timeout(10):
        with pytest.raises(InvalidInput):
            await bad.answer
        assert (await good.answer)[0].array.tolist() == [[4.0]]


async def test_the_first_call_runs_on_the_thread_and_quick_ones_then_on_the_loop():
    service = served(Double())
    await ask(service, row(1))
    assert service.model.threads[0] != threading.get_ident()
    await settle(service)
    await ask(service, row(1))
    assert service.model.threads == [threading.get_ident()]


async def test_a_slow_model_does_not_hold_up_the_loop():
    service = served(Double())
    service.model.hold = threading.Event()
    asking = asyncio.create_task(ask(service, row(1)))
    async with asyncio.timeout(10):
        while not service.model.threads:  # the loop turns while predict runs
            await asyncio.sleep(0.001)
    assert not asking.done()
    service.model.hold.set()
    await asking
    assert threading.get_ident() not in service.model.threads


async def test_code_that_is_not_ours_stays_on_the_thread():
    model = Double()
    model.foreign = True
    service = served(model)
    await settle(service)
    await ask(service, row(1))
    assert threading.get_ident() not in model.threads


async def test_a_heavy_request_runs_on_the_thread_and_says_nothing_about_the_others():
    class Proportional(Double):
        def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
            if inputs[0].array.nbytes > 64 * 1024:
                time.sleep(0.01)
            return super().infer(inputs, options)

    service = served(Proportional())
    await settle(service)
    heavy = [Tensor("x", np.zeros((9000, 1)))]
    for _ in range(3):
        await ask(service, heavy)
        await ask(service, row(1))
    assert [thread == threading.get_ident() for thread in service.model.threads] == [False, True] * 3


async def test_one_models_trouble_is_not_anothers():
    slow, quick = served(Double()), served(Double())
    await settle(quick)
    slow.model.hold = threading.Event()
    stuck = asyncio.create_task(ask(slow, row(1)))
    await asyncio.sleep(0.02)
    assert await ask(quick, row(2)) == [[[4.0]]]
    assert not stuck.done()
    slow.model.hold.set()
    assert await stuck == [[[2.0]]]


class Centred(Double):
    """Its answer depends on the rows beside: what must never be batched."""

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        super().infer(inputs, options)
        return [Tensor("o", inputs[0].array - inputs[0].array.mean())]


async def test_a_model_whose_rows_depend_on_each_other_is_found_out_and_nobody_gets_a_wrong_answer(caplog):
    service = served(Centred())
    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            answers = await ask(service, *(row(n) for n in range(5)))
            assert answers == [[[0.0]]] * 5
    assert not service.lane.batching
    assert caplog.text.count("model double: requests share no calls any more") == 1
    assert "depends on the requests beside it" in caplog.text


async def test_groups_that_were_waiting_when_it_was_found_out_are_not_joined_either():
    service = served(Centred(), Scheduling(rows=4))
    assert await ask(service, *(row(-n) for n in range(40))) == [[[0.0]]] * 40
    assert not service.lane.batching
    assert max(map(len, service.model.calls[1:])) == 1, "nothing was joined after the first"


@pytest.mark.parametrize("outputs", [lambda a: a.sum(axis=0, keepdims=True), lambda a: np.array(7.0), lambda a: a.T])
async def test_outputs_without_a_row_for_each_row_turn_batching_off(outputs, caplog):
    class Odd(Double):
        def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
            super().infer(inputs, options)
            return [Tensor("o", outputs(inputs[0].array))]

    service = served(Odd())
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            answers = await ask(service, row(1, 2), row(3, 4), row(5, 6))
            assert answers == [outputs(np.array([r])).tolist() for r in ([1.0, 2.0], [3.0, 4.0], [5.0, 6.0])]
    assert not service.lane.batching
    assert "one row for each row" in caplog.text


async def test_company_that_hides_an_error_is_found_out():
    class Lenient(Double):
        def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
            if len(inputs[0].array) == 1 and inputs[0].array[0, 0] < 0:
                raise ValueError("negative")
            return [Tensor("o", inputs[0].array * 2)]

    service = served(Lenient())
    answers = await ask(service, row(1), row(-1))
    assert answers[0] == [[2.0]]
    assert str(answers[1]) == "negative"
    assert not service.lane.batching


async def test_the_first_mixed_batches_are_checked_and_then_one_in_a_thousand():
    service = served(Double())
    for turn in range(FIRST_CHECKS):
        await ask(service, row(turn), row(-1))
        assert service.metrics.checked == turn + 1
    for turn in range(CHECK_EVERY - 1):
        await ask(service, row(turn), row(-1))
    assert service.metrics.checked == FIRST_CHECKS
    await ask(service, row(5), row(-1))
    assert service.metrics.checked == FIRST_CHECKS + 1


async def test_batches_of_equal_rows_are_no_check_and_cost_little():
    service = served(Double())
    for _ in range(300):
        await ask(service, row(1), row(1), row(1))
    assert service.metrics.checked == 0
    assert sum(len(call) == 3 for call in service.model.calls) == 300
    assert len(service.model.calls) == 300


async def test_single_requests_are_no_check():
    service = served(Double())
    for turn in range(20):
        await ask(service, row(turn))
    assert service.metrics.checked == 0
    assert len(service.model.calls) == 20


@pytest.mark.parametrize("seed", range(4))
async def test_under_load_every_request_gets_its_own_answer(seed):
    """Distinguishable rows, mixed kinds, errors, cancellations, on the thread and on the loop."""
    random = np.random.default_rng(seed)
    service = served(Double(), Scheduling(rows=16))

    async def one(number: int) -> None:
        await asyncio.sleep(float(random.random()) * 0.02)
        value = 13.0 if number % 50 == 7 else number + 1000.0
        width = 1 + number % 3
        call = Waiting([Tensor("x", np.full((1 + number % 4, width), value))])
        service.lane.submit(call)
        if number % 41 == 5:
            call.settled = True
            return
        try:
            [output] = await call.answer
        except ValueError as error:
            assert (value, str(error)) == (13.0, "13 is not liked here")
        else:
            assert value != 13.0
            np.testing.assert_array_equal(output.array, np.full((1 + number % 4, width), value * 2))

    async with asyncio.timeout(30):
        for _ in range(3):
            await asyncio.gather(*(one(number) for number in range(400)))
    assert service.lane.in_flight == 0


async def test_nothing_starts_before_it_is_needed():
    before = threading.active_count()
    service = served(Double())
    assert threading.active_count() == before
    await ask(service, row(1))
    assert threading.active_count() == before + 1
    service.lane.close()


async def test_the_thread_is_prepared_before_its_first_call():
    order = []

    class Noting(Double):
        def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
            order.append(("infer", threading.get_ident()))
            return super().infer(inputs, options)

    repository = Repository(None, lambda: order.append(("prepare", threading.get_ident())))
    service = repository.load(Noting())
    await ask(service, row(1))
    await ask(service, row(2))
    assert [what for what, _ in order] == ["prepare", "infer", "infer"]
    assert len({thread for _, thread in order}) == 1
    repository.close()


@pytest.mark.parametrize("outputs", [None, [], 7, [Tensor("o", None)], ["x"]])  # type: ignore[arg-type]
async def test_a_model_that_answers_nonsense_leaves_nobody_waiting(outputs):
    class Nonsense(Double):
        def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
            return outputs  # type: ignore[return-value]

    service = served(Nonsense())
    calls = [Waiting(row(n)) for n in range(3)]
    for call in calls:
        service.lane.submit(call)
    async with asyncio.timeout(10):
        answers = await asyncio.gather(*(call.answer for call in calls), return_exceptions=True)
    assert len(answers) == 3
    assert not service.lane.batching


async def test_an_answer_that_cannot_be_handed_over_is_one_requests_trouble(caplog):
    class Impossible(Waiting):
        __slots__ = ()

        def resolve(self, outputs: list[Tensor], extras: Extras | None = None) -> None:
            raise RuntimeError("no")

        def reject(self, error: BaseException) -> None:
            raise RuntimeError("no, either")

    service = served(Double())
    await settle(service)
    bad, good = Impossible(row(1)), Waiting(row(2))
    service.lane.submit(bad)
    service.lane.submit(good)
    async with asyncio.timeout(10):
        assert (await good.answer)[0].array.tolist() == [[4.0]]
    assert "no, either" in caplog.text


async def test_what_ends_a_thread_is_an_answer_too(monkeypatch):
    """Not even a defect of ours on the model's thread may leave requests without an answer."""
    service = served(Double())

    def broken(*arguments: Any) -> Any:
        raise KeyboardInterrupt("on the thread")

    monkeypatch.setattr("mizzen.serve.lanes.execution.attempt", broken)
    [answer] = await ask(service, row(1))
    assert isinstance(answer, KeyboardInterrupt)
    monkeypatch.undo()
    assert await ask(service, row(2)) == [[[4.0]]]
