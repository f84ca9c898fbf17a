from __future__ import annotations

import threading
from functools import partial

import pytest

from mizzen.storage.errors import StorageError
from mizzen.storage.workers import Stop, Stopped, all_of


@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_every_task_is_done_once(at_once: int) -> None:
    done: list[int] = []
    all_of([partial(done.append, number) for number in range(20)], at_once, Stop())
    assert sorted(done) == list(range(20))


def test_no_more_than_that_many_at_once() -> None:
    three = threading.Barrier(3)
    all_of([lambda: three.wait(60) and None for _ in range(9)], 3, Stop())


@pytest.mark.parametrize("at_once", [1, 3])
def test_the_first_failure_ends_the_others(at_once: int) -> None:
    stop, done = Stop(), []

    def fail() -> None:
        raise IndexError("of a task")

    def wait() -> None:
        stop.sleep(60)

    with pytest.raises(IndexError, match="of a task"):
        all_of([fail, wait, wait, lambda: done.append(1)], at_once, stop)
    assert done == []


def test_a_failure_within_is_told_and_not_that_others_stopped() -> None:
    stop = Stop()

    def fail() -> None:
        raise StorageError("the reason")

    def wait() -> None:
        stop.sleep(60)

    def inner() -> None:
        all_of([wait, fail], 2, stop)

    for _ in range(20):
        stop = Stop()
        with pytest.raises(StorageError, match="the reason"):
            all_of([inner, wait, wait], 3, stop)


def test_a_thread_that_hears_nothing_is_left_behind() -> None:
    over = threading.Event()

    def deaf() -> None:
        over.wait(60)

    def fail() -> None:
        raise StorageError("the reason")

    with pytest.raises(StorageError, match="the reason"):
        all_of([deaf, fail], 2, Stop())
    over.set()


def test_what_was_stopped_stays_stopped() -> None:
    stop = Stop()
    stop.check()
    stop.say()
    with pytest.raises(Stopped):
        all_of([lambda: None, lambda: None], 1, stop)
    with pytest.raises(Stopped):
        all_of([lambda: None, lambda: None], 2, stop)
