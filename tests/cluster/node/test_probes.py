"""The pace of probes and what they conclude, on a clock that only runs when nothing else is to be done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from mizzen.cluster.node import probes
from mizzen.cluster.node.checks import Result
from mizzen.cluster.node.probes import Probe, Prober, Tally

FOREVER = 1e9


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time is that of its next timer."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__()

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        loop: Any = self
        if not loop._ready and loop._scheduled:
            self.now = max(self.now, loop._scheduled[0]._when)
        loop_run: Callable[[], None] = super()._run_once  # type: ignore[misc]
        loop_run()


class Server:
    """A container that answers as told, and what its probes said of it, each with its time."""

    def __init__(self, loop: VirtualLoop, answers: Callable[[str, float], bool], cost: float = 0.001) -> None:
        self.loop = loop
        self.asked: list[tuple[str, float]] = []
        self.said: list[tuple[float, str]] = []
        self.killed = asyncio.Event()
        self._answers = answers
        self._cost = cost
        self._is_ready: bool | None = None

    async def check(self, probe: Probe) -> Result:
        self.asked.append((probe.kind, self.loop.time()))
        await asyncio.sleep(self._cost)
        return Result(self._answers(probe.kind, self.loop.time()), "no")

    def _say(self, what: str) -> None:
        self.said.append((round(self.loop.time(), 1), what))

    def started(self) -> None:
        self._say("started")

    def ready(self, is_ready: bool) -> None:
        if is_ready != self._is_ready:
            self._is_ready = is_ready
            self._say("ready" if is_ready else "unready")

    def failed(self, probe: Probe, message: str, in_a_row: int) -> None:
        self._say(f"{probe.kind} failed {in_a_row}")

    async def kill(self, probe: Probe) -> None:
        self._say(f"killed for {probe.kind}")
        self.killed.set()


def ask(
    monkeypatch: pytest.MonkeyPatch,
    container: dict[str, Any],
    answers: Callable[[str, float], bool],
    until: float,
    **known: bool,
) -> Server:
    """Probe a container that began at time 0 until a time."""
    loop = VirtualLoop()
    monkeypatch.setattr(probes, "time", type("Clock", (), {"time": staticmethod(loop.time)}))

    async def run() -> Server:
        server = Server(loop, answers)
        prober = Prober(container, server.check, server, 0.0)
        try:
            async with asyncio.timeout(until):
                await prober.run(**known)
        except TimeoutError:
            pass
        return server

    try:
        return loop.run_until_complete(run())
    finally:
        loop.close()


def probe(**fields: Any) -> dict[str, Any]:
    return {"tcpSocket": {"port": 1}} | fields


def after(seconds: float) -> Callable[[str, float], bool]:
    return lambda kind, now: now >= seconds


def test_without_probes_it_is_ready_when_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(monkeypatch, {}, after(0), 100).said == [(0, "started"), (0, "ready")]


@pytest.mark.parametrize("up", [0.01, 0.3, 5.0, 90.0])
def test_ready_follows_the_first_answer_closely(monkeypatch: pytest.MonkeyPatch, up: float) -> None:
    server = ask(monkeypatch, {"readinessProbe": probe(periodSeconds=10)}, after(up), 200)
    moment = next(moment for moment, what in server.said if what == "ready")
    assert up <= moment + 0.05 and moment <= up * 1.02 + 0.1


def test_a_server_that_never_answers_is_asked_ever_less(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ask(monkeypatch, {"readinessProbe": probe(periodSeconds=10)}, after(FOREVER), 3600)
    times = [moment for _, moment in server.asked]
    assert len(times) < 1500
    assert times[-1] - times[-2] == pytest.approx(10.0, abs=0.01)
    failures = [what for _, what in server.said if "failed" in what]
    # Once a period, however often it was asked.
    assert len(failures) == pytest.approx(360, abs=2)


def test_afterwards_it_is_asked_once_a_period(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ask(monkeypatch, {"readinessProbe": probe(periodSeconds=10)}, after(0), 101)
    assert len(server.asked) == 11


def test_ready_and_unready(monkeypatch: pytest.MonkeyPatch) -> None:
    def answers(kind: str, now: float) -> bool:
        return not 50 < now < 100

    container = {"readinessProbe": probe(periodSeconds=10, failureThreshold=2, successThreshold=2)}
    server = ask(monkeypatch, container, answers, 200)
    changes = [(moment, what) for moment, what in server.said if "ready" in what]
    # The first success counts, the second makes it ready.
    assert [what for _, what in changes] == ["unready", "ready", "unready", "ready"]
    assert [moment for moment, _ in changes] == pytest.approx([0, 10, 60, 110], abs=1)


def test_the_initial_delay_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ask(monkeypatch, {"readinessProbe": probe(initialDelaySeconds=7)}, after(0), 20)
    assert server.asked[0][1] == 7.0


def test_a_dead_server_is_killed_when_it_has_failed_often_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    container = {"livenessProbe": probe(periodSeconds=10, failureThreshold=3)}
    server = ask(monkeypatch, container, lambda kind, now: now < 45, 200)
    assert server.said[-1] == (70.0, "killed for Liveness")
    assert [what for _, what in server.said if "failed" in what] == [f"Liveness failed {n}" for n in (1, 2, 3)]


def test_one_failure_is_forgiven(monkeypatch: pytest.MonkeyPatch) -> None:
    container = {"livenessProbe": probe(periodSeconds=10, failureThreshold=2)}
    server = ask(monkeypatch, container, lambda kind, now: not 15 < now < 25, 300)
    assert not server.killed.is_set()


def test_others_wait_for_the_startup_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    container = {
        "startupProbe": probe(periodSeconds=10, failureThreshold=30),
        "livenessProbe": probe(failureThreshold=1),
        "readinessProbe": probe(),
    }
    server = ask(monkeypatch, container, after(60), 100)
    assert not server.killed.is_set()
    assert all(kind == "Startup" for kind, moment in server.asked if moment < 60)
    assert [what for _, what in server.said if "failed" not in what] == ["started", "ready"]


def test_a_start_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    container = {"startupProbe": probe(periodSeconds=10, failureThreshold=3), "readinessProbe": probe()}
    server = ask(monkeypatch, container, after(FOREVER), 100)
    moment, what = server.said[-1]
    assert what == "killed for Startup"
    # Never sooner than Kubernetes would.
    assert 30 <= moment < 31


def test_what_was_known_before_is_believed_until_it_is_disproved(monkeypatch: pytest.MonkeyPatch) -> None:
    container = {"startupProbe": probe(), "readinessProbe": probe(periodSeconds=10, failureThreshold=2)}
    server = ask(monkeypatch, container, after(FOREVER), 100, has_started=True, is_ready=True)
    assert server.asked[0] == ("Readiness", 0.0)
    assert [what for _, what in server.said if "failed" not in what] == ["ready", "unready"]


def test_intervals() -> None:
    assert probes.interval(0.0, 0.001, 10.0) == 0.02
    assert probes.interval(100.0, 0.001, 10.0) == 1.0
    assert probes.interval(1e6, 0.001, 10.0) == 10.0
    assert probes.interval(0.0, 0.1, 10.0) == 0.5
    assert probes.interval(0.0, 60.0, 10.0) == 10.0


def test_which_failures_are_told() -> None:
    told = [number for number in range(1, 100) if probes.is_worth_telling(number)]
    assert told == [1, 2, 3, 4, 8, 16, 32, 64]


@pytest.mark.parametrize(
    ("answers", "good", "wanted"),
    [
        ("+", False, "f"),
        ("++", False, "ft"),
        ("+-++", False, "ffft"),
        ("--", True, "tt"),
        ("---", True, "ttf"),
        ("--+---", True, "tttttf"),
    ],
)
def test_tallies(answers: str, good: bool, wanted: str) -> None:
    tally = Tally(Probe(kind="Readiness", handler={}, successes=2, failures=3), good)
    assert "".join("t" if tally.add(answer == "+") else "f" for answer in answers) == wanted


def test_a_clock_for_tests() -> None:
    loop = VirtualLoop()
    began = time.monotonic()
    loop.run_until_complete(asyncio.sleep(10_000))
    loop.close()
    assert loop.now == 10_000
    assert time.monotonic() - began < 1_000
