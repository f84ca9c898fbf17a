"""Undeploying an element: what is its own goes and is seen to be gone; what is not stays."""

import asyncio

import pytest

from element_world import element, entity, standing, world
from fake_api import refusing, until
from mizzen.acm.participant.handler import Failed
from mizzen.acm.participant.kserve.ownership import ELEMENT_LABEL, INSTANCE_LABEL
from mizzen.apis.serving.v1beta1.inferenceservice import INFERENCE_SERVICE

FAILED = "Undeploy Failed: "


async def test_everything_is_gone_when_it_is_told(tmp_path):
    async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, runtime):
        asked = element(entity("iris"), entity("wine"))
        await handler.deploy(asked)
        outcome = await handler.undeploy(asked)
        assert (outcome.message, outcome.out_properties, outcome.operational_state) == ("Undeployed", {}, "DISABLED")
        assert [await api.find(name) for name in ("iris", "wine")] == [None, None]
        deleted = [request.body for request in api.relay.requests if request.verb == "delete"]
        assert [(body["gracePeriodSeconds"], body["propagationPolicy"]) for body in deleted] == [(10, "Background")] * 2
        assert runtime.told == []


async def test_what_is_gone_already_is_fine(tmp_path):
    async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, _):
        asked = element(entity("iris"), entity("wine"))
        await handler.deploy(asked)
        await api.client.delete(INFERENCE_SERVICE, "iris", "default")
        assert (await handler.undeploy(asked)).message == "Undeployed"
        assert (await handler.undeploy(asked)).message == "Undeployed"


async def test_what_stays_is_told_with_its_finalizer(tmp_path):
    async with world(tmp_path) as api, api.kserve(), api.handler(undeploy_timeout=1) as (handler, _):
        asked = element(entity("iris"), entity("wine"))
        await handler.deploy(asked)
        await api.hold("iris", ["test.example/hold"])
        with pytest.raises(Failed) as caught:
            await handler.undeploy(asked)
        assert str(caught.value) == FAILED + "default/iris still exists, held by finalizer test.example/hold"
        assert await api.find("wine") is None
        await api.hold("iris", None)
        assert (await handler.undeploy(asked)).message == "Undeployed"


async def test_the_instance_says_how_long_less_what_the_answer_takes(tmp_path):
    async with world(tmp_path) as api, api.kserve(), api.handler(undeploy_timeout=60) as (handler, _):
        asked = element(entity(), undeployTimeoutMs="6000")
        await handler.deploy(asked)
        await api.hold("iris", ["test.example/hold"])
        async with asyncio.timeout(30):
            with pytest.raises(Failed, match="held by finalizer"):
                await handler.undeploy(asked)


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ({}, "it carries no instance's label"),
        ({INSTANCE_LABEL: "5eed", ELEMENT_LABEL: "709c"}, "it belongs to element 709c of instance 5eed"),
    ],
)
async def test_what_is_not_ours_is_left_alone_and_told(tmp_path, labels, told):
    async with world(tmp_path) as api, api.handler() as (handler, _):
        await api.make("iris", labels=labels)
        outcome = await handler.undeploy(element(entity()))
        assert outcome.message == f"Undeployed; left alone: default/iris: {told}"
        assert await api.find("iris")


async def test_properties_that_are_wrong_hinder_nobody(tmp_path):
    """The way out after a deployment that failed on them."""
    async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, _):
        asked = element(entity("iris"), entity("wine"))
        await handler.deploy(asked)
        wrong = element({"name": "iris"}, "nonsense", 7, entity("wine", payload="{"), like=asked)
        assert (await handler.undeploy(wrong)).message == "Undeployed"
        assert [await api.find(name) for name in ("iris", "wine")] == [None, None]


async def test_a_namesake_that_came_meanwhile_stays(tmp_path):
    async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, _):
        asked = element(entity())
        await handler.deploy(asked)
        await api.hold("iris", ["test.example/hold"])
        undeploying = asyncio.create_task(handler.undeploy(asked))
        await until(lambda: api.relay.count("delete") > 0)
        await api.have("iris", lambda found: found["metadata"].get("deletionTimestamp"))
        await api.hold("iris", None)
        namesake = await api.make("iris")
        assert (await undeploying).message == "Undeployed"
        assert (await api.find("iris"))["metadata"]["uid"] == namesake["metadata"]["uid"]


async def test_a_namesake_that_comes_at_the_last_moment_stays(tmp_path):
    async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, _):
        asked = element(entity())
        await handler.deploy(asked)

        async def replaced():
            await api.client.delete(INFERENCE_SERVICE, "iris", "default")
            await api.make("iris")

        api.relay.before("delete", replaced)
        assert (await handler.undeploy(asked)).message == "Undeployed"
        assert await api.find("iris")


async def test_a_refusal(tmp_path):
    async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, _):
        asked = element(entity())
        await handler.deploy(asked)
        end = api.relay.answer("delete", refusing(403, "Forbidden", "cannot delete"))
        with pytest.raises(Failed) as caught:
            await handler.undeploy(asked)
        assert str(caught.value) == FAILED + "default/iris: 403 Forbidden: cannot delete"
        end()
        await handler.undeploy(asked)


async def test_an_api_that_is_away(tmp_path):
    async with world(tmp_path) as api, api.kserve(), api.handler(undeploy_timeout=1) as (handler, runtime):
        asked = element(entity())
        await handler.deploy(asked)
        api.relay.go()
        with pytest.raises(Failed, match=r"^Undeploy Failed: the API server at .* does not answer"):
            await handler.undeploy(asked)
        api.relay.come_back()
        # It is still deployed, and still watched over.
        api.wrong["iris"] = standing(False, reason="Broken", message="it broke")
        await api.stand("iris", api.wrong["iris"])
        await runtime.hears(lambda told: told.state == "DISABLED")
        await handler.undeploy(asked)


async def test_deleting_an_instance_takes_what_was_left(tmp_path):
    async with world(tmp_path) as api, api.handler() as (handler, _):
        asked = element(entity())
        marks = {INSTANCE_LABEL: str(asked.instance_id), ELEMENT_LABEL: str(asked.element_id)}
        await api.make("left-behind", labels=marks)
        await api.make("iris")
        assert (await handler.delete(asked)).message == "Deleted"
        assert await api.find("left-behind") is None
        assert await api.find("iris")


async def test_only_where_it_is_allowed(tmp_path):
    async with world(tmp_path) as api, api.handler(namespaces=("other",)) as (handler, _):
        await api.make("iris")
        outcome = await handler.undeploy(element(entity()))
        assert outcome.message == "Undeployed; left alone: default/iris, whose namespace is not allowed here"
        assert all("/namespaces/default/" not in request.path for request in api.relay.requests)
