"""The life of one element, end to end, as the reference traces it: in both dialects, with and without a broker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mizzen.acm.messages.concepts import Identifier
from mizzen.acm.participant.handler import Element
from mizzen.acm.participant.participant import Participant
from mizzen.bus import Broker
from participant_world import (
    OPERATION,
    C,
    E,
    I,
    NoBus,
    P,
    R,
    Runtime,
    StubHandler,
    configuration,
    essence,
    golden,
    older,
    replica_over,
    runtime_over,
    taking_part,
    until,
)

Spoken = Callable[[dict[str, Any]], dict[str, Any]]

DEFINITION = Identifier("onap.policy.clamp.ac.element.KserveAutomationCompositionElement", "1.2.3")


def same(message: dict[str, Any]) -> dict[str, Any]:
    return message


async def life(runtime: Runtime, handler: StubHandler, spoken: Spoken) -> None:
    """Every step of section 16 that concerns a participant, but its end."""

    async def answered(order: str, ack: str) -> None:
        await runtime.say(spoken(golden(order)))
        assert essence(await runtime.ack()) == essence(golden(ack, responseTo=golden(order)["messageId"]))

    assert essence(await runtime.next()) == essence(golden("01"))
    await runtime.say(golden("02"))
    assert essence(await runtime.next()) == essence(golden("03"))
    await answered("05", "06")
    await runtime.say(golden("07"))
    await runtime.say(golden("04"))  # answered once the synchronisation has been taken
    await runtime.next("PARTICIPANT_STATUS")
    await answered("08", "09")
    await runtime.say(golden("11"))
    await until(lambda: "deployed" in handler.names())
    await answered("13", "14")
    await runtime.say(undeployed())
    await until(lambda: "gone" in handler.names())
    await answered("20", "21")
    await runtime.say(golden("22"))
    await until(lambda: handler.names().count("gone") == 2)
    await answered("23", "24")
    await runtime.say(golden("25"))
    await runtime.say(golden("04"))
    await runtime.next("PARTICIPANT_STATUS")
    await runtime.say(spoken(golden("20", messageId="5eed0001-0915-4000-8000-000000000915")))
    assert essence(await runtime.ack()) == essence(golden("21b"))
    assert handler.names() == ["deploy", "deployed", "undeploy", "gone", "gone"]


def undeployed() -> dict[str, Any]:
    """What the runtime tells after step 17, of which there is no golden."""
    message = golden("11")
    instance = message["automationcompositionList"][0]
    for told in (instance, *instance["acElementList"]):
        told |= {"deployState": "UNDEPLOYED", "lockState": "NONE"}
    return message


@pytest.mark.parametrize("spoken", [same, older], ids=["newer", "older"])
async def test_a_life_without_a_broker(spoken: Spoken) -> None:
    bus, handler = NoBus(), StubHandler()
    async with taking_part(Participant(configuration(), bus, handler)):
        await life(bus, handler, spoken)
        for call in handler.calls[:1]:
            element: Element = call[1]
            assert (element.composition_id, element.instance_id, element.element_id) == (C, I, E)
            assert element.definition == DEFINITION
            assert element.composition_properties["uninitializedToPassiveTimeout"] == 300
            assert element.properties["kserveInferenceEntities"][0]["name"]
    assert essence(bus.heard[-1]) == essence(golden("26"))
    assert handler.closed
    assert {topic for topic, _ in bus.sent} == {OPERATION}


@pytest.mark.parametrize("spoken", [same, older], ids=["newer", "older"])
async def test_a_life_over_kafka(broker: Broker, spoken: Spoken) -> None:
    handler = StubHandler()
    async with runtime_over(broker.settings) as runtime:
        async with replica_over(broker.settings, handler) as participant:
            await life(runtime, handler, spoken)
            assert participant.registered
            assert await participant.health() == {"kafka": None, "handler": None}
        assert essence(await runtime.next("PARTICIPANT_DEREGISTER")) == essence(golden("26"))


async def test_what_is_told_unasked_is_a_status() -> None:
    bus, handler = NoBus(), StubHandler()
    async with taking_part(Participant(configuration(), bus, handler)):
        await bus.register()
        for number in ("05", "07", "08"):
            await bus.say(golden(number))
        await bus.next("AUTOMATION_COMPOSITION_STATECHANGE_ACK")
        await bus.say(golden("11"))
        assert handler.publisher is not None
        await handler.publisher.element_info(
            I,
            E,
            out_properties={"url": "http://sklearn-iris.kserve-test.example.com"},
            operational_state="ENABLED",
            use_state="ACTIVE",
        )
        assert essence(await bus.next("PARTICIPANT_STATUS")) == essence(golden("10"))
        assert bus.sent[-1] == (OPERATION, str(C))
        assert (configuration().participant_id, configuration().replica_id) == (P, R)
