"""Changing what is deployed: updates, migrations, their way back, and asking beforehand."""

import asyncio

import pytest

from element_world import element, entity, payload, standing, world
from fake_api import refusing, until
from mizzen.acm.participant.handler import Failed, Unsupported
from mizzen.acm.participant.kserve.ownership import INSTANCE_LABEL
from mizzen.apis.serving.v1beta1.inferenceservice import INFERENCE_SERVICE


def served(name: str, uri: str, **metadata):
    found = payload(name, predictor={"model": {"modelFormat": {"name": "sklearn"}, "storageUri": uri}})
    return entity(name, payload={**found, "metadata": {"name": name, **metadata}})


def uri(found) -> str:
    return found["spec"]["predictor"]["model"]["storageUri"]


class TestUpdate:
    async def test_a_new_payload_takes_the_old_one_s_place(self, tmp_path):
        async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, _):
            before = element(served("iris", "https://a", labels={"team": "a", "tier": "1"}))
            await handler.deploy(before)
            first = await api.find("iris")
            after = element(served("iris", "https://b", labels={"team": "b"}), like=before)
            outcome = await handler.update(before, after)
            assert outcome.message == "Updated"
            assert outcome.operational_state == "ENABLED"
            found = await api.find("iris")
            assert uri(found) == "https://b"
            assert found["metadata"]["uid"] == first["metadata"]["uid"]
            labels = found["metadata"]["labels"]
            assert (labels["team"], labels.get("tier"), labels[INSTANCE_LABEL]) == ("b", None, str(before.instance_id))

    async def test_a_model_that_cannot_be_loaded_is_no_update_though_the_old_one_answers(self, tmp_path):
        status = standing(True, generation=2)
        failure = {"reason": "ModelLoadFailed", "message": "https://b does not exist"}
        status["modelStatus"] = {"transitionStatus": "BlockedByFailedLoad", "lastFailureInfo": failure}
        async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, _):
            common = {"uninitializedToPassiveTimeout": 1}
            before = element(served("iris", "https://a"), common=common)
            await handler.deploy(before)
            api.wrong["iris"] = status
            after = element(served("iris", "https://b"), common=common, like=before)
            with pytest.raises(Failed, match=r"is not ready after 1 s: ModelLoadFailed: https://b does not exist"):
                await handler.update(before, after)
            del api.wrong["iris"]
            assert (await handler.rollback_update(after, before)).message == "Update rolled back"
            assert uri(await api.find("iris")) == "https://a"

    async def test_equal_properties_change_nothing(self, tmp_path):
        async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, _):
            asked = element(entity())
            await handler.deploy(asked)
            first = await api.find("iris")
            await handler.update(asked, asked)
            found = await api.find("iris")
            assert found["metadata"]["generation"] == first["metadata"]["generation"]
            assert found["spec"] == first["spec"]

    async def test_entities_come_and_go(self, tmp_path):
        async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, runtime):
            before = element(entity("iris"), entity("wine"))
            await handler.deploy(before)
            after = element(entity("wine"), entity("digits"), like=before)
            outcome = await handler.update(before, after)
            assert [one["name"] for one in outcome.out_properties["entities"]] == ["wine", "digits"]
            assert await api.find("iris") is None
            await api.client.delete(INFERENCE_SERVICE, "digits", "default")
            told = await runtime.hears(lambda told: told.state == "DISABLED")
            assert [one["name"] for one in told.properties["entities"] if not one["ready"]] == ["digits"]

    async def test_one_that_fails_leaves_what_there_is_and_can_be_taken_back(self, tmp_path):
        async with world(tmp_path) as api, api.kserve(), api.handler(ready_timeout=1) as (handler, runtime):
            before = element(served("iris", "https://a"))
            await handler.deploy(before)
            after = element(served("iris", "https://b"), entity("wine"), like=before)
            api.wrong["iris"] = standing(False, reason="ModelLoadFailed", message="no such model", generation=2)
            with pytest.raises(Failed) as caught:
                await handler.update(before, after)
            assert str(caught.value) == (
                "Automation composition element update failed: default/iris is not ready after 1 s: "
                "ModelLoadFailed: no such model"
            )
            assert uri(await api.find("iris")) == "https://b"
            await runtime.hears(lambda told: told.state == "DISABLED")
            api.wrong.clear()
            outcome = await handler.rollback_update(after, before)
            assert outcome.message == "Update rolled back"
            assert uri(await api.find("iris")) == "https://a"
            assert await api.find("wine") is None

    async def test_what_has_vanished_is_made_again(self, tmp_path):
        async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, _):
            before = element(entity())
            await handler.deploy(before)
            await api.client.delete(INFERENCE_SERVICE, "iris", "default")
            await handler.update(before, before)
            assert await api.find("iris")

    async def test_a_write_in_between_is_no_obstacle(self, tmp_path):
        async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, _):
            before = element(served("iris", "https://a"))
            await handler.deploy(before)
            end = api.relay.answer("patch", refusing(409, "Conflict", "the object has been modified"))
            updating = asyncio.create_task(handler.update(before, element(served("iris", "https://b"), like=before)))
            await until(lambda: api.relay.count("patch") > 1)
            end()
            await updating
            assert uri(await api.find("iris")) == "https://b"

    async def test_another_s_is_not_touched(self, tmp_path):
        async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, _):
            before = element(entity("iris"))
            await handler.deploy(before)
            await api.make("wine", labels={INSTANCE_LABEL: "another"})
            with pytest.raises(Failed, match=r"default/wine exists already and is not this element's"):
                await handler.update(before, element(entity("wine"), like=before))
            assert await api.find("iris")
            assert api.relay.count("delete") == 0

    async def test_nor_what_becomes_another_s_at_the_last_moment(self, tmp_path):
        async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, _):
            before = element(served("iris", "https://a"))
            await handler.deploy(before)

            async def taken():
                labels = {"labels": {INSTANCE_LABEL: "another"}}
                await api.client.patch(INFERENCE_SERVICE, "iris", "default", {"metadata": labels})

            api.relay.before("patch", taken)
            with pytest.raises(Failed, match="of instance another"):
                await handler.update(before, element(served("iris", "https://b"), like=before))
            assert uri(await api.find("iris")) == "https://a"

    async def test_wrong_properties_change_nothing(self, tmp_path):
        async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, _):
            before = element(entity("iris"))
            await handler.deploy(before)
            with pytest.raises(Failed, match=r"^Automation composition element update failed: kserveInferenceEntities"):
                await handler.update(before, element(entity("iris", payload="{"), like=before))
            assert api.relay.count("patch") == 0

    async def test_cancelled_it_is_still_watched(self, tmp_path):
        async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, runtime):
            before = element(served("iris", "https://a"))
            await handler.deploy(before)
            api.wrong["iris"] = standing(False, reason="Loading", message="not yet", generation=2)
            updating = asyncio.create_task(handler.update(before, element(served("iris", "https://b"), like=before)))
            await api.have("iris", lambda found: uri(found) == "https://b")
            updating.cancel()
            await asyncio.wait([updating])
            await runtime.hears(lambda told: told.state == "DISABLED")

    async def test_they_can_be_rejected_as_java_s_participant_does(self, tmp_path):
        async with world(tmp_path) as api, api.handler(updates="reject") as (handler, _):
            asked = element(entity())
            for change in (handler.update, handler.rollback_update):
                with pytest.raises(Unsupported):
                    await change(asked, asked)
            with pytest.raises(Unsupported):
                await handler.migrate(asked, asked, 0)
            with pytest.raises(Unsupported):
                await handler.precheck(asked, asked)


class TestMigrate:
    async def test_stage_by_stage(self, tmp_path):
        async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, _):
            before = element(served("iris", "https://a"))
            await handler.deploy(before)
            stages = {"stage": {"migrate": [0, 2], "prepare": [1]}}
            after = element(served("iris", "https://b"), common=stages)
            after = type(after)(
                composition_id=after.composition_id,
                instance_id=before.instance_id,
                element_id=before.element_id,
                definition=after.definition,
                composition_properties=after.composition_properties,
                properties=after.properties,
            )
            first = await handler.migrate(before, after, 0)
            assert (first.message, first.stage) == ("Migrated", 2)
            assert uri(await api.find("iris")) == "https://b"
            assert (await handler.migrate(before, after, 2)).stage is None
            back = await handler.rollback_migrate(after, before, 0)
            assert (back.message, back.stage) == ("Migration rolled back", None)
            assert uri(await api.find("iris")) == "https://a"

    async def test_what_is_new_and_what_goes(self, tmp_path):
        async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, _):
            new = element(entity("iris"))
            assert (await handler.migrate(None, new, 0)).message == "Deployed"
            assert await api.find("iris")
            assert (await handler.migrate(new, None, 0)).message == "Undeployed"
            assert await api.find("iris") is None
            assert (await handler.rollback_migrate(None, new, 0)).message == "Deployed"
            assert (await handler.rollback_migrate(new, None, 0)).message == "Undeployed"


class TestPrecheck:
    async def test_nothing_is_changed(self, tmp_path):
        async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, _):
            before = element(served("iris", "https://a"))
            await handler.deploy(before)
            after = element(served("iris", "https://b"), entity("wine"), like=before)
            assert (await handler.precheck(before, after)).message == "Prechecked"
            assert (await handler.precheck(before, None)).message.startswith("Prechecked")
            assert uri(await api.find("iris")) == "https://a"
            assert await api.find("wine") is None

    @pytest.mark.parametrize(
        ("wrong", "told"),
        [
            ({"payload": "{"}, "kserveInferenceEntities[0].payload: is not JSON"),
            ({"payload": payload(predictor={"minReplicas": "many"})}, "default/iris: 422 Invalid: spec.predictor"),
            ({"namespace": "nowhere"}, 'nowhere/iris: 404 NotFound: namespaces "nowhere" not found'),
        ],
    )
    async def test_what_would_be_refused_is(self, tmp_path, wrong, told):
        async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, _):
            before = element(entity())
            await handler.deploy(before)
            with pytest.raises(Failed) as caught:
                await handler.precheck(before, element(entity(**wrong), like=before))
            assert str(caught.value).startswith(f"Automation composition element migrate precheck failed: {told}")

    async def test_another_s_name(self, tmp_path):
        async with world(tmp_path) as api, api.handler() as (handler, _):
            await api.make("iris")
            with pytest.raises(Failed, match="it carries no instance's label"):
                await handler.precheck(None, element(entity()))
