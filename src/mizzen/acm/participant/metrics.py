"""How often messages came and went and how long each took, under the names that ONAP's dashboards ask for.

Names are Micrometer's (``listener.participant_prime``); Prometheus is told them with underscores and the usual endings.
A timer's maximum is that of the last minutes, as with Micrometer, so that one bad moment fades.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily

from mizzen.acm.messages.acks import DeregisterAck, PrimeAck, RegisterAck, StateChangeAck
from mizzen.acm.messages.envelope import Envelope
from mizzen.acm.messages.orders import Deploy, Migration, Prepare, Prime, PropertiesUpdate, StateChange
from mizzen.acm.messages.reports import Deregister, Register, RequestSync, Status
from mizzen.acm.messages.sync import StatusRequest, Sync

LISTENER: dict[type[Envelope], str] = {
    StatusRequest: "participant_status_req",
    RegisterAck: "participant_register_ack",
    DeregisterAck: "participant_deregister_ack",
    Prime: "participant_prime",
    Sync: "participant_sync_msg",
    Deploy: "automation_composition_update",
    StateChange: "automation_composition_state_change",
    Migration: "automation_composition_migration",
    PropertiesUpdate: "properties_update",
    Prepare: "prepare",
}
PUBLISHER: dict[type[Envelope], str] = {
    Register: "participant_register",
    Deregister: "participant_deregister",
    Status: "participant_status",
    RequestSync: "participant_req_sync",
    PrimeAck: "participant_prime_ack",
    StateChangeAck: "automation_composition_update_ack",
}

_STEP = 60.0
_STEPS = 3


class Timer:
    """
    Attributes:
        name: Micrometer's.
        count, total: calls, and the seconds that they took.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.count = 0
        self.total = 0.0
        self._clock = clock
        self._highest: dict[int, float] = {}

    def record(self, seconds: float) -> None:
        self.count += 1
        self.total += seconds
        step = int(self._clock() // _STEP)
        if step not in self._highest:
            self._highest = {known: value for known, value in self._highest.items() if known > step - _STEPS}
        self._highest[step] = max(seconds, self._highest.get(step, 0.0))

    @property
    def highest(self) -> float:
        """The longest of the last two to three minutes, in seconds."""
        oldest = int(self._clock() // _STEP) - _STEPS
        return max((value for step, value in self._highest.items() if step > oldest), default=0.0)


class Metrics:
    """A participant's, in a registry of its own: several may run in one process."""

    def __init__(self) -> None:
        self._timers = {
            **{kind: Timer(f"listener.{name}") for kind, name in LISTENER.items()},
            **{kind: Timer(f"publisher.{name}") for kind, name in PUBLISHER.items()},
        }
        self._by_name = {timer.name: timer for timer in self._timers.values()}
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self.undecodable = 0
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    @contextmanager
    def timed(self, kind: type[Envelope]) -> Iterator[None]:
        """Count one message of a kind, and how long it takes."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            if kind in self._timers:
                self._timers[kind].record(time.perf_counter() - begun)

    def gauge(self, name: str, description: str, read: Callable[[], float]) -> None:
        self._gauges[name] = (description, read)

    def collect(self) -> Iterator[Metric]:
        """For the registry."""
        for timer in self._by_name.values():
            name = _prometheus(timer.name)
            about = f"Seconds of {timer.name}"
            yield SummaryMetricFamily(f"{name}_seconds", about, count_value=timer.count, sum_value=timer.total)
            yield GaugeMetricFamily(f"{name}_seconds_max", about, value=timer.highest)
        for name, (about, read) in self._gauges.items():
            yield GaugeMetricFamily(_prometheus(name), about, value=read())
        yield CounterMetricFamily(
            "participant_undecodable_records", "Records that hold no message", value=self.undecodable
        )

    def prometheus(self) -> bytes:
        return generate_latest(self.registry)

    def names(self) -> dict[str, Any]:
        """As ``/metrics`` of Spring's actuator has it."""
        return {"names": sorted([*self._by_name, *self._gauges])}

    def one(self, name: str) -> dict[str, Any] | None:
        """As ``/metrics/{name}`` has it; None for a name that there is not."""
        if timer := self._by_name.get(name):
            values = {"COUNT": float(timer.count), "TOTAL_TIME": timer.total, "MAX": timer.highest}
            return _measured(name, None, "seconds", values)
        if gauge := self._gauges.get(name):
            return _measured(name, gauge[0], None, {"VALUE": gauge[1]()})
        return None


def _measured(name: str, description: str | None, unit: str | None, values: dict[str, float]) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name}
    if description:
        found["description"] = description
    if unit:
        found["baseUnit"] = unit
    found["measurements"] = [{"statistic": statistic, "value": value} for statistic, value in values.items()]
    return found | {"availableTags": []}


def _prometheus(name: str) -> str:
    return name.replace(".", "_")
