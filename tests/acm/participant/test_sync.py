"""What the runtime tells every replica: held orders go on, what was on the way is taken up again, what is over ends."""

from __future__ import annotations

import asyncio
import copy
from typing import Any
from uuid import uuid4

import pytest

from mizzen.acm.participant import participant as participant_module
from mizzen.bus.errors import BusError
from participant_world import (
    AbleHandler,
    C,
    E,
    I,
    R,
    StubHandler,
    again,
    forever,
    golden,
    older,
    registered,
    settle,
    until,
)


def restart(state: str, **changes: Any) -> dict[str, Any]:
    """What a replica is told that has just come, while an instance is in ``state``."""
    message = golden("19", **changes)
    [instance] = message["automationcompositionList"]
    for told in (instance, *instance["acElementList"]):
        told["deployState"] = state
        told["lockState"] = "LOCKED" if state in ("DEPLOYED", "UPDATING", "UPDATE_REVERTING", "MIGRATING") else "NONE"
    return message


def instance(state: str, at: str, result: str = "NO_ERROR", **changes: Any) -> dict[str, Any]:
    """What every replica is told of an instance."""
    message = golden("11", timestamp=at, **changes)
    [told] = message["automationcompositionList"]
    told["stateChangeResult"] = result
    for each in (told, *told["acElementList"]):
        each["deployState"] = state
        each["lockState"] = "LOCKED" if state == "DEPLOYED" else "NONE"
    return message


@pytest.mark.parametrize(
    ("state", "method", "deploy", "lock"),
    [
        ("DEPLOYING", "deploy", "DEPLOYED", "LOCKED"),
        ("UNDEPLOYING", "undeploy", "UNDEPLOYED", "NONE"),
        ("UPDATING", "update", "DEPLOYED", "LOCKED"),
        ("UPDATE_REVERTING", "rollback_update", "DEPLOYED", "LOCKED"),
    ],
)
async def test_a_new_replica_takes_up_what_is_on_the_way(state: str, method: str, deploy: str, lock: str) -> None:
    handler = AbleHandler()
    async with registered(handler) as bus:
        await bus.say(restart(state))
        ack = await bus.ack()
        told = ack["automationCompositionResultMap"][str(E)]
        assert (told["deployState"], told["lockState"], ack["stateChangeResult"]) == (deploy, lock, "NO_ERROR")
        assert "responseTo" not in ack
        assert handler.names() == [method]
        element = handler.calls[0][-1]
        assert element.composition_properties["uninitializedToPassiveTimeout"] == 300
        assert element.properties["kserveInferenceEntities"]


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("DEPLOYED", "deployed"),
        ("UNDEPLOYED", "gone"),
        ("DELETING", "gone"),
        ("MIGRATING", None),
    ],
)
async def test_a_new_replica_watches_over_what_is_deployed(state: str, says: str | None) -> None:
    handler = AbleHandler()
    async with registered(handler) as bus:
        await bus.say(restart(state))
        await settle()
        assert handler.names() == ([says] if says else [])
        assert bus.of("AUTOMATION_COMPOSITION_STATECHANGE_ACK") == []


async def test_what_is_told_twice_is_taken_up_once() -> None:
    handler = AbleHandler(deploy=forever)
    async with registered(handler) as bus:
        await bus.say(restart("DEPLOYING"))
        await until(lambda: handler.names() == ["deploy"])
        await bus.say(restart("DEPLOYING"))
        await settle()
        assert (handler.names(), handler.cancelled) == (["deploy"], [])


async def test_an_order_takes_the_place_of_what_was_taken_up() -> None:
    handler = AbleHandler(deploy=forever)
    async with registered(handler) as bus:
        await bus.say(restart("DEPLOYING"))
        await until(lambda: handler.names() == ["deploy"])
        await bus.say(golden("13"))
        ack = await bus.ack()
        assert (ack["message"], ack["responseTo"]) == ("Undeployed", golden("13")["messageId"])
        assert handler.cancelled == ["deploy"]


@pytest.mark.parametrize("state", ["DEPLOYED", "UNDEPLOYED", "UNDEPLOYING"])
async def test_another_state_ends_what_was_taken_up(state: str) -> None:
    handler = AbleHandler(deploy=forever)
    async with registered(handler) as bus:
        await bus.say(restart("DEPLOYING"))
        await until(lambda: handler.names() == ["deploy"])
        await bus.say(instance(state, "2026-08-21T12:00:30Z"))
        await until(lambda: handler.cancelled == ["deploy"])
        await settle()
        assert bus.of("AUTOMATION_COMPOSITION_STATECHANGE_ACK") == []
        says = {"DEPLOYED": ["deployed"], "UNDEPLOYED": ["gone"], "UNDEPLOYING": []}[state]
        assert handler.names() == ["deploy", *says]


async def test_what_was_sent_before_an_order_does_not_end_it() -> None:
    handler = AbleHandler(undeploy=forever)
    async with registered(handler) as bus:
        await bus.say(restart("DEPLOYED", timestamp="2026-08-21T12:00:01Z"))
        await bus.say(golden("13", timestamp="2026-08-21T12:00:02.5Z"))
        await until(lambda: "undeploy" in handler.names())
        await bus.say(instance("DEPLOYED", "2026-08-21T12:00:02Z"))
        await settle()
        assert handler.cancelled == []
        await bus.say(instance("DEPLOYED", "2026-08-21T12:00:02.500000001Z"))
        await until(lambda: handler.cancelled == ["undeploy"])


async def test_a_timeout_ends_what_is_done_and_nothing_is_said_of_it() -> None:
    handler = AbleHandler(deploy=forever)
    async with registered(handler) as bus:
        await bus.say(golden("07"))
        await bus.say(golden("08"))
        await until(lambda: handler.names() == ["deploy"])
        await bus.say(instance("DEPLOYING", "2026-08-21T12:01:00Z", "FAILED"))
        await settle()
        assert handler.cancelled == []
        await bus.say(instance("DEPLOYING", "2026-08-21T12:02:00Z", "TIMEOUT"))
        await until(lambda: handler.cancelled == ["deploy"])
        await settle()
        assert bus.of("AUTOMATION_COMPOSITION_STATECHANGE_ACK") == []


async def test_a_timeout_of_a_composition() -> None:
    handler = AbleHandler(prime=forever)
    async with registered(handler) as bus:
        await bus.say(golden("05"))
        await until(lambda: handler.names() == ["prime"])
        await bus.say(golden("07", state="PRIMING", stateChangeResult="TIMEOUT"))
        await until(lambda: handler.cancelled == ["prime"])
        await settle()
        assert bus.of("PARTICIPANT_PRIME_ACK") == []


async def test_phases_are_kept_when_taken_up() -> None:
    """Of two elements with phases 0 and 1, the lower comes first when deploying, the higher when undeploying."""
    other, definition = str(uuid4()), {"name": "the.other", "version": "1.0.0"}
    for state, first in (("DEPLOYING", str(E)), ("UNDEPLOYING", other)):
        message = restart(state)
        [participant] = message["participantDefinitionUpdates"]
        [element] = participant["automationCompositionElementDefinitionList"]
        second = copy.deepcopy(element) | {"acElementDefinitionId": definition}
        second["automationCompositionElementToscaNodeTemplate"]["properties"]["startPhase"] = 1
        participant["automationCompositionElementDefinitionList"].append(second)
        [told] = message["automationcompositionList"]
        told["acElementList"].append(told["acElementList"][0] | {"id": other, "definition": definition})
        handler = AbleHandler()
        async with registered(handler) as bus:
            await bus.say(message)
            assert list((await bus.ack())["automationCompositionResultMap"]) == [first]
            await settle()
            assert len(handler.calls) == 1


async def test_only_this_participants_elements_are_remembered() -> None:
    message = restart("DEPLOYING")
    [told] = message["automationcompositionList"]
    told["acElementList"].append(told["acElementList"][0] | {"id": str(uuid4()), "participantId": str(uuid4())})
    handler = AbleHandler()
    async with registered(handler) as bus:
        await bus.say(message)
        await bus.ack()
        await settle()
        assert len(handler.calls) == 1


async def test_a_replica_that_is_left_out_learns_nothing() -> None:
    handler = AbleHandler()
    async with registered(handler) as bus:
        await bus.say(restart("DEPLOYED", excludeReplicas=[str(R)]))
        await settle()
        assert handler.calls == []


async def test_what_has_been_deleted_is_watched_no_more_and_what_is_done_about_it_ends() -> None:
    handler = AbleHandler(undeploy=forever)
    async with registered(handler) as bus:
        await bus.say(restart("UNDEPLOYING"))
        await until(lambda: handler.names() == ["undeploy"])
        await bus.say(golden("22"))
        await until(lambda: handler.names() == ["undeploy", "gone"])
        assert handler.cancelled == ["undeploy"]
        assert handler.calls[-1][2] == "DELETED"
        await bus.say(again(golden("20")))
        assert (await bus.ack())["message"] == "Already deleted or never used"


async def test_an_element_that_a_migration_took_away_is_watched_no_more() -> None:
    handler = AbleHandler()
    async with registered(handler) as bus:
        await bus.say(restart("DEPLOYED"))
        await until(lambda: handler.names() == ["deployed"])
        message = instance("DEPLOYED", "2026-08-21T12:01:00Z")
        [told] = message["automationcompositionList"]
        told["acElementList"] = []
        await bus.say(message)
        await until(lambda: handler.names() == ["deployed", "gone"])


async def test_one_deleted_for_this_participant_alone() -> None:
    handler = AbleHandler()
    async with registered(handler) as bus:
        await bus.say(restart("DEPLOYED"))
        await until(lambda: handler.names() == ["deployed"])
        message = golden("22", delete=False, timestamp="2026-08-21T12:01:00Z")
        await bus.say(message)
        await until(lambda: handler.names() == ["deployed", "gone"])


@pytest.mark.parametrize("spoken", [lambda message: message, older], ids=["newer", "older"])
async def test_an_order_waits_for_what_it_supposes(spoken: Any) -> None:
    handler = AbleHandler()
    async with registered(handler) as bus:
        await bus.say(spoken(golden("13")))
        asked = await bus.next("PARTICIPANT_REQ_SYNC_MSG")
        assert (asked["compositionId"], asked["automationCompositionId"]) == (str(C), str(I))
        assert "compositionTargetId" not in asked
        await settle()
        assert handler.calls == []
        await bus.say(golden("11"))  # the instance alone
        await settle()
        assert "undeploy" not in handler.names()
        await bus.say(golden("07"))  # and its composition
        assert (await bus.ack())["responseTo"] == golden("13")["messageId"]
        assert handler.names().count("undeploy") == 1


async def test_what_is_released_is_not_taken_up_beside() -> None:
    handler = AbleHandler()
    async with registered(handler) as bus:
        await bus.say(golden("13"))
        await bus.next("PARTICIPANT_REQ_SYNC_MSG")
        await bus.say(restart("UNDEPLOYING"))
        assert (await bus.ack())["responseTo"] == golden("13")["messageId"]
        await settle()
        assert handler.names() == ["undeploy"]
        assert handler.cancelled == []


async def test_an_older_composition_is_asked_for_and_a_newer_taken() -> None:
    handler = AbleHandler()
    async with registered(handler) as bus:
        await bus.say(golden("05"))
        await bus.ack()
        await bus.say(golden("08"))  # of another revision
        asked = await bus.next("PARTICIPANT_REQ_SYNC_MSG")
        assert asked["compositionId"] == str(C)
        assert "automationCompositionId" not in asked
        await bus.say(golden("19", automationcompositionList=[]))
        assert (await bus.ack())["responseTo"] == golden("08")["messageId"]


async def test_a_migration_asks_for_its_target() -> None:
    handler = AbleHandler()
    async with registered(handler) as bus:
        await bus.say(restart("DEPLOYED"))
        await bus.say(golden("17"))
        asked = await bus.next("PARTICIPANT_REQ_SYNC_MSG")
        assert asked["compositionTargetId"] == golden("17")["compositionTargetId"]
        assert "compositionId" not in asked
        await bus.say(
            golden(
                "07", compositionId=asked["compositionTargetId"], revisionIdComposition=str(uuid4()), restarting=True
            )
        )
        assert (await bus.ack())["responseTo"] == golden("17")["messageId"]


async def test_orders_that_wait_go_on_in_their_order() -> None:
    handler = AbleHandler()
    async with registered(handler) as bus:
        first = golden("13", deployOrderedState="NONE", lockOrderedState="UNLOCK")
        second = again(first, lockOrderedState="LOCK")
        await bus.say(first)
        await bus.say(second)
        await bus.next("PARTICIPANT_REQ_SYNC_MSG")
        await bus.say(golden("19"))
        assert (await bus.ack())["responseTo"] == second["messageId"]
        assert handler.names()[-1] == "lock"


async def test_a_runtime_that_names_no_revisions_is_believed() -> None:
    handler = AbleHandler()
    async with registered(handler) as bus:
        order = golden("13")
        del order["revisionIdComposition"], order["revisionIdInstance"]
        await bus.say(order)
        assert (await bus.ack())["message"] == "Undeployed"
        assert handler.calls[0][1].properties["kserveInferenceEntities"]


async def test_what_nobody_releases_is_dropped_and_asked_for_until_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(participant_module, "_HELD_LOOK", 0.02)
    handler = AbleHandler()
    async with registered(handler, held_timeout=0.15) as bus:
        await bus.say(golden("13"))
        await until(lambda: len(bus.of("PARTICIPANT_REQ_SYNC_MSG")) > 2)
        await asyncio.sleep(0.3)
        count = len(bus.of("PARTICIPANT_REQ_SYNC_MSG"))
        await asyncio.sleep(0.1)
        assert len(bus.of("PARTICIPANT_REQ_SYNC_MSG")) == count
        await bus.say(golden("19"))
        await settle()
        assert "undeploy" not in handler.names()


async def test_what_waits_for_an_instance_that_is_deleted_is_dropped() -> None:
    handler = AbleHandler()
    async with registered(handler) as bus:
        await bus.say(golden("13"))
        await bus.next("PARTICIPANT_REQ_SYNC_MSG")
        await bus.say(golden("22"))
        await bus.say(golden("19"))
        await settle()
        assert "undeploy" not in handler.names()


async def test_news_of_an_element_survive_what_the_runtime_knew_before() -> None:
    """A synchronisation that was under way sets back what is remembered, and not what is to be told."""
    handler = AbleHandler()
    async with registered(handler) as bus:
        await bus.say(restart("DEPLOYED"))
        await until(lambda: handler.names() == ["deployed"])
        bus.away = True
        assert handler.publisher is not None
        for url in ("http://a", "http://b"):
            await handler.publisher.element_info(I, E, out_properties={"url": url}, operational_state="ENABLED")
        await bus.say(instance("DEPLOYED", "2026-08-21T12:01:00Z"))
        bus.away = False
        told = (await bus.next("PARTICIPANT_STATUS"))["automationCompositionInfoList"]
        assert told[0]["elements"][0]["outProperties"] == {"url": "http://b"}
        assert told[0]["elements"][0]["operationalState"] == "ENABLED"
        await settle()
        assert len([each for each in bus.of("PARTICIPANT_STATUS") if each["automationCompositionInfoList"]]) == 1


async def test_the_newest_news_are_told_though_older_ones_are_on_their_way() -> None:
    handler = AbleHandler()
    async with registered(handler) as bus:
        await bus.say(restart("DEPLOYED"))
        await until(lambda: handler.names() == ["deployed"])
        publisher, send = handler.publisher, bus.send
        assert publisher is not None

        async def fail_once(topic: str, value: bytes, *, key: str | None = None) -> None:
            bus.send = send  # type: ignore[method-assign]
            await publisher.element_info(I, E, out_properties={"url": "http://b"})
            raise BusError("not this time")

        bus.send = fail_once  # type: ignore[method-assign]
        await publisher.element_info(I, E, out_properties={"url": "http://a"})
        told = (await bus.next("PARTICIPANT_STATUS"))["automationCompositionInfoList"]
        assert told[0]["elements"][0]["outProperties"] == {"url": "http://b"}


async def test_a_watch_that_hangs_keeps_no_order_waiting() -> None:
    async def hang(*given: Any) -> Any:
        return await forever()

    handler = AbleHandler(deployed=hang)
    async with registered(handler, pool_size=1) as bus:
        await bus.say(restart("DEPLOYED"))
        await until(lambda: handler.names() == ["deployed"])
        await bus.say(golden("13"))
        assert (await bus.ack())["message"] == "Undeployed"


async def test_a_watch_that_fails_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(*given: Any) -> Any:
        raise RuntimeError("the cluster is away")

    handler = StubHandler(deployed=fail)
    async with registered(handler) as bus:
        await bus.say(restart("DEPLOYED"))
        await until(lambda: "the cluster is away" in caplog.text)
        await bus.say(golden("13"))
        assert (await bus.ack())["message"] == "Undeployed"
