"""What is refused, in which order and in which words: those of ONAP's runtime."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from mizzen.acm.messages.states import DeployOrder, DeployState, LockOrder, PrimeOrder, StateChangeResult
from mizzen.acm.runtime.service import Page, Refused
from runtime_world import World, definition

ONE = definition({"name": "one"})


async def told(asked: Any) -> tuple[int, str]:
    with pytest.raises(Refused) as error:
        await asked
    return error.value.status, error.value.details


async def test_commissioning(world: World) -> None:
    await world.start()
    compositions = world.service.compositions

    async def post(template: Any) -> Any:
        return await compositions.commission(json.dumps(template).encode(), "application/json")

    status, details = await told(compositions.commission(b"{", "application/json"))
    assert status == 400
    assert details.startswith("org.springframework.http.converter.HttpMessageNotReadableException")
    broken = definition({"name": "one"})
    broken["topology_template"]["node_templates"]["one"]["type_version"] = "9.9.9"
    with pytest.raises(Refused) as error:
        await post(broken)
    assert error.value.details.startswith('"AutomationCompositionDefinition" INVALID, item has status INVALID\n')
    assert error.value.problems

    unknown = uuid4()
    missing = f'Get serviceTemplate "{unknown}" failed, serviceTemplate does not exist'
    assert await told(compositions.get(unknown)) == (404, missing)
    assert await told(compositions.delete(unknown)) == (404, missing)
    assert await told(compositions.order(unknown, PrimeOrder.PRIME)) == (404, missing)
    assert await told(post({**ONE, "metadata": {"compositionId": str(unknown)}})) == (404, missing)
    assert (await told(post({**ONE, "metadata": {"compositionId": "x"}})))[0] == 400

    key = await world.commissioned(ONE)
    changed = await post({**definition({"name": "other"}), "metadata": {"compositionId": str(key)}})
    assert (changed.created, changed.location) == (False, f"/compositions/{key}")
    shown = await compositions.get(key)
    assert list(shown["elementStateMap"]) == ["other"]
    assert shown["serviceTemplate"]["metadata"] == {"compositionId": str(key)}
    assert [one["metadata"]["compositionId"] for one in await compositions.list(name="tosca", page=Page())] == [
        str(key)
    ]
    assert await compositions.list(name="other", page=Page()) == []
    (fields,) = await compositions.fields(key)
    assert fields["element"] == {"name": "other", "version": "1.2.3"}
    assert await told(compositions.order(key, PrimeOrder.NONE)) == (400, "Not valid NONE")


async def test_what_a_primed_composition_with_instances_refuses(world: World) -> None:
    await world.start()
    await world.present()
    compositions = world.service.compositions
    key = await world.primed(ONE)
    update = json.dumps({**ONE, "metadata": {"compositionId": str(key)}}).encode()
    status_update = (400, "ACM not in COMMISSIONED state, Update of ACM Definition not allowed")
    assert await told(compositions.commission(update, "application/json")) == status_update
    assert await told(compositions.delete(key)) == (
        400,
        "ACM not in COMMISSIONED state, Delete of ACM Definition not allowed",
    )
    await world.made(key, "one")
    assert await told(compositions.order(key, PrimeOrder.DEPRIME)) == (
        400,
        "There are instances, Priming/Depriming not allowed",
    )
    assert await told(compositions.delete(key)) == (
        400,
        "Delete instances, to commission automation composition definitions",
    )
    assert await told(compositions.commission(update, "application/json")) == (
        400,
        "There are ACM instances, Update of ACM Definition not allowed",
    )


async def test_instances(world: World) -> None:
    await world.start()
    await world.present()
    instances = world.instances
    commissioned, primed = await world.commissioned(ONE), await world.primed(ONE)
    other, unknown = await world.primed(ONE), uuid4()
    key = uuid4()
    instance = UUID((await world.post(primed, (key, "one", {}), name="first")).body["instanceId"])

    body = json.dumps({"name": "n", "version": "1.0.0", "compositionId": str(unknown), "elements": {}}).encode()
    mismatch = (400, f"{unknown} do not match with {primed}")
    assert await told(instances.post(primed, body, "application/json")) == mismatch
    assert await told(world.made(unknown, "one", name="first")) == (400, "first 1.0.0 already defined")
    missing = f'Get serviceTemplate "{unknown}" failed, serviceTemplate does not exist'
    assert await told(world.made(unknown, "one")) == (404, missing)
    not_primed = (400, f"{commissioned} Commissioned automation composition definition not primed")
    assert await told(world.made(commissioned, "one")) == not_primed
    status, details = await told(world.made(primed, "one", "one", name="n"))
    assert status == 400
    assert details.startswith('"AutomationComposition" INVALID, item has status INVALID\n')
    assert "Elements of the instance not matching with the elements of the composition" in details
    status, details = await told(world.post(primed, (key, "one", {}), name="n"))
    assert f'value "{key}" INVALID, UUID already used' in details

    none = (404, "AutomationComposition not found")
    assert await told(instances.get(primed, unknown)) == none
    assert await told(instances.delete(primed, unknown)) == none
    assert await told(world.deploy(primed, unknown)) == none
    assert await told(instances.rollback(primed, unknown)) == none
    assert await told(instances.get(other, instance)) == (400, f"{primed} do not match with {other}")
    assert await told(world.deploy(other, instance)) == (400, f"{primed} do not match with {other}")

    tail = "; DeployState: UNDEPLOYED; LockState: NONE; SubState: NONE; StateChangeResult: NO_ERROR"
    assert await told(instances.order(primed, instance, DeployOrder.DEPLOY, LockOrder.LOCK, None)) == (
        400,
        f"Not valid order AcInstanceStateUpdate(deployOrder=DEPLOY, lockOrder=LOCK, subOrder=null){tail}",
    )
    for order in (DeployOrder.UPDATE, DeployOrder.DELETE):
        assert (await told(instances.order(primed, instance, order, None, None)))[0] == 400
    more = {"name": "first", "instanceId": str(instance)}
    migrate = world.post(primed, (key, "one", {}), **more, compositionTargetId=str(other))
    assert await told(migrate) == (400, "Not allowed to MIGRATE in the state UNDEPLOYED")

    # What nobody has yet becomes what the request says.
    fresh = uuid4()
    changed = await world.post(primed, (fresh, "one", {"a": 1}), **{**more, "name": "second", "description": "new"})
    assert not changed.created
    shown = await instances.get(primed, instance)
    assert (shown["name"], shown["description"], list(shown["elements"])) == ("second", "new", [str(fresh)])

    await world.deploy(primed, instance)
    await world.instance_is(primed, instance, "DEPLOYED")
    assert await told(instances.delete(primed, instance)) == (
        400,
        "Not valid order DELETE; DeployState: DEPLOYED; LockState: LOCKED; SubState: NONE; StateChangeResult: NO_ERROR",
    )
    assert await told(world.post(primed, (key, "one", {}), **more)) == (400, f"Element id not present {key}")
    target = world.post(primed, (fresh, "one", {}), **more, compositionTargetId=str(commissioned))
    assert await told(target) == not_primed
    await world.undeploy(primed, instance)
    await world.instance_is(primed, instance, "UNDEPLOYED")


async def test_a_definition_that_becomes_another_is_not_migrated_to(world: World) -> None:
    await world.start()
    await world.present()
    source, target = await world.primed(ONE), await world.primed(definition({"name": "two"}))
    key = uuid4()
    instance = UUID((await world.post(source, (key, "one", {}), name="n")).body["instanceId"])
    await world.deploy(source, instance)
    await world.instance_is(source, instance, "DEPLOYED")
    more = {"name": "n", "instanceId": str(instance), "compositionTargetId": str(target)}
    assert await told(world.post(source, (key, "two", {}), **more)) == (
        400,
        "one 1.2.3 is not compatible with two 1.2.3",
    )
    assert (await world.instances.get(source, instance))["deployState"] == "DEPLOYED"
    await world.post(source, (uuid4(), "two", {}), **more)
    await world.instance_is(target, instance, "DEPLOYED")


async def test_lists_and_pages(world: World) -> None:
    await world.start()
    await world.present()
    key = await world.primed(ONE)
    names = [f"n{number}" for number in range(5)]
    made = [await world.made(key, "one", name=name) for name in names]
    await world.deploy(key, made[0])
    await world.instance_is(key, made[0], "DEPLOYED")
    listed = world.instances.list

    async def shown(**filters: Any) -> list[str]:
        return [one["name"] for one in await listed(**{"page": Page(), **filters})]

    assert await shown() == names
    assert await shown(composition=uuid4()) == []
    assert await shown(composition=key, page=Page(1, 2)) == ["n2", "n3"]
    assert await shown(page=Page(page=1)) == names
    assert await shown(name="n3") == ["n3"]
    assert await shown(deploy_states=[DeployState.DEPLOYED]) == ["n0"]
    assert await shown(results=[StateChangeResult.FAILED]) == []
    assert await shown(ids=made[1:3]) == ["n1", "n2"]
    assert (await shown(sort="lastMsg", order="DESC"))[0] == "n0"
    assert await shown(participant=uuid4()) == []
    messages = await world.service.messages(instance=str(made[0]), direction="out")
    assert [one.type for one in messages] == ["PARTICIPANT_SYNC_MSG", "AUTOMATION_COMPOSITION_DEPLOY"]
    older = await world.service.messages(instance=str(made[0]), before=messages[0].number, limit=1)
    assert older[0].number < messages[0].number
