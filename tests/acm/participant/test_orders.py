"""What each order comes to: which method of the handler, which acknowledgement, in both dialects."""

from __future__ import annotations

import copy
from typing import Any
from uuid import UUID, uuid4

import pytest

from mizzen.acm.participant.handler import Failed, Outcome
from participant_world import (
    AbleHandler,
    C,
    E,
    I,
    NoBus,
    StubHandler,
    again,
    forever,
    golden,
    older,
    registered,
    settle,
    until,
)

TARGET = "5eed0001-0013-4000-8000-000000000013"
DIALECTS = pytest.mark.parametrize("spoken", [lambda message: message, older], ids=["newer", "older"])


async def bring(bus: NoBus, *numbers: str) -> None:
    """To where an instance is deployed: primed, synchronised, deployed, synchronised."""
    for number in numbers or ("05", "07", "08", "11"):
        await bus.say(golden(number))
        if number in ("05", "08"):
            await bus.ack()


def the(ack: dict[str, Any]) -> tuple[str, str, str, str]:
    [element] = ack["automationCompositionResultMap"].values()
    return element["deployState"], element["lockState"], ack["stateChangeResult"], ack["message"]


def target(message: dict[str, Any]) -> dict[str, Any]:
    """The synchronisation with which a participant gets to know the definition that a migration goes to."""
    return again(
        message,
        compositionId=TARGET,
        revisionIdComposition="5eed0001-0015-4000-8000-000000000015",
        partitionKey=TARGET,
    )


ORDERS = {
    "update": (golden("12"), "update"),
    "rollback of an update": (golden("12", rollback=True), "rollback_update"),
    "review": (golden("16"), "review"),
    "migrate": (golden("17"), "migrate"),
    "rollback of a migration": (golden("17", rollback=True), "rollback_migrate"),
    "precheck": (golden("17", precheck=True), "precheck"),
    "unlock": (golden("13", deployOrderedState="NONE", lockOrderedState="UNLOCK"), "unlock"),
    "lock": (golden("13", deployOrderedState="NONE", lockOrderedState="LOCK"), "lock"),
    "undeploy": (golden("13"), "undeploy"),
    "delete": (golden("20"), "delete"),
    "deploy": (again(golden("08")), "deploy"),
    "prepare": (golden("15"), "prepare"),
}
DONE = {
    "update": ("DEPLOYED", "LOCKED", "Updated"),
    "rollback of an update": ("DEPLOYED", "LOCKED", "Gone back"),
    "review": ("DEPLOYED", "LOCKED", "Reviewed"),
    "migrate": ("DEPLOYED", "LOCKED", "Migrated"),
    "rollback of a migration": ("DEPLOYED", "LOCKED", "Migrated back"),
    "precheck": ("DEPLOYED", "LOCKED", "Checked"),
    "unlock": ("DEPLOYED", "UNLOCKED", "Unlocked"),
    "lock": ("DEPLOYED", "LOCKED", "Locked"),
    "undeploy": ("UNDEPLOYED", "NONE", "Undeployed"),
    "delete": ("DELETED", "NONE", "Deleted"),
    "deploy": ("DEPLOYED", "LOCKED", "Deployed"),
    "prepare": ("UNDEPLOYED", "NONE", "Prepared"),
}
FAILED = {
    "update": ("DEPLOYED", "LOCKED", "Automation composition element update failed"),
    "rollback of an update": ("DEPLOYED", "LOCKED", "Automation composition element update failed"),
    "review": ("DEPLOYED", "LOCKED", "Automation composition element Review failed"),
    "migrate": ("DEPLOYED", "LOCKED", "Automation composition element migrate failed"),
    "rollback of a migration": ("DEPLOYED", "LOCKED", "Automation composition rollback migrate failed"),
    "precheck": ("DEPLOYED", "LOCKED", "Automation composition element migrate precheck failed"),
    "unlock": ("DEPLOYED", "LOCKED", "Automation composition element unlock failed"),
    "lock": ("DEPLOYED", "UNLOCKED", "Automation composition element lock failed"),
    "undeploy": ("DEPLOYED", "LOCKED", "Automation composition element undeploy failed"),
    "delete": ("UNDEPLOYED", "NONE", "Automation composition element delete failed"),
    "deploy": ("UNDEPLOYED", "NONE", "Automation composition element deploy failed"),
    "prepare": ("UNDEPLOYED", "NONE", "Automation composition element prepare Pre Deploy failed"),
}


@DIALECTS
@pytest.mark.parametrize("order", ORDERS)
async def test_what_the_handler_does(order: str, spoken: Any) -> None:
    message, method = ORDERS[order]
    handler = AbleHandler()
    async with registered(handler) as bus:
        await bring(bus)
        await bus.say(target(golden("07")))
        handler.calls.clear()
        await bus.say(spoken(message))
        ack = await bus.ack()
        deploy, lock, text = DONE[order]
        assert the(ack) == (deploy, lock, "NO_ERROR", text)
        assert ack["responseTo"] == message["messageId"]
        assert ack["outPropertiesUpdated"] is False
        assert handler.names() == [method]


@DIALECTS
@pytest.mark.parametrize("order", ORDERS)
async def test_what_fails_begins_as_java_says_it_and_goes_on_with_the_reason(order: str, spoken: Any) -> None:
    message, method = ORDERS[order]

    async def fail(*given: Any) -> Outcome:
        raise RuntimeError("no disk is left")

    handler = AbleHandler()
    async with registered(handler) as bus:
        await bring(bus)
        await bus.say(target(golden("07")))
        handler.does[method] = fail
        await bus.say(spoken(message))
        deploy, lock, text = FAILED[order]
        assert the(await bus.ack()) == (deploy, lock, "FAILED", f"{text}: RuntimeError: no disk is left")


@pytest.mark.parametrize(
    ("said", "generic", "message"),
    [
        (Failed("Undeploy Failed: a finalizer is left"), False, "Undeploy Failed: a finalizer is left"),
        (Failed("Undeploy Failed: a finalizer is left"), True, "Undeploy Failed"),
        (Failed("a finalizer is left"), False, "Automation composition element undeploy failed: a finalizer is left"),
        (Failed("a finalizer is left"), True, "Automation composition element undeploy failed"),
        (KeyError("x"), True, "Automation composition element undeploy failed"),
        (Failed("Undeploy Failed: " + "x" * 300), False, "Undeploy Failed: " + "x" * 235 + "..."),
    ],
)
async def test_failures_are_as_long_as_the_runtime_can_keep(said: Exception, generic: bool, message: str) -> None:
    async def fail(*given: Any) -> Outcome:
        raise said

    async with registered(StubHandler(undeploy=fail), generic_failure_texts=generic) as bus:
        await bring(bus)
        await bus.say(golden("13"))
        assert the(await bus.ack())[2:] == ("FAILED", message)


async def test_what_is_known_of_an_element_goes_with_the_acknowledgement_even_of_a_failure() -> None:
    async def well(*given: Any) -> Outcome:
        return Outcome(message="Deployed", out_properties={"url": "http://a"}, operational_state="ENABLED")

    async def badly(*given: Any) -> Outcome:
        raise Failed("Undeploy Failed: stuck", {"url": "http://a", "left": 1})

    async with registered(StubHandler(deploy=well, undeploy=badly)) as bus:
        await bring(bus, "05", "07")
        await bus.say(golden("08"))
        ack = await bus.ack()
        assert ack["outPropertiesUpdated"] is True
        told = ack["automationCompositionResultMap"][str(E)]
        assert (told["outProperties"], told["operationalState"]) == ({"url": "http://a"}, "ENABLED")
        await bus.say(golden("13", revisionIdInstance=golden("08")["revisionIdInstance"]))
        ack = await bus.ack()
        assert ack["outPropertiesUpdated"] is True
        assert ack["automationCompositionResultMap"][str(E)]["outProperties"] == {"url": "http://a", "left": 1}


async def test_what_an_element_told_last_is_given_to_the_handler() -> None:
    """By this replica, or else by another, as the runtime has it."""
    handler = StubHandler()
    async with registered(handler) as bus:
        await bring(bus)
        order = golden("13")
        dto = order["participantDtoList"][0]["elementDtos"][0]
        dto["instanceElementTarget"]["outProperties"] = {"url": "http://other"}
        await bus.say(order)
        await bus.ack()
        assert handler.calls[-1][1].out_properties == {"url": "http://other"}
        await settle()
        assert handler.publisher is not None
        await handler.publisher.element_info(I, E, out_properties={"url": "http://own"})
        await bus.say(again(order))
        await bus.ack()
        assert handler.calls[-1][1].out_properties == {"url": "http://own"}


UNSUPPORTED = {
    "review": ("DEPLOYED", "LOCKED"),
    "unlock": ("DEPLOYED", "UNLOCKED"),
    "lock": ("DEPLOYED", "LOCKED"),
    "delete": ("DELETED", "NONE"),
    "prepare": ("UNDEPLOYED", "NONE"),
    "update": ("DEPLOYED", "LOCKED"),
    "rollback of an update": ("DEPLOYED", "LOCKED"),
    "migrate": ("DEPLOYED", "LOCKED"),
    "rollback of a migration": ("DEPLOYED", "LOCKED"),
    "precheck": ("DEPLOYED", "LOCKED"),
}


@DIALECTS
@pytest.mark.parametrize("order", UNSUPPORTED)
async def test_what_the_handler_does_not_do_passes(order: str, spoken: Any) -> None:
    async with registered(StubHandler()) as bus:
        await bring(bus)
        await bus.say(target(golden("07")))
        await bus.say(spoken(unchanged(ORDERS[order][0])))
        assert the(await bus.ack()) == (*UNSUPPORTED[order], "NO_ERROR", "Not implemented")


@pytest.mark.parametrize("order", UNSUPPORTED)
async def test_or_fails_where_the_configuration_wants_it(order: str) -> None:
    async with registered(StubHandler()) as bus:
        await bring(bus)
    async with registered(StubHandler(), fail_unsupported=True, generic_failure_texts=True) as bus:
        for number in ("05", "07", "08", "11"):
            await bus.say(golden(number))
            if number in ("05", "08"):
                ack = await bus.ack()
                assert ack["message"] == ("Not supported" if number == "05" else "Deployed")
        await bus.say(target(golden("07")))
        await bus.say(ORDERS[order][0])
        assert the(await bus.ack()) == (*FAILED[order][:2], "FAILED", "Not supported")


def unchanged(message: dict[str, Any]) -> dict[str, Any]:
    """An update to what there is already."""
    message = copy.deepcopy(message)
    properties = golden("11")["automationcompositionList"][0]["acElementList"][0]["properties"]
    for update in message.get("participantUpdatesList", ()):
        for element in update["acElementList"]:
            element["properties"] = properties
    for dto in message["participantDtoList"]:
        for element in dto["elementDtos"]:
            element["instanceElementTarget"]["inProperties"] = properties
            if "instanceElement" in element:
                element["instanceElement"]["inProperties"] = properties
    return message


def changed(message: dict[str, Any], **properties: Any) -> dict[str, Any]:
    """An update, or a migration, to other properties."""
    message = copy.deepcopy(message)
    for update in message["participantUpdatesList"]:
        for element in update["acElementList"]:
            element["properties"] |= properties
    for dto in message["participantDtoList"]:
        for element in dto["elementDtos"]:
            element["instanceElementTarget"]["inProperties"] |= properties
    return message


@DIALECTS
@pytest.mark.parametrize("order", ["update", "rollback of an update", "migrate", "precheck"])
async def test_a_change_that_the_handler_does_not_do_fails(order: str, spoken: Any) -> None:
    async with registered(StubHandler()) as bus:
        await bring(bus)
        await bus.say(target(golden("07")))
        await bus.say(spoken(changed(ORDERS[order][0], more=1)))
        deploy, lock, result, text = the(await bus.ack())
        assert (deploy, lock, result) == ("DEPLOYED", "LOCKED", "FAILED")
        assert text.startswith("Not supported: ")


@DIALECTS
async def test_after_an_update_the_new_properties_are_what_is_known(spoken: Any) -> None:
    handler = AbleHandler()
    async with registered(handler) as bus:
        await bring(bus)
        await bus.say(spoken(changed(golden("12"), more=1)))
        await bus.ack()
        name, before, after = handler.calls[-1]
        assert (name, "more" in before.properties, after.properties["more"]) == ("update", False, 1)
        await bus.say(older(golden("13")))  # which brings no properties of its own
        await bus.ack()
        assert handler.calls[-1][1].properties["more"] == 1


@DIALECTS
async def test_only_elements_of_the_phase_act(spoken: Any) -> None:
    """Two elements of two definitions, with phases 0 and 1."""
    other_element, other = uuid4(), {"name": "the.other", "version": "1.0.0"}

    def doubled(message: dict[str, Any]) -> dict[str, Any]:
        message = copy.deepcopy(message)
        for participant in message.get("participantDefinitionUpdates", ()):
            [first] = participant["automationCompositionElementDefinitionList"]
            second = copy.deepcopy(first) | {"acElementDefinitionId": other}
            second["automationCompositionElementToscaNodeTemplate"]["properties"]["startPhase"] = 1
            participant["automationCompositionElementDefinitionList"].append(second)
        for participant in message.get("participantUpdatesList", ()):
            [first] = participant["acElementList"]
            participant["acElementList"].append(first | {"id": str(other_element), "definition": other})
        for participant in message.get("participantDtoList", ()):
            [first] = participant["elementDtos"]
            second = copy.deepcopy(first)
            second["compositionElement"]["elementDefinitionId"] = other
            second["compositionElement"]["inProperties"]["startPhase"] = 1
            second["instanceElementTarget"]["elementId"] = str(other_element)
            participant["elementDtos"].append(second)
        return spoken(message)

    handler = StubHandler()
    async with registered(handler) as bus:
        await bus.say(doubled(golden("07")))
        for phase, element in ((0, E), (1, other_element)):
            await bus.say(doubled(again(golden("08"), startPhase=phase, firstStartPhase=phase == 0)))
            assert list((await bus.ack())["automationCompositionResultMap"]) == [str(element)]
        revision = golden("08")["revisionIdInstance"]
        for phase, element in ((1, other_element), (0, E)):
            order = again(golden("13"), startPhase=phase, firstStartPhase=phase == 1, revisionIdInstance=revision)
            await bus.say(doubled(order))
            assert list((await bus.ack())["automationCompositionResultMap"]) == [str(element)]
        await settle()
        assert [(name, element.element_id) for name, element in handler.calls] == [
            ("deploy", E),
            ("deploy", other_element),
            ("undeploy", other_element),
            ("undeploy", E),
        ]


def staged(message: dict[str, Any], stages: dict[str, list[int]]) -> dict[str, Any]:
    message = copy.deepcopy(message)
    for participant in message.get("participantDefinitionUpdates", ()):
        for element in participant["automationCompositionElementDefinitionList"]:
            element["automationCompositionElementToscaNodeTemplate"]["properties"]["stage"] = stages
    for participant in message.get("participantDtoList", ()):
        for element in participant["elementDtos"]:
            for side in ("compositionElement", "compositionElementTarget"):
                if side in element:
                    element[side]["inProperties"]["stage"] = stages
    return message


@DIALECTS
@pytest.mark.parametrize(("number", "method"), [("15", "prepare"), ("17", "migrate")])
async def test_stages(number: str, method: str, spoken: Any) -> None:
    async def by_stage(*given: Any) -> Outcome:
        return Outcome(message="on", stage=3) if given[-1] == 1 else Outcome(message="done")

    stages = {"prepare": [1, 3], "migrate": [1, 3]}
    handler = AbleHandler(**{method: by_stage})
    async with registered(handler) as bus:
        await bring(bus)
        await bus.say(staged(golden("07"), stages))
        await bus.say(staged(target(golden("07")), stages))
        handler.calls.clear()
        acks = []
        for stage in (0, 1, 2, 3):
            order = again(golden(number), stage=stage, firstStage=stage == 0)
            await bus.say(spoken(staged(order, stages)))
            if stage in (1, 3):
                acks.append(await bus.ack())
        await settle()
        assert [call[-1] for call in handler.calls] == [1, 3]
        assert [ack.get("stage") for ack in acks] == [3, None]
        going = ("MIGRATING", "LOCKED") if method == "migrate" else ("UNDEPLOYED", "NONE")
        done = ("DEPLOYED", "LOCKED") if method == "migrate" else ("UNDEPLOYED", "NONE")
        assert [the(ack)[:2] for ack in acks] == [going, done]


@DIALECTS
async def test_a_migration_brings_elements_and_removes_them(spoken: Any) -> None:
    new = uuid4()
    message = golden("17")
    [listed] = message["participantUpdatesList"]
    [first] = listed["acElementList"]
    listed["acElementList"] = [first | {"migrationState": "REMOVED"}, first | {"id": str(new), "migrationState": "NEW"}]
    [dtos] = message["participantDtoList"]
    [removed] = dtos["elementDtos"]
    brought = copy.deepcopy(removed)
    for side in ("compositionElementTarget", "instanceElementTarget"):
        removed[side] |= {"state": "REMOVED", "inProperties": {}}
        brought[side] |= {"state": "NEW"}
    for side in ("compositionElement", "instanceElement"):
        brought[side] |= {"state": "NOT_PRESENT", "inProperties": {}}
    brought["instanceElement"]["elementId"] = brought["instanceElementTarget"]["elementId"] = str(new)
    dtos["elementDtos"].append(brought)

    handler = AbleHandler()
    async with registered(handler) as bus:
        await bring(bus)
        await bus.say(target(golden("07")))
        handler.calls.clear()
        await bus.say(spoken(message))
        acks = [await bus.ack(), await bus.ack()]
        told = {key: value for ack in acks for key, value in ack["automationCompositionResultMap"].items()}
        assert {key: (value["deployState"], value["lockState"]) for key, value in told.items()} == {
            str(E): ("DELETED", "NONE"),
            str(new): ("DEPLOYED", "LOCKED"),
        }
        sides = {(before and before.element_id, after and after.element_id) for _, before, after, _ in handler.calls}
        assert sides == {(E, None), (None, new)}
        [after] = [after for _, _, after, _ in handler.calls if after]
        assert after.composition_id == UUID(TARGET)
        assert after.composition_properties["statusCheckInterval"] == 30
        # A later stage: what is new is still new, though it is remembered, and what was to go has had its turn.
        handler.calls.clear()
        await bus.say(spoken(staged(again(message, stage=1, firstStage=False), {"migrate": [0]})))
        await settle()
        assert handler.calls == []
        await bus.say(staged(target(golden("07")), {"migrate": [0, 1]}))
        await bus.say(spoken(staged(again(message, stage=1, firstStage=False), {"migrate": [0, 1]})))
        await bus.ack()
        await settle()
        [(_, before, after, stage)] = handler.calls
        assert (before, after.element_id, stage) == (None, new, 1)


@DIALECTS
async def test_prime_and_deprime(spoken: Any) -> None:
    async def primed(composition: Any) -> Outcome:
        [definition] = composition.properties
        assert composition.properties[definition]["provider"] == "ONAP"
        return Outcome(message="Primed", out_properties={definition: {"at": "home"}})

    async def fail(composition: Any) -> Outcome:
        raise Failed("somebody needs it")

    async with registered(AbleHandler(prime=primed, deprime=fail)) as bus:
        await bus.say(spoken(golden("05")))
        ack = await bus.ack()
        assert (ack["compositionState"], ack["stateChangeResult"], ack["message"]) == ("PRIMED", "NO_ERROR", "Primed")
        [element] = ack["outPropertiesList"]
        assert element["outProperties"] == {"at": "home"}
        await bus.say(spoken(golden("23")))
        ack = await bus.ack()
        assert (ack["compositionState"], ack["stateChangeResult"], ack["message"]) == (
            "PRIMED",
            "FAILED",
            "Composition Definition deprime failed: somebody needs it",
        )


async def test_priming_that_fails() -> None:
    async def fail(composition: Any) -> Outcome:
        raise ValueError("no")

    async with registered(AbleHandler(prime=fail)) as bus:
        await bus.say(golden("05"))
        ack = await bus.ack()
        assert (ack["compositionState"], ack["stateChangeResult"]) == ("COMMISSIONED", "FAILED")
        assert ack["message"] == "Composition Definition prime failed: ValueError: no"


@DIALECTS
async def test_what_was_never_primed_is_deprimed_already(spoken: Any) -> None:
    handler = AbleHandler()
    async with registered(handler) as bus:
        await bus.say(spoken(golden("23", primeDtoList=[])))
        ack = await bus.ack()
        assert (ack["compositionState"], ack["message"]) == ("COMMISSIONED", "Already deprimed or never primed")
        assert (ack["responseTo"], ack["compositionId"]) == (golden("23")["messageId"], str(C))
        assert handler.calls == []


async def test_a_prime_without_a_word_for_us_is_passed_over() -> None:
    handler = AbleHandler()
    async with registered(handler) as bus:
        await bus.say(golden("05", primeDtoList=[], participantDefinitionUpdates=[]))
        await settle()
        assert (handler.calls, bus.of("PARTICIPANT_PRIME_ACK")) == ([], [])


async def test_a_newer_order_takes_the_place_of_an_older() -> None:
    handler = StubHandler(deploy=forever)
    async with registered(handler) as bus:
        await bring(bus, "05", "07")
        await bus.say(golden("08"))
        await until(lambda: handler.names() == ["deploy"])
        await bus.say(golden("13", revisionIdInstance=golden("08")["revisionIdInstance"]))
        ack = await bus.ack()
        assert (the(ack), ack["responseTo"]) == (
            ("UNDEPLOYED", "NONE", "NO_ERROR", "Undeployed"),
            golden("13")["messageId"],
        )
        assert (handler.names(), handler.cancelled) == (["deploy", "undeploy"], ["deploy"])
        assert len(bus.of("AUTOMATION_COMPOSITION_STATECHANGE_ACK")) == 1


async def test_a_handler_that_swallows_its_cancellation_has_nothing_to_say() -> None:
    async def stubborn(*given: Any) -> Outcome:
        try:
            return await forever()
        except BaseException:
            return Outcome(message="Deployed all the same")

    handler = StubHandler(deploy=stubborn)
    async with registered(handler) as bus:
        await bring(bus, "05", "07")
        await bus.say(golden("08"))
        await until(lambda: handler.names() == ["deploy"])
        await bus.say(golden("13", revisionIdInstance=golden("08")["revisionIdInstance"]))
        assert the(await bus.ack())[3] == "Undeployed"
        assert len(bus.of("AUTOMATION_COMPOSITION_STATECHANGE_ACK")) == 1


async def test_the_same_message_twice_is_one_while_it_is_carried_out() -> None:
    handler = StubHandler(deploy=forever)
    async with registered(handler) as bus:
        await bring(bus, "05", "07")
        for _ in range(3):
            await bus.say(golden("08"))
            await settle()
        assert (handler.names(), handler.cancelled) == (["deploy"], [])


async def test_the_same_message_once_more_later_is_answered_again() -> None:
    handler = StubHandler()
    async with registered(handler) as bus:
        await bring(bus, "05", "07")
        for _ in range(2):
            await bus.say(golden("08"))
            assert the(await bus.ack())[3] == "Deployed"
            await settle()
        assert handler.names() == ["deploy", "deploy"]


async def test_no_more_run_at_once_than_there_are_places() -> None:
    at_once, most = 0, 0

    async def count(*given: Any) -> Outcome:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await settle()
        at_once -= 1
        return Outcome(message="Deployed")

    message = older(golden("08"))
    [listed] = message["participantUpdatesList"]
    [element] = listed["acElementList"]
    listed["acElementList"] = [element | {"id": str(uuid4())} for _ in range(12)]
    async with registered(StubHandler(deploy=count), pool_size=3) as bus:
        await bring(bus, "05", "07")
        await bus.say(message)
        for _ in range(12):
            await bus.ack()
        assert most == 3


async def test_an_acknowledgement_waits_for_kafka_and_keeps_nobody_from_working() -> None:
    handler = StubHandler()
    async with registered(handler, pool_size=1) as bus:
        await bring(bus, "05", "07")
        message = older(golden("08"))
        [listed] = message["participantUpdatesList"]
        [element] = listed["acElementList"]
        listed["acElementList"] = [element, element | {"id": str(uuid4())}]
        bus.away = True
        await bus.say(message)
        await until(lambda: len(handler.calls) == 2)
        assert not bus.of("AUTOMATION_COMPOSITION_STATECHANGE_ACK")
        bus.away = False
        assert {the(await bus.ack())[3], the(await bus.ack())[3]} == {"Deployed"}


async def test_an_acknowledgement_that_the_broker_will_not_take_is_given_up() -> None:
    handler = StubHandler()
    async with registered(handler, pool_size=1) as bus:
        await bring(bus, "05", "07")
        bus.refuses = True
        await bus.say(golden("08"))
        await until(lambda: handler.names() == ["deploy"])
        await until(lambda: bus.tries_of_acks >= 3)
        bus.refuses = False
        await bus.say(again(golden("08")))
        assert (await bus.ack())["responseTo"] != golden("08")["messageId"]


@pytest.mark.parametrize(
    "changes",
    [
        {"participantId": str(uuid4())},
        {"participantIdList": [str(uuid4())]},
        {"replicaId": str(uuid4()), "participantId": golden("02")["participantId"]},
    ],
    ids=["participant", "list", "replica"],
)
async def test_what_is_for_others_goes_by(changes: dict[str, Any]) -> None:
    handler = AbleHandler()
    async with registered(handler) as bus:
        for number in ("05", "08", "20", "23"):
            await bus.say(golden(number, **changes))
        await settle()
        assert handler.calls == []
        assert {message["messageType"] for message in bus.heard} == {"PARTICIPANT_REGISTER", "PARTICIPANT_STATUS"}


async def test_a_deletion_of_what_is_not_known() -> None:
    async with registered(AbleHandler()) as bus:
        await bus.say(golden("20"))
        ack = await bus.ack()
        assert (ack["message"], ack["automationCompositionResultMap"]) == ("Already deleted or never used", {})
        assert ack["automationCompositionId"] == str(I)
