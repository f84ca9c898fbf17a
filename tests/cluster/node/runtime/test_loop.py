"""The loop of a pod parent. A mistake in it would take every pod along."""

from __future__ import annotations

import os
import selectors
import signal
import socket
from collections.abc import Iterator

import pytest

from mizzen.cluster.node.runtime.loop import Loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    before = signal.set_wakeup_fd(-1)
    try:
        yield Loop()
    finally:
        signal.set_wakeup_fd(before)


@pytest.mark.parametrize("closes", [0, 1])
def test_what_closes_another_that_is_ready_in_the_same_round(loop: Loop, closes: int) -> None:
    """As a message does that goes to a client which has hung up meanwhile."""
    pairs = [socket.socketpair() for _ in range(2)]
    told: list[int] = []

    def ready(place: int) -> None:
        told.append(place)
        for own, _ in pairs:
            if own.fileno() >= 0:
                loop.unwatch(own)
                own.close()
        loop.stop()

    # The order within a round is the system's; each of them is watched first once.
    for place in (closes, 1 - closes):
        pairs[place][1].send(b"x")
        loop.watch(pairs[place][0], selectors.EVENT_READ, lambda _, place=place: ready(place))
    loop.run()
    assert len(told) == 1


def test_a_descriptor_that_is_used_anew_in_the_same_round_is_not_the_old_one(loop: Loop) -> None:
    first, second = os.pipe(), os.pipe()
    told: list[str] = []

    def ready(name: str, own: tuple[int, int], other: tuple[int, int]) -> None:
        told.append(name)
        loop.unwatch(own[0])
        loop.unwatch(other[0])
        os.close(other[0])
        # The lowest free number: that of the one just closed.
        again = os.dup(first[1])
        assert again == other[0]
        loop.watch(again, selectors.EVENT_WRITE, lambda _: told.append("anew") or loop.stop())

    for name, own, other in (("first", first, second), ("second", second, first)):
        os.write(own[1], b"x")
        loop.watch(own[0], selectors.EVENT_READ, lambda _, name=name, own=own, other=other: ready(name, own, other))
    loop.run()
    assert len(told) == 2 and told[1] == "anew"


def test_timers_run_in_their_order_and_not_once_cancelled(loop: Loop) -> None:
    told: list[str] = []
    loop.after(0.02, loop.stop)
    loop.after(0.01, lambda: told.append("second"))
    loop.after(0.0, lambda: told.append("first"))
    loop.after(0.005, lambda: told.append("never")).cancel()
    loop.run()
    assert told == ["first", "second"]
