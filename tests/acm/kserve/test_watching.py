"""After DEPLOYED the watch goes on: what changes is told, once, and only while the element is deployed."""

import asyncio

import pytest
from msgspec import structs

from element_world import element, entity, payload, standing, world
from fake_api import hanging_up, refusing, saying, until
from mizzen.acm.messages.states import DeployState
from mizzen.acm.participant.kserve.ownership import ELEMENT_LABEL, INSTANCE_LABEL
from mizzen.apis.serving.v1beta1.inferenceservice import INFERENCE_SERVICE


async def test_readiness_that_goes_and_comes_back(tmp_path):
    async with world(tmp_path) as api, api.handler() as (handler, runtime):
        async with api.kserve():
            asked = element(entity())
            outcome = await handler.deploy(asked)
        await api.stand("iris", standing(False, reason="PredictorNotReady", message="0 of 1 replicas"))
        told = await runtime.hears(lambda told: told.state == "DISABLED")
        assert (told.instance, told.element) == (asked.instance_id, asked.element_id)
        assert told.properties["ready"] is False
        assert told.properties["entities"][0]["reason"] == "PredictorNotReady"
        assert told.properties["entities"][0]["message"] == "0 of 1 replicas"
        await api.stand("iris", standing(True))
        told = await runtime.hears(lambda told: told.state == "ENABLED")
        assert told.properties == outcome.out_properties


async def test_a_new_url(tmp_path):
    async with world(tmp_path) as api, api.handler() as (handler, runtime):
        async with api.kserve():
            await handler.deploy(element(entity()))
        await api.stand("iris", standing(True, url="https://elsewhere.example.com"))
        told = await runtime.hears(lambda told: told.properties.get("url") == "https://elsewhere.example.com")
        assert told.state == "ENABLED"


async def test_deletion_and_what_takes_its_place(tmp_path):
    async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, runtime):
        asked = element(entity())
        await handler.deploy(asked)
        await api.client.delete(INFERENCE_SERVICE, "iris", "default")
        told = await runtime.hears(lambda told: told.state == "DISABLED")
        assert told.properties["entities"][0]["reason"] == "Deleted"
        assert "url" not in told.properties
        # A namesake is not the element's.
        await api.make("iris")
        await asyncio.sleep(0.3)
        assert runtime.told[-1] == told
        await api.client.delete(INFERENCE_SERVICE, "iris", "default")
        marks = {INSTANCE_LABEL: str(asked.instance_id), ELEMENT_LABEL: str(asked.element_id)}
        await api.make("iris", labels=marks)
        await runtime.hears(lambda told: told.state == "ENABLED")


async def test_labels_that_somebody_takes_away(tmp_path):
    async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, runtime):
        await handler.deploy(element(entity()))
        labels = {INSTANCE_LABEL: None, ELEMENT_LABEL: None}
        await api.client.patch(INFERENCE_SERVICE, "iris", "default", {"metadata": {"labels": labels}})
        told = await runtime.hears(lambda told: told.state == "DISABLED")
        assert told.properties["entities"][0]["message"] == "it carries no instance's label"


async def test_changes_in_quick_succession_are_told_as_one(tmp_path):
    async with world(tmp_path) as api, api.handler(debounce=0.5) as (handler, runtime):
        async with api.kserve():
            await handler.deploy(element(entity()))
        await asyncio.sleep(0.7)
        for number in range(5):
            await api.stand("iris", standing(False, reason="Waiting", message=f"look {number}"))
        await runtime.hears(lambda told: "look 4" in str(told.properties))
        assert len(runtime.told) <= 2


async def test_what_changes_nothing_is_not_told(tmp_path):
    async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, runtime):
        await handler.deploy(element(entity()))
        await api.client.patch(INFERENCE_SERVICE, "iris", "default", {"metadata": {"annotations": {"a": "b"}}})
        await asyncio.sleep(0.5)
        assert runtime.told == []


async def test_many_elements_one_watch(tmp_path):
    async with world(tmp_path) as api, api.handler() as (handler, runtime):
        async with api.kserve():
            names = [f"iris-{number}" for number in range(8)]
            elements = [element(entity(name)) for name in names]
            await asyncio.gather(*map(handler.deploy, elements))
        assert api.relay.count("watch") == 1
        await api.stand("iris-5", standing(False, "iris-5"))
        told = await runtime.hears(lambda told: told.state == "DISABLED")
        assert told.element == elements[5].element_id
        assert len(runtime.told) == 1


async def test_one_watch_for_each_allowed_namespace(tmp_path):
    async with world(tmp_path) as api, api.kserve():
        async with api.handler(namespaces=("default", "other")) as (handler, runtime):
            await handler.deploy(element(entity("iris"), entity("wine", namespace="other")))
            watched = sorted(request.path for request in api.relay.requests if request.verb == "watch")
            assert [path.split("/")[5] for path in watched] == ["default", "other"]
            await api.client.delete(INFERENCE_SERVICE, "wine", "other")
            await runtime.hears(lambda told: told.state == "DISABLED")


async def test_an_api_that_is_away_changes_nothing_until_it_is_back(tmp_path):
    async with world(tmp_path) as api, api.handler() as (handler, runtime):
        async with api.kserve():
            await handler.deploy(element(entity("iris"), entity("wine")))
        api.relay.go()
        await api.client.delete(INFERENCE_SERVICE, "iris", "default")
        await asyncio.sleep(0.5)
        assert runtime.told == []
        api.relay.come_back()
        await runtime.hears(lambda told: told.state == "DISABLED")


async def test_a_version_that_the_api_has_forgotten(tmp_path):
    async with world(tmp_path) as api, api.handler() as (handler, runtime):
        async with api.kserve():
            await handler.deploy(element(entity()))
        end = api.relay.answer("watch", refusing(410, "Expired", "too old resource version"))
        api.relay.go()
        api.relay.come_back()
        await until(lambda: api.relay.count("watch") > 2)
        await api.stand("iris", standing(False))
        await runtime.hears(lambda told: told.state == "DISABLED")
        end()


async def test_answers_that_no_api_gives(tmp_path, caplog):
    async with world(tmp_path) as api:
        end = api.relay.answer("list", saying('{"kind": "List", "metadata": {"resourceVersion": "new"}, "items": []}'))
        async with api.handler() as (handler, runtime):
            await until(lambda: "broke off, and is begun again" in caplog.text)
            end()
            async with api.kserve():
                await handler.deploy(element(entity(), common={"statusCheckInterval": 1}))
            await api.stand("iris", standing(False))
            await runtime.hears(lambda told: told.state == "DISABLED")


async def test_a_runtime_that_cannot_be_reached_holds_up_nobody(tmp_path):
    async with world(tmp_path) as api, api.handler() as (handler, runtime):
        async with api.kserve():
            asked = element(entity())
            await handler.deploy(asked)
        runtime.flowing.clear()
        await api.stand("iris", standing(False, reason="One", message="1"))
        await asyncio.sleep(0.3)
        await api.stand("iris", standing(False, reason="Two", message="2"))
        runtime.flowing.set()
        await runtime.hears(lambda told: told.properties["entities"][0].get("reason") == "Two")
        runtime.flowing.clear()
        await api.stand("iris", standing(True))
        await asyncio.sleep(0.3)
        assert (await handler.undeploy(asked)).message == "Undeployed"


class TestASynchronisation:
    async def test_after_a_restart_the_watch_goes_on(self, tmp_path):
        async with world(tmp_path) as api:
            async with api.kserve(), api.handler() as (handler, _):
                asked = element(entity())
                outcome = await handler.deploy(asked)
            known = structs.replace(asked, out_properties=outcome.out_properties)
            async with api.handler() as (handler, runtime):
                await handler.deployed(known)
                await handler.deployed(known)
                await asyncio.sleep(0.5)
                assert runtime.told == []
                await api.stand("iris", standing(False))
                await runtime.hears(lambda told: told.state == "DISABLED")

    async def test_what_changed_meanwhile_is_told(self, tmp_path):
        async with world(tmp_path) as api:
            async with api.kserve(), api.handler() as (handler, _):
                asked = element(entity())
                outcome = await handler.deploy(asked)
            await api.stand("iris", standing(False, reason="Gone"))
            async with api.handler() as (handler, runtime):
                await handler.deployed(structs.replace(asked, out_properties=outcome.out_properties))
                await runtime.hears(lambda told: told.state == "DISABLED")

    async def test_one_without_labels_is_taken_over_with_a_warning(self, tmp_path, caplog):
        async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, runtime):
            await api.make("iris", labels={"team": "a"})
            asked = element(entity())
            await handler.deployed(asked)
            await runtime.hears(lambda told: told.state == "ENABLED")
            labels = (await api.find("iris"))["metadata"]["labels"]
            assert labels[INSTANCE_LABEL] == str(asked.instance_id)
            assert labels["team"] == "a"
            assert "InferenceService default/iris bears no instance's label" in caplog.text
            assert (await handler.undeploy(asked)).message == "Undeployed"
            assert await api.find("iris") is None

    async def test_another_s_is_left_alone(self, tmp_path):
        async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, runtime):
            theirs = {INSTANCE_LABEL: "another", ELEMENT_LABEL: "another"}
            await api.make("iris", labels=theirs)
            await handler.deployed(element(entity()))
            told = await runtime.hears(lambda told: told.state == "DISABLED")
            assert "instance another" in told.properties["entities"][0]["message"]
            assert (await api.find("iris"))["metadata"]["labels"] == theirs

    async def test_an_order_that_comes_before_it_could_be_taken_over(self, tmp_path):
        async with world(tmp_path) as api, api.kserve(), api.handler(debounce=60) as (handler, _):
            await api.make("iris")
            asked = element(entity())
            await handler.deployed(asked)
            assert (await handler.undeploy(asked)).message == "Undeployed"
            assert await api.find("iris") is None

    async def test_while_the_api_is_away(self, tmp_path):
        async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, runtime):
            await api.make("iris")
            api.relay.go()
            await handler.deployed(element(entity()))
            await asyncio.sleep(0.5)
            assert runtime.told == []
            api.relay.come_back()
            await runtime.hears(lambda told: told.state == "ENABLED")

    async def test_another_payload_than_was_applied_is_warned_of(self, tmp_path, caplog):
        async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, runtime):
            asked = element(entity())
            await handler.deploy(asked)
            other = payload(predictor={"model": {"modelFormat": {"name": "xgboost"}}})
            # Another replica changed it, and this one heard of it.
            await handler.deployed(element(entity(payload=other), entity("wine"), like=asked))
            await runtime.hears(lambda told: told.state == "DISABLED")
            assert "InferenceService default/iris is not from the payload that its instance has now" in caplog.text

    async def test_properties_that_cannot_be_read_are_logged(self, tmp_path, caplog):
        async with world(tmp_path) as api, api.handler() as (handler, _):
            await handler.deployed(element("nonsense"))
            assert "cannot be watched: kserveInferenceEntities[0]: must be an object" in caplog.text

    @pytest.mark.parametrize("state", [DeployState.UNDEPLOYED, DeployState.DELETED])
    async def test_what_is_deployed_no_more_is_not_told_of(self, tmp_path, state):
        async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, runtime):
            asked = element(entity())
            await handler.deploy(asked)
            await handler.gone(asked, state)
            await api.client.delete(INFERENCE_SERVICE, "iris", "default")
            await asyncio.sleep(0.5)
            assert runtime.told == []
            await handler.gone(asked, state)


class TestHealth:
    async def test_all_is_well(self, tmp_path):
        async with world(tmp_path) as api, api.handler() as (handler, _):
            async with asyncio.timeout(10):
                while await handler.check() is not None:
                    await asyncio.sleep(0.05)

    async def test_what_is_wrong(self, tmp_path):
        async with world(tmp_path) as api, api.handler() as (handler, _):
            end = api.relay.answer("list", refusing(404, "NotFound"))
            assert "KServe is not installed there" in await handler.check()
            end()
            end = api.relay.answer("list", refusing(403, "Forbidden", "cannot list"))
            assert await handler.check() == "403 Forbidden: cannot list"
            end()
            end = api.relay.answer("list", hanging_up)
            assert "does not answer" in await handler.check()
            end()

    async def test_after_the_end(self, tmp_path):
        async with world(tmp_path) as api:
            async with api.handler() as (handler, _):
                pass
            assert "does not run" in await handler.check()
