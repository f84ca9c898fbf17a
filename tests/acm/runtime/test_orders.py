"""Orders and what comes of them, over a real broker, with a participant that does as the test says."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from mizzen.acm.messages.acks import StateChangeAck
from mizzen.acm.messages.elements import ElementAck
from mizzen.acm.messages.orders import Deploy, Migration, Prepare, Prime, PropertiesUpdate, StateChange
from mizzen.acm.messages.states import (
    AcTypeState,
    DeployOrder,
    DeployState,
    ElementState,
    LockOrder,
    LockState,
    MigrationState,
    PrimeOrder,
    StateChangeResult,
    SubOrder,
)
from mizzen.acm.messages.sync import Sync
from mizzen.acm.runtime.service import Page, Refused
from runtime_world import OK, TestParticipant, World, definition, failing, obedient, until

ONE = definition({"name": "one"})
PHASED = definition(
    {"name": "late", "properties": {"startPhase": 1}}, {"name": "early", "properties": {"startPhase": 0}}
)


def silent(*_: Any) -> None:
    return None


async def refused(asked: Any, status: int, text: str) -> None:
    with pytest.raises(Refused) as error:
        await asked
    assert (error.value.status, error.value.details) == (status, text)


async def deployed(world: World, template: dict[str, Any] = ONE, *elements: str) -> tuple[UUID, UUID]:
    composition = await world.primed(template)
    instance = await world.made(composition, *(elements or ("one",)))
    await world.deploy(composition, instance)
    await world.instance_is(composition, instance, "DEPLOYED")
    return composition, instance


async def test_phases_go_up_and_down(world: World) -> None:
    await world.start()
    participant = await world.present()
    composition, instance = await deployed(world, PHASED, "early", "late")
    first, second = [await participant.hears(Deploy, count=count) for count in (1, 2)]
    assert [(one.start_phase, one.first_start_phase) for one in (first, second)] == [(0, True), (1, False)]
    assert all(len(one.participant_updates_list[0].ac_element_list) == 2 for one in (first, second))

    await world.undeploy(composition, instance)
    await world.instance_is(composition, instance, "UNDEPLOYED")
    down = [await participant.hears(StateChange, count=count) for count in (1, 2)]
    assert [(one.start_phase, one.first_start_phase) for one in down] == [(1, True), (0, False)]
    assert len([one for one in participant.heard if isinstance(one, Deploy)]) == 2


async def test_the_next_phase_waits_for_the_one_before(world: World) -> None:
    await world.start()
    participant = await world.present()
    composition = await world.primed(PHASED)
    instance = await world.made(composition, "early", "late")
    participant.answer = silent
    await world.deploy(composition, instance)
    order = await participant.hears(Deploy)
    shown = await world.instances.get(composition, instance)
    assert shown["phase"] == 0
    early = next(UUID(key) for key, one in shown["elements"].items() if one["definition"]["name"] == "early")
    participant.answer = obedient
    told = obedient(order, early, "early")
    assert told is not None
    await participant.acknowledge(order, early, told)
    assert (await participant.hears(Deploy, count=2)).start_phase == 1
    await world.instance_is(composition, instance, "DEPLOYED")


async def test_a_failure_stays_until_it_is_told_something_else(world: World) -> None:
    await world.start()
    participant = await world.present(answer=failing)
    composition = await world.primed(ONE)
    instance = await world.made(composition, "one")
    await world.deploy(composition, instance)
    found = await world.instance_is(composition, instance, "DEPLOYING", "FAILED")
    (element,) = found["elements"].values()
    assert (element["deployState"], element["message"]) == ("UNDEPLOYED", "Automation composition element failed")
    sync = await participant.hears(Sync, lambda one: one.automation_composition_id == instance)
    assert sync.automation_compositions[0].state_change_result is StateChangeResult.FAILED

    participant.answer = obedient
    await world.deploy(composition, instance)
    await world.instance_is(composition, instance, "DEPLOYED")

    participant.answer = failing
    await world.undeploy(composition, instance)
    await world.instance_is(composition, instance, "UNDEPLOYING", "FAILED")
    participant.answer = obedient
    await world.undeploy(composition, instance)
    await world.instance_is(composition, instance, "UNDEPLOYED")


async def test_only_what_is_left_is_deployed_again(world: World) -> None:
    await world.start()
    participant = await world.present()
    composition = await world.primed(PHASED)
    instance = await world.made(composition, "early", "late")
    participant.answer = lambda message, key, name: (failing if name == "late" else obedient)(message, key, name)
    await world.deploy(composition, instance)
    await world.instance_is(composition, instance, "DEPLOYING", "FAILED")
    participant.answer = obedient
    await world.deploy(composition, instance)
    await world.instance_is(composition, instance, "DEPLOYED")
    again = await participant.hears(Deploy, count=3)
    assert (again.start_phase, again.first_start_phase) == (1, True)
    assert len(again.participant_updates_list[0].ac_element_list) == 2


async def test_a_time_out_and_an_answer_after_it(world: World) -> None:
    await world.start(max_operation_wait_ms=300)
    participant = await world.present()
    composition = await world.primed(ONE)
    instance = await world.made(composition, "one")
    participant.answer = silent
    await world.deploy(composition, instance)
    order = await participant.hears(Deploy)
    await world.instance_is(composition, instance, "DEPLOYING", "TIMEOUT")
    sync = await participant.hears(Sync, lambda one: one.automation_composition_id == instance)
    assert sync.automation_compositions[0].state_change_result is StateChangeResult.TIMEOUT
    (key,) = (await world.instances.get(composition, instance))["elements"]
    told = obedient(order, UUID(key), "one")
    assert told is not None
    await participant.acknowledge(order, UUID(key), told)
    await world.instance_is(composition, instance, "DEPLOYED")


async def test_an_element_says_how_long_it_may_take(world: World) -> None:
    await world.start(max_operation_wait_ms=600_000)
    participant = await world.present()
    composition = await world.primed(ONE)
    made = await world.post(composition, (uuid4(), "one", {"deployTimeoutMs": "200"}))
    instance = UUID(made.body["instanceId"])
    participant.answer = silent
    await world.deploy(composition, instance)
    await world.instance_is(composition, instance, "DEPLOYING", "TIMEOUT")


async def test_priming_fails_times_out_and_is_tried_again(world: World) -> None:
    await world.start()
    participant = await world.present()
    primed = participant.prime_answer

    def no(message: Prime) -> Any:
        ack = primed(message)
        assert ack is not None
        ack.state_change_result, ack.composition_state = StateChangeResult.FAILED, AcTypeState.COMMISSIONED
        ack.message = "Not supported"
        return ack

    participant.prime_answer = no
    template = definition({"name": "one"}, metadata={"deprimeTimeoutMs": 200})
    composition = await world.commissioned(template)
    await world.service.compositions.order(composition, PrimeOrder.PRIME)
    found = await world.composition_is(composition, "PRIMING", "FAILED")
    assert found["elementStateMap"]["one"]["message"] == "Not supported"
    participant.prime_answer = primed
    await world.service.compositions.order(composition, PrimeOrder.PRIME)
    await world.composition_is(composition, "PRIMED")

    participant.prime_answer = silent
    await world.service.compositions.order(composition, PrimeOrder.DEPRIME)
    await world.composition_is(composition, "DEPRIMING", "TIMEOUT")
    sync = await participant.hears(Sync, lambda one: one.state_change_result is StateChangeResult.TIMEOUT)
    assert sync.state is AcTypeState.DEPRIMING
    participant.prime_answer = primed
    await world.service.compositions.order(composition, PrimeOrder.DEPRIME)
    await world.composition_is(composition, "COMMISSIONED")


async def test_prepare_review_lock(world: World) -> None:
    await world.start()
    participant = await world.present()
    composition = await world.primed(ONE)
    instance = await world.made(composition, "one")
    await world.instances.order(composition, instance, None, None, SubOrder.PREPARE)
    await world.instance_is(composition, instance, "UNDEPLOYED")
    assert (await participant.hears(Prepare)).pre_deploy
    await world.deploy(composition, instance)
    await world.instance_is(composition, instance, "DEPLOYED")
    await world.instances.order(composition, instance, None, None, SubOrder.REVIEW)
    review = await participant.hears(Prepare, lambda one: not one.pre_deploy)
    assert (review.participant_list, len(review.participant_dto_list)) == ([], 1)
    await world.instance_is(composition, instance, "DEPLOYED")

    await world.instances.order(composition, instance, None, LockOrder.UNLOCK, None)

    async def lock() -> Any:
        return (await world.instances.get(composition, instance))["lockState"]

    await until(lock, lambda found: found == "UNLOCKED")
    await refused(
        world.undeploy(composition, instance),
        400,
        "Not valid order AcInstanceStateUpdate(deployOrder=UNDEPLOY, lockOrder=null, subOrder=null); "
        "DeployState: DEPLOYED; LockState: UNLOCKED; SubState: NONE; StateChangeResult: NO_ERROR",
    )
    await world.instances.order(composition, instance, None, LockOrder.LOCK, None)
    await until(lock, lambda found: found == "LOCKED")


async def test_stages_are_gone_through_as_the_element_tells(world: World) -> None:
    await world.start()

    def staged(message: Any, key: UUID, name: str) -> ElementAck | None:
        if isinstance(message, Prepare) and message.stage == 1:
            return ElementAck(deploy_state=DeployState.UNDEPLOYED, use_state="stage 3", message="more")
        return obedient(message, key, name)

    participant = await world.present(answer=staged)
    composition = await world.primed(definition({"name": "one", "properties": {"stage": {"prepare": [1, 3]}}}))
    instance = await world.made(composition, "one")
    await world.instances.order(composition, instance, None, None, SubOrder.PREPARE)
    assert [(await participant.hears(Prepare, count=count)).stage for count in (1, 2)] == [1, 3]
    await world.instance_is(composition, instance, "UNDEPLOYED")


async def test_an_update_and_its_reversal(world: World) -> None:
    await world.start()
    participant = await world.present()
    composition, instance = await deployed(world)
    (key,) = (await world.instances.get(composition, instance))["elements"]
    participant.answer = failing
    body = await world.post(composition, (UUID(key), "one", {"size": 2}), instanceId=str(instance))
    assert not body.created
    found = await world.instance_is(composition, instance, "UPDATING", "FAILED")
    assert found["elements"][key]["properties"] == {"name": "one", "size": 2}
    update = await participant.hears(PropertiesUpdate)
    (dto,) = update.participant_dto_list[0].element_dtos
    assert (dto.instance_element.in_properties, dto.instance_element_target.in_properties, update.rollback) == (
        {"name": "one"},
        {"name": "one", "size": 2},
        False,
    )
    # Tried again while it has failed, it still goes back to what was deployed.
    await world.post(composition, (UUID(key), "one", {"size": 3}), instanceId=str(instance))
    await participant.hears(PropertiesUpdate, count=2)
    await world.instance_is(composition, instance, "UPDATING", "FAILED")

    participant.answer = obedient
    await world.instances.rollback(composition, instance)
    found = await world.instance_is(composition, instance, "DEPLOYED")
    assert found["elements"][key]["properties"] == {"name": "one"}
    revert = await participant.hears(PropertiesUpdate, lambda one: one.rollback)
    (dto,) = revert.participant_dto_list[0].element_dtos
    assert dto.instance_element.in_properties == {"name": "one", "size": 3}
    assert dto.instance_element_target.in_properties == {"name": "one"}
    await refused(
        world.instances.rollback(composition, instance), 400, "Invalid state for rollback, Ac Instance is DEPLOYED"
    )


async def test_a_reversal_that_nobody_answers_times_out(world: World) -> None:
    await world.start(max_operation_wait_ms=300)
    participant = await world.present()
    composition, instance = await deployed(world)
    (key,) = (await world.instances.get(composition, instance))["elements"]
    participant.answer = failing
    await world.post(composition, (UUID(key), "one", {"size": 2}), instanceId=str(instance))
    await world.instance_is(composition, instance, "UPDATING", "FAILED")
    participant.answer = silent
    await world.instances.rollback(composition, instance)
    await world.instance_is(composition, instance, "UPDATE_REVERTING", "TIMEOUT")
    participant.answer = obedient
    await world.undeploy(composition, instance)
    await world.instance_is(composition, instance, "UNDEPLOYED")


async def migrating(world: World) -> tuple[UUID, UUID, UUID, dict[str, UUID]]:
    """A deployed instance of ``stays`` and ``goes``, and a definition with ``stays`` and ``comes``."""
    source = await world.primed(definition({"name": "stays"}, {"name": "goes"}, version="1.0.0"))
    target = await world.primed(definition({"name": "stays"}, {"name": "comes"}, version="2.0.0"))
    keys = {name: uuid4() for name in ("stays", "goes", "comes")}
    made = await world.post(
        source, (keys["stays"], "stays", {"a": 1}), (keys["goes"], "goes", {}), version="1.0.0", name="moving"
    )
    instance = UUID(made.body["instanceId"])
    await world.deploy(source, instance)
    await world.instance_is(source, instance, "DEPLOYED")
    return source, target, instance, keys


async def migrate(world: World, source: UUID, target: UUID, instance: UUID, keys: dict[str, UUID], **more: Any) -> None:
    await world.post(
        source,
        (keys["stays"], "stays", {"b": 2}),
        (keys["comes"], "comes", {"new": True}),
        version="2.0.0",
        name="moving",
        instanceId=str(instance),
        compositionTargetId=str(target),
        **more,
    )


async def test_a_migration_with_elements_that_come_and_go(world: World) -> None:
    await world.start()
    participant = await world.present()
    source, target, instance, keys = await migrating(world)
    await migrate(world, source, target, instance, keys, precheck=True)
    precheck = await participant.hears(Migration)
    assert (precheck.precheck, precheck.composition_target_id) == (True, target)
    await world.instance_is(source, instance, "DEPLOYED")
    assert set((await world.instances.get(source, instance))["elements"]) == {str(keys["stays"]), str(keys["goes"])}

    await migrate(world, source, target, instance, keys)
    found = await world.instance_is(target, instance, "DEPLOYED")
    assert found["compositionId"] == str(target)
    assert "compositionTargetId" not in found
    shown = {one["definition"]["name"]: one for one in found["elements"].values()}
    assert set(shown) == {"stays", "comes"}
    assert shown["stays"]["properties"] == {"a": 1, "b": 2}
    assert shown["stays"]["definition"]["version"] == "2.0.0"
    assert {one["migrationState"] for one in shown.values()} == {"DEFAULT"}

    order = await participant.hears(Migration, lambda one: not one.precheck)
    sides = {
        dto.instance_element_target.element_id: (
            dto.composition_element.state,
            dto.instance_element.state,
            dto.composition_element_target.state,
            dto.instance_element_target.state,
        )
        for dto in order.participant_dto_list[0].element_dtos
    }
    present, absent = ElementState.PRESENT, ElementState.NOT_PRESENT
    assert sides == {
        keys["stays"]: (present,) * 4,
        keys["goes"]: (present, present, ElementState.REMOVED, ElementState.REMOVED),
        keys["comes"]: (absent, absent, ElementState.NEW, ElementState.NEW),
    }
    states = {one.id: one.migration_state for one in order.participant_updates_list[0].ac_element_list}
    assert states == {
        keys["stays"]: MigrationState.DEFAULT,
        keys["goes"]: MigrationState.REMOVED,
        keys["comes"]: MigrationState.NEW,
    }


async def test_a_failed_migration_is_taken_back(world: World) -> None:
    await world.start()
    participant = await world.present()
    source, target, instance, keys = await migrating(world)
    participant.answer = lambda message, key, name: (failing if name == "comes" else obedient)(message, key, name)
    await migrate(world, source, target, instance, keys)
    found = await world.instance_is(source, instance, "MIGRATING", "FAILED")
    assert found["compositionTargetId"] == str(target)
    participant.answer = obedient
    await world.instances.rollback(source, instance)
    found = await world.instance_is(source, instance, "DEPLOYED")
    assert set(found["elements"]) == {str(keys["stays"]), str(keys["goes"])}
    assert found["elements"][str(keys["stays"])]["properties"] == {"a": 1}
    assert "compositionTargetId" not in found
    revert = await participant.hears(Migration, lambda one: one.rollback)
    assert revert.participant_updates_list[0].ac_element_list[0].ordered_state is DeployOrder.MIGRATION_REVERT
    sides = {
        dto.instance_element_target.element_id: (dto.instance_element.state, dto.instance_element_target.state)
        for dto in revert.participant_dto_list[0].element_dtos
    }
    assert sides[keys["comes"]][1] is ElementState.REMOVED
    assert sides[keys["goes"]] == (ElementState.NOT_PRESENT, ElementState.NEW)


async def test_what_a_failed_migration_leaves_cannot_be_deployed(world: World) -> None:
    await world.start()
    participant = await world.present()
    source, target, instance, keys = await migrating(world)
    participant.answer = failing
    await migrate(world, source, target, instance, keys)
    await world.instance_is(source, instance, "MIGRATING", "FAILED")
    participant.answer = obedient
    await world.undeploy(source, instance)
    found = await world.instance_is(source, instance, "UNDEPLOYED")
    with pytest.raises(Refused) as error:
        await world.deploy(source, instance)
    assert error.value.status == 400
    assert "There are elements in an invalid Migration state.(ElementId: " in error.value.details
    assert world.instances.allowed(found) == ["DELETE", "PREPARE"]
    await world.instances.delete(source, instance)

    async def listed() -> Any:
        return await world.instances.list(page=Page())

    await until(listed, lambda found: found == [])


async def test_a_failed_migration_without_strangers_leaves_nothing_behind(world: World) -> None:
    await world.start()
    participant = await world.present()
    source = await world.primed(definition({"name": "one"}, version="1.0.0"))
    target = await world.primed(definition({"name": "one"}, version="2.0.0"))
    key = uuid4()
    made = await world.post(source, (key, "one", {"a": 1}), version="1.0.0", name="moving")
    instance = UUID(made.body["instanceId"])
    await world.deploy(source, instance)
    await world.instance_is(source, instance, "DEPLOYED")
    participant.answer = failing
    more = {"instanceId": str(instance), "compositionTargetId": str(target), "name": "moving"}
    await world.post(source, (key, "one", {"a": 2}), version="2.0.0", **more)
    await world.instance_is(source, instance, "MIGRATING", "FAILED")
    participant.answer = obedient
    await world.undeploy(source, instance)
    found = await world.instance_is(source, instance, "UNDEPLOYED")
    assert found["elements"][str(key)]["definition"]["version"] == "1.0.0"
    await world.deploy(source, instance)
    await world.instance_is(source, instance, "DEPLOYED")


async def test_a_participant_that_knows_nothing_has_deleted_it(world: World) -> None:
    await world.start()
    participant = await world.present()
    composition = await world.primed(ONE)
    instance = await world.made(composition, "one")
    participant.answer = silent
    await world.instances.delete(composition, instance)
    order = await participant.hears(StateChange)
    await participant.say(
        StateChangeAck(
            automation_composition_id=instance,
            participant_id=participant.id,
            response_to=order.message_id,
            state_change_result=OK,
            message="Already deleted or never used",
        )
    )
    await participant.hears(Sync, lambda one: one.delete and one.automation_composition_id == instance)


async def test_deploy_pressed_twice_and_raced(world: World) -> None:
    await world.start()
    participant = await world.present(answer=silent)
    composition = await world.primed(ONE)
    instance = await world.made(composition, "one")
    twice = await asyncio.gather(*(world.deploy(composition, instance) for _ in range(8)), return_exceptions=True)
    assert [one for one in twice if one is None] == [None]
    losers = {str(one) for one in twice if one is not None}
    assert losers == {
        "Not valid order AcInstanceStateUpdate(deployOrder=DEPLOY, lockOrder=null, subOrder=null); "
        "DeployState: DEPLOYING; LockState: NONE; SubState: NONE; StateChangeResult: NO_ERROR"
    }
    await participant.hears(Deploy)
    participant.answer = obedient


async def test_update_and_undeploy_at_once(world: World) -> None:
    await world.start()
    await world.present()
    composition, instance = await deployed(world)
    (key,) = (await world.instances.get(composition, instance))["elements"]
    both = await asyncio.gather(
        world.post(composition, (UUID(key), "one", {"size": 2}), instanceId=str(instance)),
        world.undeploy(composition, instance),
        return_exceptions=True,
    )
    assert len([one for one in both if isinstance(one, Refused)]) == 1

    async def settled() -> Any:
        return (await world.instances.get(composition, instance))["deployState"]

    await until(settled, lambda found: found == ("UNDEPLOYED" if isinstance(both[0], Refused) else "DEPLOYED"))


async def test_answers_that_come_too_late_or_from_somebody_else(world: World) -> None:
    await world.start()
    participant = await world.present()
    composition, instance = await deployed(world)
    deploy = await participant.hears(Deploy)
    (key,) = (await world.instances.get(composition, instance))["elements"]
    participant.answer = silent
    await world.undeploy(composition, instance)
    order = await participant.hears(StateChange)
    told = obedient(deploy, UUID(key), "one")
    assert told is not None
    await participant.acknowledge(deploy, UUID(key), told)
    await participant.acknowledge(None, UUID(key), told, instance=instance)
    stranger = TestParticipant(participant._bus, participant=uuid4(), replica=uuid4())
    gone = ElementAck(deploy_state=DeployState.UNDEPLOYED)
    await stranger.acknowledge(order, UUID(key), gone)
    await participant.acknowledge(order, uuid4(), gone)

    async def ignored() -> list[str]:
        found = await world.service.messages(instance=str(instance), direction="in")
        return [one.outcome for one in found if one.outcome.startswith("ignored")]

    outcomes = await until(ignored, lambda found: len(found) == 4)
    assert sum("earlier order" in one for one in outcomes) == 1
    assert sum("no result of UNDEPLOY" in one for one in outcomes) == 1
    assert sum("it is of participant" in one for one in outcomes) == 1
    assert sum(": unknown" in one for one in outcomes) == 1
    found = await world.instances.get(composition, instance)
    assert found["deployState"] == "UNDEPLOYING"
    await participant.acknowledge(order, UUID(key), gone)
    await world.instance_is(composition, instance, "UNDEPLOYED")


async def test_answers_are_collected_where_that_is_asked_for(world: World) -> None:
    await world.start(settle_ms=300)
    await world.present()
    composition, instance = await deployed(world, PHASED, "early", "late")
    assert (await world.instances.get(composition, instance))["lockState"] == LockState.LOCKED
