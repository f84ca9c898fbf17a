"""The InferenceService controller against a real API server; the test plays node, Deployment controller and gateway."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator

import pytest

from inference_objects import custom, model, model_format, runtime_manifest
from inference_world import DEPLOYMENT, INFERENCE_SERVICE, INGRESS, SERVICE, World, condition, world
from mizzen.apis.core import CONFIG_MAP, POD
from mizzen.apis.httproute import HTTP_ROUTE
from mizzen.apis.serving.v1alpha1 import CLUSTER_SERVING_RUNTIME, SERVING_RUNTIME
from mizzen.control.inference import controller
from mizzen.kube.admission import AdmissionResponse, Admitter
from mizzen.kube.errors import ApiError

GATEWAY = '{"enableGatewayApi": true, "kserveIngressGateway": "kserve/kserve-ingress-gateway"}'
FAILED = {"exitCode": 1, "reason": "Error", "message": "there is no model at https://models/iris"}
CRASHING = {"waiting": {"reason": "CrashLoopBackOff"}}


@pytest.fixture
async def here(tmp_path) -> AsyncIterator[World]:
    async with world(tmp_path) as found:
        yield found


def image_of(deployment):
    return deployment["spec"]["template"]["spec"]["containers"][0]["image"]


async def test_from_a_manifest_to_a_url(here):
    async with here.controlled():
        await here.apply()
        deployment = await here.have(DEPLOYMENT, "iris-predictor")
        service = await here.have(SERVICE, "iris-predictor")
        for child in (deployment, service):
            owner = child["metadata"]["ownerReferences"][0]
            assert (owner["kind"], owner["name"], owner["controller"]) == ("InferenceService", "iris", True)
        assert service["spec"]["clusterIP"] != "None"
        waiting = await here.says("iris", "IngressReady", "False", "Predictor ingress not created")
        assert condition(waiting, "Ready")["status"] == "False"
        assert "url" not in waiting["status"]
        assert await here.find(INGRESS, "iris") is None

        await here.deployed(available=False)
        unready = await here.says("iris", "PredictorReady", "False", "MinimumReplicas")
        assert unready["status"]["observedGeneration"] == 1
        assert await here.find(INGRESS, "iris") is None

        await here.deployed()
        ingress = await here.have(INGRESS, "iris")
        assert ingress["spec"]["ingressClassName"] == "mizzen"
        unserved = await here.says("iris", "IngressReady", "False", "IngressNotServed")
        assert condition(unserved, "PredictorReady")["status"] == "True"
        assert "url" not in unserved["status"]

        await here.routed()
        ready = await here.says("iris", "Ready", "True")
        assert ready["status"]["url"] == "http://iris-default.example.com"
        assert ready["status"]["address"] == {"url": "http://iris-predictor.default.svc.cluster.local"}
        assert ready["status"]["deploymentMode"] == "Standard"
        assert ready["status"]["clusterServingRuntimeName"] == "kserve-sklearnserver"
        assert (await here.told("InferenceServiceReady"))["type"] == "Normal"


async def test_the_model_as_its_pod_goes_on(here):
    async with here.controlled():
        await here.apply()
        await here.deployed(available=False)
        initializer = {"name": "storage-initializer", "image": "i", "imageID": "", "ready": False, "restartCount": 0}
        server = initializer | {"name": "kserve-container"}

        def reached(target, transition):
            def check(found):
                status = found["status"]["modelStatus"]
                return (status["states"]["targetModelState"], status["transitionStatus"]) == (target, transition)

            return check

        await here.started(phase="Pending", initContainerStatuses=[initializer | {"state": {"running": {}}}])
        await here.have(INFERENCE_SERVICE, "iris", reached("Loading", "InProgress"))
        await here.says("iris", "PredictorReady", "False", "ModelLoading")

        failed = initializer | {"state": CRASHING, "lastState": {"terminated": FAILED}}
        await here.started(phase="Pending", initContainerStatuses=[failed])
        found = await here.have(INFERENCE_SERVICE, "iris", reached("FailedToLoad", "BlockedByFailedLoad"))
        assert found["status"]["modelStatus"]["lastFailureInfo"] == {
            "reason": "ModelLoadFailed",
            "message": FAILED["message"],
            "exitCode": 1,
        }
        found = await here.says("iris", "PredictorReady", "False", "CrashLoopBackOff")
        assert "there is no model at https://models/iris" in condition(found, "PredictorReady")["message"]

        await here.started(
            phase="Running",
            initContainerStatuses=[initializer | {"state": {"terminated": {"exitCode": 0}}}],
            containerStatuses=[server | {"ready": True, "state": {"running": {}}}],
            conditions=[{"type": "Ready", "status": "True"}],
        )
        await here.live()
        found = await here.have(INFERENCE_SERVICE, "iris", reached("Loaded", "UpToDate"))
        assert found["status"]["modelStatus"]["copies"] == {"failedCopies": 0, "totalCopies": 1}


async def test_an_edit_reaches_the_deployment_and_is_observed(here):
    async with here.controlled():
        await here.apply()
        await here.live()
        await here.apply(predictor=model(uri="https://models/v2", predictor={"minReplicas": 3}))
        source = "internal.serving.kserve.io/storage-initializer-sourceuri"
        edited = await here.have(DEPLOYMENT, "iris-predictor", lambda found: found["spec"]["replicas"] == 3)
        assert edited["spec"]["template"]["metadata"]["annotations"][source] == "https://models/v2"
        assert (await here.have(INFERENCE_SERVICE, "iris"))["status"]["observedGeneration"] == 1
        await here.deployed()
        await here.have(INFERENCE_SERVICE, "iris", lambda found: found["status"]["observedGeneration"] == 2)


async def test_what_an_edit_leaves_out_goes(here):
    async with here.controlled():
        await here.apply(predictor=model(env=[{"name": "A", "value": "1"}], predictor={"nodeSelector": {"a": "b"}}))
        await here.live()
        await here.apply(predictor=model())
        await here.have(
            DEPLOYMENT, "iris-predictor", lambda found: "nodeSelector" not in found["spec"]["template"]["spec"]
        )
        found = await here.have(DEPLOYMENT, "iris-predictor")
        variables = [entry["name"] for entry in found["spec"]["template"]["spec"]["containers"][0]["env"]]
        assert variables == ["INFERENCE_SERVICE_NAME"]


async def test_what_somebody_else_changes_is_put_right(here):
    async with here.controlled():
        await here.apply()
        await here.live()
        await here.client.patch(
            SERVICE, "iris-predictor", "default", [{"op": "replace", "path": "/spec/selector/app", "value": "x"}],
            kind="json",
        )  # fmt: skip
        await here.have(SERVICE, "iris-predictor", lambda found: found["spec"]["selector"]["app"] != "x")
        await here.client.delete(INGRESS, "iris", "default")
        await here.says("iris", "IngressReady", "False", "IngressNotServed")
        await here.live()
        await here.client.delete(DEPLOYMENT, "iris-predictor", "default")
        await here.says("iris", "PredictorReady", "False")
        await here.deployed()
        await here.says("iris", "Ready", "True")


async def test_stopping_and_going_on(here):
    async with here.controlled():
        await here.apply()
        await here.live()
        await here.annotate("iris", stop="True")
        stopped = await here.says("iris", "Stopped", "True")
        for resource, name in ((DEPLOYMENT, "iris-predictor"), (SERVICE, "iris-predictor"), (INGRESS, "iris")):
            await here.gone(resource, name)
        assert [(one["type"], one["status"], one["reason"]) for one in stopped["status"]["conditions"]] == [
            ("IngressReady", "False", "Stopped"),
            ("PredictorReady", "False", "Stopped"),
            ("Ready", "False", "Stopped"),
            ("Stopped", "True", "Stopped"),
        ]
        assert stopped["status"].keys() == {"conditions", "deploymentMode", "observedGeneration"}
        assert "PredictorReady" in (await here.told("InferenceServiceNotReady"))["message"]
        await here.annotate("iris", stop="false")
        await here.live()
        await here.says("iris", "Stopped", "False")


async def test_a_service_that_is_born_stopped(here):
    async with here.controlled() as client:
        await here.apply(annotations={"serving.kserve.io/stop": "true"})
        await here.says("iris", "Stopped", "True")
        await here.quiet(client)
        assert await here.find(DEPLOYMENT, "iris-predictor") is None


async def test_a_runtime_that_changes_reaches_its_users_alone(here):
    mine = runtime_manifest("mine", model_format("mine"), containers=[{"name": "kserve-container", "image": "mine:1"}])
    mine["metadata"].pop("creationTimestamp")
    await here.client.apply(CLUSTER_SERVING_RUNTIME, mine)
    async with here.controlled():
        await here.apply("a", predictor=model("mine"))
        await here.apply("b")
        await here.apply("c", predictor=model("mine"), annotations={"serving.kserve.io/disable-auto-update": "true"})
        for name in "abc":
            await here.live(name)
        version = (await here.have(DEPLOYMENT, "b-predictor"))["metadata"]["resourceVersion"]
        mine["spec"]["containers"][0]["image"] = "mine:2"
        await here.client.apply(CLUSTER_SERVING_RUNTIME, mine)
        await here.have(DEPLOYMENT, "a-predictor", lambda found: image_of(found) == "mine:2")
        assert image_of(await here.have(DEPLOYMENT, "c-predictor")) == "mine:1"
        assert (await here.have(DEPLOYMENT, "b-predictor"))["metadata"]["resourceVersion"] == version


async def test_a_runtime_that_comes_and_goes(here):
    async with here.controlled():
        await here.apply(predictor=model("mine"))
        lost = await here.says("iris", "PredictorReady", "False", "NoSupportingRuntime")
        assert "mine" in condition(lost, "Ready")["message"]
        assert lost["status"]["modelStatus"]["transitionStatus"] == "InvalidSpec"
        assert lost["status"]["observedGeneration"] == 1

        found = runtime_manifest("mine", model_format("mine"), cluster=False)
        found["metadata"].pop("creationTimestamp")
        await here.client.apply(SERVING_RUNTIME, found)
        ready = await here.live()
        assert ready["status"]["servingRuntimeName"] == "mine"
        assert ready["status"]["modelStatus"]["transitionStatus"] == "InProgress"

        await here.client.delete(SERVING_RUNTIME, "mine", "default")
        still = await here.have(
            INFERENCE_SERVICE, "iris", lambda one: one["status"]["modelStatus"]["transitionStatus"] == "InvalidSpec"
        )
        assert condition(still, "Ready")["status"] == "True", "what runs goes on"
        assert await here.find(DEPLOYMENT, "iris-predictor") is not None


async def test_what_is_not_built_is_named(here):
    async with here.controlled() as client:
        await here.apply(predictor=model(predictor={"batcher": {"maxBatchSize": 2}}), transformer=custom())
        found = await here.says("iris", "PredictorReady", "False", "NotSupported")
        message = condition(found, "Ready")["message"]
        assert "spec.transformer is not supported yet" in message
        assert "spec.predictor.batcher is not supported yet" in message
        assert found["status"]["observedGeneration"] == 1
        await here.quiet(client)
        assert await here.find(DEPLOYMENT, "iris-predictor") is None


async def test_fields_without_effect_are_told_while_the_service_runs(here):
    async with here.controlled():
        await here.apply(predictor=model(predictor={"maxReplicas": 3}))
        ready = await here.live()
        told = condition(ready, "AutoscalingActive")
        assert (told["status"], told["reason"], told["severity"]) == ("False", "NotSupported", "Info")
        assert "spec.predictor.maxReplicas" in told["message"]


async def test_a_config_map_that_breaks_and_is_mended(here):
    before = (await here.have(CONFIG_MAP, "inferenceservice-config", namespace="kserve"))["data"]
    async with here.controlled():
        await here.apply()
        await here.live()
        await here.configure(ingress='{"domainTemplate": "{{ .Host }}"}')
        found = await here.says("iris", "Ready", "False", "ReconcileFailed")
        assert "domainTemplate" in condition(found, "Ready")["message"]
        await here.configure(ingress="{")
        found = await here.says("iris", "Ready", "False", "InvalidConfiguration")
        assert "key ingress" in condition(found, "Ready")["message"]
        assert await here.find(INGRESS, "iris") is not None
        await here.configure(ingress=before["ingress"].replace("example.com", "example.org"))
        found = await here.have(INFERENCE_SERVICE, "iris", lambda one: one["status"]["url"].endswith("example.org"))
        assert (await here.have(INGRESS, "iris"))["spec"]["rules"][0]["host"] == "iris-default.example.org"
        await here.says("iris", "Ready", "True")


async def test_a_name_that_makes_no_host_is_told(here):
    async with here.controlled():
        await here.configure(ingress='{"domainTemplate": "{{ .Name }}-' + "x" * 60 + '.example.com"}')
        await here.apply()
        found = await here.says("iris", "Ready", "False", "ReconcileFailed")
        assert "63" in condition(found, "Ready")["message"]
        assert await here.find(DEPLOYMENT, "iris-predictor") is None


async def test_on_a_gateway(here):
    await here.configure(ingress=GATEWAY)
    async with here.controlled():
        await here.apply()
        await here.deployed()
        await here.have(HTTP_ROUTE, "iris-predictor")
        await here.says("iris", "IngressReady", "False", "ParentStatusNotAvailable")
        await here.taken_up("iris-predictor")
        await here.taken_up("iris", "False")
        found = await here.says("iris", "IngressReady", "False", "NotAllowed")
        assert "InferenceService HTTPRoute" in condition(found, "IngressReady")["message"]
        await here.taken_up("iris")
        await here.says("iris", "Ready", "True")
        assert await here.find(INGRESS, "iris") is None


async def test_from_an_ingress_to_a_gateway(here):
    async with here.controlled():
        await here.apply()
        await here.live()
        await here.configure(ingress=GATEWAY)
        await here.taken_up("iris-predictor")
        await here.taken_up("iris")
        await here.gone(INGRESS, "iris")
        await here.says("iris", "Ready", "True")


async def test_a_gateway_that_the_api_does_not_know(here):
    await here.configure(ingress=GATEWAY)
    async with here.controlled(gateway_api=False):
        await here.apply()
        found = await here.says("iris", "Ready", "False", "InvalidConfiguration")
        assert "enableGatewayApi" in condition(found, "Ready")["message"]
        await here.configure(ingress="{}")
        await here.live()


async def test_a_service_for_the_cluster_alone(here):
    async with here.controlled():
        await here.apply()
        await here.live()
        visibility = {"metadata": {"labels": {"networking.kserve.io/visibility": "cluster-local"}}}
        await here.client.patch(INFERENCE_SERVICE, "iris", "default", visibility)
        await here.gone(INGRESS, "iris")
        await here.says("iris", "Ready", "True")


async def test_a_predictor_of_another_name_takes_over(here):
    async with here.controlled():
        await here.apply()
        await here.live()
        await here.apply(predictor=model(uri="https://models/v2", predictor={"name": "v2"}))
        await here.gone(DEPLOYMENT, "iris-predictor")
        await here.gone(SERVICE, "iris-predictor")
        await here.deployed("iris-v2-predictor")
        await here.have(
            INGRESS,
            "iris",
            lambda found: (
                found["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"] == "iris-v2-predictor"
            ),
        )


async def test_containers_of_the_users_own(here):
    async with here.controlled():
        ports = [{"containerPort": 5000}]
        await here.apply(predictor=custom({"name": "x", "image": "my/server:1", "ports": ports}))
        found = await here.have(DEPLOYMENT, "iris-predictor")
        assert image_of(found) == "my/server:1"
        assert (await here.have(SERVICE, "iris-predictor"))["spec"]["ports"][0]["targetPort"] == 5000
        ready = await here.live()
        assert "clusterServingRuntimeName" not in ready["status"]


async def test_what_the_api_refuses_is_told(here):
    async with here.controlled():
        await here.apply(predictor=model(volumeMounts=[{"name": "absent", "mountPath": "/x"}]))
        found = await here.says("iris", "Ready", "False", "ReconcileFailed")
        assert "absent" in condition(found, "Ready")["message"]
        assert found["status"]["observedGeneration"] == 1
        assert (await here.told("InternalError"))["type"] == "Warning"
        await here.apply(predictor=model())
        await here.live()


async def test_what_a_policy_refuses_is_offered_again(tmp_path, monkeypatch):
    monkeypatch.setattr(controller, "_REFUSED_AGAIN", 0.05)
    open_now = False

    def policy(request, reader):
        return AdmissionResponse(allowed=open_now, message="exceeded quota: team")

    rule = Admitter(name="quota", resources=(SERVICE,), admit=policy)
    async with world(tmp_path, rule) as here, here.controlled():
        await here.apply()
        found = await here.says("iris", "Ready", "False", "ReconcileFailed")
        assert "exceeded quota: team" in condition(found, "Ready")["message"]
        open_now = True
        await here.live()


async def test_two_services_at_once(here):
    async with here.controlled():
        names = ["one", "two"]
        await asyncio.gather(*(here.apply(name) for name in names))
        found = await asyncio.gather(*(here.live(name) for name in names))
        assert [one["status"]["url"] for one in found] == [f"http://{name}-default.example.com" for name in names]
        await here.annotate("one", stop="true")
        await here.gone(DEPLOYMENT, "one-predictor")
        assert condition(await here.have(INFERENCE_SERVICE, "two"), "Ready")["status"] == "True"
        assert await here.find(DEPLOYMENT, "two-predictor") is not None


STATES = {
    "ready": {},
    "on its way": {},
    "stopped": {"annotations": {"serving.kserve.io/stop": "true"}},
    "not built": {"predictor": model(predictor={"batcher": {}})},
    "unserved": {"predictor": model("onnx")},
    "own containers": {"predictor": custom({"image": "i", "resources": {"limits": {"cpu": "1000m"}}})},
    "all fields": {
        "predictor": model(
            env=[{"name": "A", "value": ""}],
            resources={"limits": {"cpu": 1.5, "memory": "2048Mi"}},
            readinessProbe={"httpGet": {"path": "/"}, "initialDelaySeconds": 0},
            volumeMounts=[{"name": "v", "mountPath": "/v", "readOnly": False}],
            predictor={
                "hostNetwork": False,
                "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1024Ki"}}],
                "initContainers": [{"name": "i", "image": "i", "resources": {"requests": {"cpu": "2000m"}}}],
                "minReplicas": 2,
                "maxReplicas": 2,
            },
        )
    },
}


@pytest.mark.parametrize("routes", ["Ingress", "HTTPRoute"])
async def test_a_controller_that_starts_again_finds_nothing_to_do(here, routes):
    if routes == "HTTPRoute":
        await here.configure(ingress=GATEWAY)
    names = {state: f"s{place}" for place, state in enumerate(STATES)}
    async with here.controlled() as client:
        for state, name in names.items():
            await here.apply(name, **copy.deepcopy(STATES[state]))
        for state in ("ready", "own containers", "all fields"):
            await here.live(names[state], routes)
        await here.says(names["stopped"], "Stopped", "True")
        await here.says(names["not built"], "Ready", "False", "NotSupported")
        await here.says(names["unserved"], "Ready", "False", "NoSupportingRuntime")
        await here.quiet(client)
    before = {name: await here.have(INFERENCE_SERVICE, name) for name in names.values()}
    async with here.controlled() as client:
        await here.quiet(client)
        assert client.writes == []
        await here.annotate("s0", anything="new")
        await here.have(DEPLOYMENT, "s0-predictor", lambda one: "anything" in str(one["metadata"]["annotations"]))
        await here.quiet(client)
        assert [path for _, path in client.writes if "/s0" not in path] == []
    for name in set(names.values()) - {"s0"}:
        assert await here.have(INFERENCE_SERVICE, name) == before[name]


async def test_an_object_of_that_name_that_belongs_to_somebody_else(here):
    stranger = {
        "metadata": {"name": "iris-predictor", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "other"}},
            "template": {
                "metadata": {"labels": {"app": "other"}},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
        },
    }
    await here.client.create(DEPLOYMENT, stranger)
    async with here.controlled():
        await here.apply()
        found = await here.says("iris", "Ready", "False", "ReconcileFailed")
        assert "iris-predictor" in condition(found, "Ready")["message"]
        kept = await here.have(DEPLOYMENT, "iris-predictor")
        assert kept["spec"]["selector"] == {"matchLabels": {"app": "other"}}


async def test_a_service_that_is_deleted_while_it_is_looked_at(here):
    async with here.controlled() as client:
        for number in range(5):
            await here.apply(f"s{number}")
            await here.client.delete(INFERENCE_SERVICE, f"s{number}", "default")
        await here.apply("last")
        await here.live("last")
        await here.quiet(client)


async def test_pods_bring_their_model_by_admission(here):
    async with here.controlled():
        await here.apply()
        template = (await here.have(DEPLOYMENT, "iris-predictor"))["spec"]["template"]
    pod = {"metadata": template["metadata"] | {"name": "p"}, "spec": template["spec"]}
    stored = await here.client.create(POD, pod)
    initializer = stored["spec"]["initContainers"][0]
    assert initializer["args"] == ["https://models/iris", "/mnt/models"]
    mounts = [mount["mountPath"] for mount in stored["spec"]["containers"][0]["volumeMounts"]]
    assert "/mnt/models" in mounts


async def test_what_admission_refuses(here):
    with pytest.raises(ApiError, match=r"spec\.predictor: exactly one of") as caught:
        await here.apply(predictor={"sklearn": {}, "xgboost": {}})
    assert caught.value.code == 400
    assert await here.find(INFERENCE_SERVICE, "iris") is None


async def test_a_service_that_waits_is_not_written_again_and_again(here):
    """Every look finds the same reasons, whatever the clock says by then."""
    async with here.controlled() as client:
        await here.apply("waits")
        await here.apply("lost", predictor=model("onnx"))
        await here.says("waits", "IngressReady", "False", "Predictor ingress not created")
        await here.says("lost", "Ready", "False", "NoSupportingRuntime")
        await here.quiet(client)
        count = len(client.writes)
        for _ in range(3):
            await asyncio.sleep(1.1)  # times are written in whole seconds
            await here.configure(unknown=None, more="x")
            await here.configure(more=None)
            await here.quiet(client)
        assert client.writes[count:] == []
