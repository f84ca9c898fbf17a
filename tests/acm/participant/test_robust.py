"""Whatever a message lacks or holds, the one after it is carried out."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mizzen.acm.participant.held import Holding, operation_timeout
from mizzen.acm.participant.moments import moment
from mizzen.acm.participant.revisions import Missing
from mizzen.acm.participant.stages import migrate_stages, prepare_stages, start_phase
from participant_world import NEWER, WIRE, AbleHandler, I, again, golden, older, registered, settle

ALL = sorted(path.name.removeprefix("wire-").partition("-")[0] for path in WIRE.glob("*.json"))


def lacking(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The message without each of its members, with each null, and with each list or map empty."""
    found = []
    for key, value in message.items():
        found += [{name: each for name, each in message.items() if name != key}, message | {key: None}]
        if isinstance(value, list | dict):
            found.append(message | {key: type(value)()})
    return found


@pytest.mark.parametrize("number", ALL)
async def test_whatever_is_lacking(number: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    handler = AbleHandler()
    async with registered(handler) as bus:
        for spoken in (golden(number), older(golden(number))):
            for message in lacking(spoken):
                await bus.say(json.dumps(message).encode(), "policy-acruntime-participant")
                await settle()
        await bus.say(golden("25"))
        await bus.say(golden("22", timestamp="2030-01-01T00:00:00Z"))
        await settle()
        await bus.say(again(golden("05")))
        await bus.say(golden("07"))
        order = again(golden("08"))
        await bus.say(order)
        while (await bus.ack())["responseTo"] != order["messageId"]:
            continue
    assert [record.getMessage() for record in caplog.records] == []


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(properties=st.dictionaries(st.sampled_from(["startPhase", "stage", "x"]), anything))
def test_properties_that_nobody_has_checked(properties: dict[str, Any]) -> None:
    assert isinstance(start_phase(properties), int)
    assert migrate_stages(properties)
    assert prepare_stages(properties)


@pytest.mark.parametrize(
    ("properties", "phase", "prepare", "migrate"),
    [
        ({}, 0, {0}, {0}),
        ({"startPhase": 2, "stage": [1, 2]}, 2, {0}, {1, 2}),
        ({"startPhase": "3", "stage": {"prepare": [1], "migrate": ["2", 5]}}, 3, {1}, {2, 5}),
        ({"startPhase": "soon", "stage": {"prepare": []}}, 0, {0}, {0}),
        ({"startPhase": True, "stage": "x"}, 0, {0}, {0}),
    ],
)
def test_phases_and_stages(properties: dict[str, Any], phase: int, prepare: set[int], migrate: set[int]) -> None:
    assert (start_phase(properties), prepare_stages(properties), migrate_stages(properties)) == (
        phase,
        prepare,
        migrate,
    )


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (None, "2026-08-21T12:00:00Z"),
        ("never", "2026-08-21T12:00:00Z"),
        ("2026-08-21T12:00:00Z", "2026-08-21T12:00:00.1Z"),
        ("2026-08-21T12:00:00.123Z", "2026-08-21T12:00:00.123000001Z"),
        ("2026-08-21T12:00:00.999999999Z", "2026-08-21T12:00:01Z"),
        ("2026-08-21T14:00:00+02:00", "2026-08-21T12:00:00.5Z"),
    ],
)
def test_moments(earlier: str | None, later: str) -> None:
    assert moment(earlier) < moment(later)


def test_equal_moments() -> None:
    assert moment("2026-08-21T12:00:00Z") == moment("2026-08-21T12:00:00.000000000Z")
    assert moment("2026-08-21T12:00:00.5Z") == moment("2026-08-21T14:00:00.500+02:00")


@given(st.text(max_size=30))
def test_any_timestamp(text: str) -> None:
    assert isinstance(moment(text), int)


@pytest.mark.parametrize(
    ("number", "name"),
    [("08", "deployTimeoutMs"), ("13", "undeployTimeoutMs"), ("20", "deleteTimeoutMs"), ("12", "updateTimeoutMs")],
)
def test_an_order_is_held_as_long_as_its_operation_may_take(number: str, name: str) -> None:
    from mizzen.acm.messages.codec import decode

    message = golden(number)
    message["participantDtoList"][0]["elementDtos"][0]["instanceElementTarget"]["inProperties"][name] = 1500
    order: Any = decode(json.dumps(message).encode())
    assert operation_timeout(order, 600) == 1.5
    plain: Any = decode(json.dumps(golden(number)).encode())
    assert operation_timeout(plain, 600) == 600
    holding = Holding(600)
    holding.hold(order, Missing(instance=I), 10)
    holding.hold(order, Missing(instance=I), 10)
    holding.expire(11.4)
    assert len(holding) == 1
    holding.expire(11.5)
    assert len(holding) == 0


def test_the_newer_members_are_those_of_the_dialect() -> None:
    assert all(any(member in golden(number) for number in ALL) for member in NEWER)
