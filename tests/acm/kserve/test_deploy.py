"""Deploying an element: its InferenceServices are made, waited for, and told of; or the reason why not is."""

import asyncio
import json

import pytest

from element_world import element, entity, payload, slow, standing, world
from fake_api import hanging_up, refusing, until
from mizzen.acm.participant.handler import Failed
from mizzen.acm.participant.kserve.ownership import ELEMENT_LABEL, ENTITY_LABEL, HASH_ANNOTATION, INSTANCE_LABEL
from mizzen.apis.serving.v1beta1.inferenceservice import INFERENCE_SERVICE

FAILED = "Automation composition element deploy failed: "


async def test_each_service_is_made_with_its_marks_and_told_of(tmp_path):
    async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, runtime):
        asked = element(entity("iris"), entity("wine"))
        outcome = await handler.deploy(asked)
        assert outcome.message == "Deployed"
        assert outcome.operational_state == "ENABLED"
        assert outcome.out_properties == {
            "ready": True,
            "url": "http://iris-default.example.com",
            "lastTransition": "2026-01-01T00:00:00Z",
            "entities": [
                {
                    "kserveInferenceEntityId": {"name": f"entity-{name}", "version": "1.0.1"},
                    "name": name,
                    "namespace": "default",
                    "ready": True,
                    "url": f"http://{name}-default.example.com",
                    "lastTransition": "2026-01-01T00:00:00Z",
                }
                for name in ("iris", "wine")
            ],
        }
        found = await api.find("iris")
        assert found["metadata"]["labels"] == {
            INSTANCE_LABEL: str(asked.instance_id),
            ELEMENT_LABEL: str(asked.element_id),
            ENTITY_LABEL: "entity-iris_1.0.1",
        }
        assert found["metadata"]["annotations"][HASH_ANNOTATION]
        assert runtime.told == []


async def test_no_entities_are_nothing_to_do(tmp_path):
    async with world(tmp_path) as api, api.handler() as (handler, _):
        assert (await handler.deploy(element())).message == "Deployed"
        assert api.relay.count("create") == 0


async def test_the_second_waits_until_the_first_is_ready(tmp_path):
    async with world(tmp_path) as api, api.handler() as (handler, _):
        deploying = asyncio.create_task(handler.deploy(element(entity("iris"), entity("wine"))))
        await api.have("iris")
        await asyncio.sleep(0.2)
        assert await api.find("wine") is None
        await api.stand("iris", standing(True))
        await api.have("wine")
        assert not deploying.done()
        await api.stand("wine", standing(True, "wine"))
        await deploying


async def test_ready_is_about_the_newest_spec(tmp_path):
    async with world(tmp_path) as api, api.handler() as (handler, _):
        deploying = asyncio.create_task(handler.deploy(element(entity())))
        made = await api.have("iris")
        assert made["metadata"]["generation"] == 1
        await api.client.patch(INFERENCE_SERVICE, "iris", "default", {"spec": {"predictor": {"minReplicas": 2}}})
        await api.stand("iris", standing(True, generation=1))
        await asyncio.sleep(0.3)
        assert not deploying.done()
        await api.stand("iris", standing(True, generation=2))
        await deploying


async def test_kserve_may_never_observe_a_generation_that_concerns_no_child(tmp_path):
    async with world(tmp_path) as api, api.handler(generation_grace=0.2) as (handler, _):
        deploying = asyncio.create_task(handler.deploy(element(entity())))
        await api.have("iris")
        await api.client.patch(INFERENCE_SERVICE, "iris", "default", {"spec": {"predictor": {"minReplicas": 2}}})
        await api.stand("iris", standing(True, generation=1))
        assert (await deploying).message == "Deployed"


@pytest.mark.parametrize("mode", ["ready-by-type", "index-2"])
async def test_ready_by_type_or_as_java_looks_at_it(tmp_path, mode):
    early = standing(True)
    early["conditions"] = [{"type": kind, "status": "True"} for kind in ("A", "B", "C")]
    early["conditions"].append({"type": "Ready", "status": "False", "reason": "Waiting", "message": "for a route"})
    async with world(tmp_path) as api, api.handler(readiness=mode) as (handler, _):
        deploying = asyncio.create_task(handler.deploy(element(entity())))
        await api.have("iris")
        await api.stand("iris", early)
        if mode == "index-2":
            await deploying
            return
        await asyncio.sleep(0.2)
        assert not deploying.done()
        await api.stand("iris", standing(True))
        await deploying


async def test_what_never_gets_ready_is_told_with_its_reason_and_removed(tmp_path):
    status = standing(False, reason="PredictorNotReady", message="predictor is not ready")
    status["modelStatus"] = {"lastFailureInfo": {"reason": "ModelLoadFailed", "message": "no such file model.joblib"}}
    async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, runtime):
        api.wrong["wine"] = status
        asked = element(entity("iris"), entity("wine"), common={"uninitializedToPassiveTimeout": "1"})
        with pytest.raises(Failed) as caught:
            await handler.deploy(asked)
        assert str(caught.value) == (
            FAILED + "default/wine is not ready after 1 s: ModelLoadFailed: no such file model.joblib; "
            "what was made is removed again"
        )
        await until_gone(api, "iris", "wine")
        assert all("no such file model.joblib" in str(one) for one in runtime.told)


async def test_a_spec_that_nothing_can_serve_is_not_waited_for(tmp_path):
    status = standing(False, reason="PredictorNotReady", message="predictor is not ready")
    failure = {"reason": "NoSupportingRuntime", "message": "no runtime serves models of format sklurn"}
    status["modelStatus"] = {"transitionStatus": "InvalidSpec", "lastFailureInfo": failure}
    async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, _):
        api.wrong["iris"] = status
        with pytest.raises(Failed) as caught:
            await handler.deploy(element(entity("iris"), common={"uninitializedToPassiveTimeout": 300}))
        assert str(caught.value) == (
            FAILED + "default/iris cannot get ready: NoSupportingRuntime: no runtime serves models of format sklurn; "
            "what was made is removed again"
        )


async def test_what_hinders_it_is_told_meanwhile(tmp_path):
    status = standing(False, reason="PredictorNotReady", message="no such file model.joblib")
    async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, runtime):
        api.wrong["iris"] = status
        deploying = asyncio.create_task(handler.deploy(element(entity("iris"))))
        await until(lambda: bool(runtime.told))
        told = runtime.told[0]
        assert "no such file model.joblib" in str(told)
        api.wrong.clear()
        await api.stand("iris", standing(True))
        assert (await deploying).out_properties["ready"] is True


async def test_what_failed_can_be_kept_for_a_look(tmp_path):
    async with world(tmp_path) as api, api.handler(keep_failed=True) as (handler, _):
        asked = element(entity(), common={"uninitializedToPassiveTimeout": 1})
        with pytest.raises(Failed, match=r"Kserve setup is unavailable.*; kept: default/iris"):
            await handler.deploy(asked)
        assert await api.find("iris")
        async with api.kserve():
            await handler.deploy(asked)


async def test_no_time_is_left_after_the_instance_s_own_time_out(tmp_path):
    async with world(tmp_path) as api, api.handler() as (handler, _):
        with pytest.raises(Failed, match="not ready after 1 s"):
            await handler.deploy(element(entity(), deployTimeoutMs=6000))


class TestWhatIsThereAlready:
    async def test_of_this_element_is_changed(self, tmp_path):
        async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, _):
            asked = element(entity())
            await handler.deploy(asked)
            first = await api.find("iris")
            other = payload(predictor={"model": {"modelFormat": {"name": "xgboost"}, "storageUri": "https://x"}})
            await handler.deploy(element(entity(payload=other), like=asked))
            found = await api.find("iris")
            assert found["metadata"]["uid"] == first["metadata"]["uid"]
            assert found["spec"]["predictor"]["model"]["modelFormat"]["name"] == "xgboost"

    async def test_a_shorthand_that_kserve_has_moved_is_no_obstacle(self, tmp_path):
        async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, _):
            asked = element(entity(payload=payload(predictor={"sklearn": {"storageUri": "https://a"}})))
            await handler.deploy(asked)
            again = element(entity(payload=payload(predictor={"sklearn": {"storageUri": "https://b"}})), like=asked)
            await handler.deploy(again)
            predictor = (await api.find("iris"))["spec"]["predictor"]
            assert "https://b" in json.dumps(predictor)
            assert "https://a" not in json.dumps(predictor)

    @pytest.mark.parametrize(
        ("labels", "told"),
        [
            ({}, "it carries no instance's label"),
            (
                {INSTANCE_LABEL: "5eed0001", ELEMENT_LABEL: "709c62b3"},
                "it belongs to element 709c62b3 of instance 5eed0001",
            ),
        ],
    )
    async def test_of_somebody_else_is_not_touched(self, tmp_path, labels, told):
        async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, _):
            await api.make("iris", labels=labels)
            with pytest.raises(Failed) as caught:
                await handler.deploy(element(entity("wine"), entity("iris")))
            assert str(caught.value).startswith(
                f"{FAILED}default/iris exists already and is not this element's: {told}"
            )
            assert (await api.find("iris"))["metadata"].get("labels", {}) == labels
            await until_gone(api, "wine")
            assert {request.verb for request in api.relay.requests if request.path.endswith("/iris")} == {"get"}

    async def test_and_being_deleted_is_waited_for(self, tmp_path):
        async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, _):
            old = await api.make("iris", finalizers=["test.example/hold"])
            await api.client.delete(INFERENCE_SERVICE, "iris", "default")
            deploying = asyncio.create_task(handler.deploy(element(entity())))
            await until(lambda: api.relay.count("get") > 0)
            assert not deploying.done()
            await api.hold("iris", None)
            await deploying
            assert (await api.find("iris"))["metadata"]["uid"] != old["metadata"]["uid"]


class TestWhatTheApiSays:
    async def test_a_namespace_that_is_not_there(self, tmp_path):
        async with world(tmp_path) as api, api.handler() as (handler, _):
            with pytest.raises(Failed) as caught:
                await handler.deploy(element(entity(namespace="nowhere")))
            assert str(caught.value) == f'{FAILED}nowhere/iris: 404 NotFound: namespaces "nowhere" not found'

    async def test_an_invalid_service_is_named_without_its_values(self, tmp_path):
        spec = {"predictor": {"minReplicas": "hunter2", "model": {"modelFormat": {"name": "sklearn"}}}}
        async with world(tmp_path) as api, api.handler() as (handler, _):
            with pytest.raises(Failed) as caught:
                await handler.deploy(element(entity(payload=payload(**spec))))
            assert str(caught.value).startswith(f"{FAILED}default/iris: 4")
            assert "minReplicas" in str(caught.value)
            assert "hunter2" not in str(caught.value)

    async def test_what_kserve_s_own_rules_refuse(self, tmp_path):
        spec = {"predictor": {"sklearn": {"storageUri": "https://a"}, "xgboost": {"storageUri": "https://a"}}}
        async with world(tmp_path) as api, api.handler() as (handler, _):
            with pytest.raises(Failed, match=r"default/iris: 40.*predictor"):
                await handler.deploy(element(entity(payload=payload(**spec))))

    @pytest.mark.parametrize(
        ("code", "reason", "message"),
        [
            (403, "Forbidden", 'inferenceservices is forbidden: User "p" cannot create resource'),
            (422, "Invalid", "spec.predictor: Required value"),
            (400, "BadRequest", "admission webhook denied the request"),
            (401, "Unauthorized", "Unauthorized"),
        ],
    )
    async def test_a_refusal_fails_at_once(self, tmp_path, code, reason, message):
        async with world(tmp_path) as api, api.handler() as (handler, _):
            api.relay.answer("create", refusing(code, reason, message))
            with pytest.raises(Failed) as caught:
                await handler.deploy(element(entity()))
            assert str(caught.value) == f"{FAILED}default/iris: {code} {reason}: {message}"
            assert api.relay.count("create") == 1

    async def test_kserve_is_not_installed(self, tmp_path):
        async with world(tmp_path) as api, api.handler() as (handler, _):
            api.relay.answer("create", refusing(404, "NotFound", "the server could not find the requested resource"))
            with pytest.raises(
                Failed, match=r"knows no inferenceservices.serving.kserve.io: is KServe installed there"
            ):
                await handler.deploy(element(entity()))

    async def test_what_passes_is_tried_again(self, tmp_path):
        async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, _):
            end = api.relay.answer("create", refusing(500, "InternalError", "failed calling webhook"))
            deploying = asyncio.create_task(handler.deploy(element(entity())))
            await until(lambda: api.relay.count("create") > 1)
            end()
            assert (await deploying).message == "Deployed"

    async def test_what_does_not_pass_is_told_in_the_end(self, tmp_path):
        async with world(tmp_path) as api, api.handler() as (handler, _):
            api.relay.answer("create", refusing(503, "ServiceUnavailable", "busy"))
            with pytest.raises(Failed, match="the Kubernetes API keeps answering 503 ServiceUnavailable: busy"):
                await handler.deploy(element(entity(), common={"uninitializedToPassiveTimeout": 1}))


class TestAnApiThatIsAway:
    async def test_for_a_while(self, tmp_path):
        async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, _):
            api.relay.go()
            deploying = asyncio.create_task(handler.deploy(element(entity())))
            await asyncio.sleep(0.5)
            api.relay.come_back()
            assert (await deploying).message == "Deployed"

    async def test_for_ever(self, tmp_path):
        async with world(tmp_path) as api, api.handler() as (handler, _):
            api.relay.go()
            with pytest.raises(Failed, match=r"does not answer.*; perhaps left behind: default/iris"):
                await handler.deploy(element(entity(), common={"uninitializedToPassiveTimeout": 1}))

    async def test_while_it_is_waited_for(self, tmp_path):
        async with world(tmp_path) as api, api.handler() as (handler, _):
            deploying = asyncio.create_task(handler.deploy(element(entity())))
            await api.have("iris")
            api.relay.go()
            await api.stand("iris", standing(True))
            await asyncio.sleep(0.3)
            api.relay.come_back()
            assert (await deploying).message == "Deployed"

    async def test_its_answer_got_lost(self, tmp_path):
        """The service was made, but nobody heard of it: it counts as this order's."""
        async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, _):
            api.relay.lose("create")
            asked = element(entity("iris"), entity("other", namespace="nowhere"))
            with pytest.raises(Failed, match="what was made is removed again"):
                await handler.deploy(asked)
            await until_gone(api, "iris")

    async def test_slow(self, tmp_path):
        async with world(tmp_path) as api, api.kserve(), api.handler(call_timeout=1) as (handler, _):
            end = api.relay.answer("create", slow(30))
            deploying = asyncio.create_task(handler.deploy(element(entity())))
            await until(lambda: api.relay.count("create") > 1)
            end()
            assert (await deploying).message == "Deployed"

    async def test_no_watch_but_looks(self, tmp_path):
        """A proxy that lets no watch through: what the composition sets as interval is how often one looks."""
        async with world(tmp_path) as api, api.handler() as (handler, _):
            api.relay.answer("watch", hanging_up)
            deploying = asyncio.create_task(handler.deploy(element(entity(), common={"statusCheckInterval": 1})))
            await api.have("iris")
            await api.stand("iris", standing(True))
            assert (await deploying).message == "Deployed"


class TestBehindOurBack:
    async def test_deleted_while_it_is_waited_for(self, tmp_path):
        async with world(tmp_path) as api, api.handler() as (handler, _):
            deploying = asyncio.create_task(handler.deploy(element(entity())))
            await api.have("iris")
            await api.client.delete(INFERENCE_SERVICE, "iris", "default")
            with pytest.raises(Failed, match="default/iris has been deleted by somebody else"):
                await deploying

    async def test_taken_by_another_instance(self, tmp_path):
        async with world(tmp_path) as api, api.handler() as (handler, _):
            deploying = asyncio.create_task(handler.deploy(element(entity())))
            await api.have("iris")
            labels = {"labels": {INSTANCE_LABEL: "another"}}
            await api.client.patch(INFERENCE_SERVICE, "iris", "default", {"metadata": labels})
            with pytest.raises(Failed, match=r"not this element's.* of instance another"):
                await deploying
            assert await api.find("iris")


async def test_a_cancelled_deployment_is_found_by_the_next(tmp_path):
    async with world(tmp_path) as api, api.handler() as (handler, _):
        asked = element(entity())
        deploying = asyncio.create_task(handler.deploy(asked))
        made = await api.have("iris")
        deploying.cancel()
        await asyncio.wait([deploying])
        async with api.kserve():
            await handler.deploy(asked)
        assert (await api.find("iris"))["metadata"]["uid"] == made["metadata"]["uid"]


async def test_wrong_properties_are_told_before_anything_is_asked(tmp_path):
    async with world(tmp_path) as api, api.handler() as (handler, _):
        before = api.relay.count("create")
        with pytest.raises(Failed) as caught:
            await handler.deploy(element(entity(payload="{"), entity(name=None)))
        assert str(caught.value).startswith(f"{FAILED}kserveInferenceEntities[0].payload: is not JSON")
        assert "kserveInferenceEntities[1].name: is required" in str(caught.value)
        assert api.relay.count("create") == before


async def test_no_secret_is_logged_or_told(tmp_path, caplog):
    caplog.set_level("DEBUG")
    spec = {
        "predictor": {
            "containers": [{"name": "kserve-container", "image": "i", "env": [{"name": "TOKEN", "value": "hunter2"}]}]
        }
    }
    async with world(tmp_path) as api, api.handler() as (handler, _):
        api.relay.answer("create", refusing(400, "BadRequest", "env TOKEN has the value hunter2, which is weak"))
        with pytest.raises(Failed, match=r"the value \*\*\*, which") as caught:
            await handler.deploy(element(entity(payload=payload(**spec))))
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in caplog.text


async def until_gone(api, *names):
    async with asyncio.timeout(20):
        for name in names:
            while await api.find(name) is not None:
                await asyncio.sleep(0.01)


async def test_a_long_reason_leaves_room_for_what_stays(tmp_path):
    async with world(tmp_path) as api, api.handler(keep_failed=True) as (handler, _):
        api.relay.lose("create")
        api.relay.answer("patch", refusing(422, "Invalid", "much to say " * 100))
        with pytest.raises(Failed) as caught:
            await handler.deploy(element(entity()))
        assert len(str(caught.value)) == 255
        assert str(caught.value).endswith("...; kept: default/iris")
