"""What a user of KServe's SDK does, as a script: it runs in the SDK's own interpreter, which knows nothing of Mizzen.

    python kserve_story.py KUBECONFIG GATEWAY_URL MODEL_FOLDER

Every step prints its name; the last line is ``done``.
"""

import asyncio
import sys
import threading

from kserve import (
    InferenceRESTClient,
    InferInput,
    InferRequest,
    KServeClient,
    RESTConfig,
    V1beta1InferenceService,
    V1beta1InferenceServiceSpec,
    V1beta1ModelFormat,
    V1beta1ModelSpec,
    V1beta1PredictorSpec,
    V1beta1SKLearnSpec,
    constants,
)
from kubernetes import client as kubernetes
from kubernetes import config, watch

FLOWERS = [[6.8, 2.8, 4.8, 1.4], [5.1, 3.5, 1.4, 0.2]]
CLASSES = [1, 0]
NAMESPACE = "sdk"


def service(name, **predictor):
    return V1beta1InferenceService(
        api_version=constants.KSERVE_V1BETA1,
        kind=constants.KSERVE_KIND_INFERENCESERVICE,
        metadata=kubernetes.V1ObjectMeta(name=name, namespace=NAMESPACE),
        spec=V1beta1InferenceServiceSpec(predictor=V1beta1PredictorSpec(**predictor)),
    )


def condition(found, kind="Ready"):
    return next((one for one in found["status"].get("conditions", []) if one["type"] == kind), {})


async def infer(gateway, host, name):
    """Over both protocols, with the Host that the service's URL names."""
    headers = {"Host": host}
    v1 = InferenceRESTClient(RESTConfig(protocol="v1", timeout=30))
    answer = await v1.infer(gateway, {"instances": FLOWERS}, model_name=name, headers=headers)
    assert answer == {"predictions": CLASSES}, answer
    answer = await infer_v2(gateway, headers, name)
    assert answer.outputs[0].as_numpy().tolist() == CLASSES, answer
    assert await v1.is_model_ready(gateway, name, headers=headers)
    try:
        await v1.infer(gateway, {"instances": [[1.0]]}, model_name=name, headers=headers)
    except Exception as error:
        assert "features" in str(error), error
    else:
        raise AssertionError("a request of the wrong width was answered")
    await v1.close()


async def infer_v2(gateway, headers, name):
    v2 = InferenceRESTClient(RESTConfig(protocol="v2", timeout=30))
    tensor = InferInput("input-0", [2, 4], "FP64", data=FLOWERS)
    request = InferRequest(name, [tensor], request_id="7")
    answer = await v2.infer(gateway, request, model_name=name, headers=headers)
    assert (answer.id, answer.model_name) == ("7", name), answer
    assert await v2.is_server_ready(gateway, headers=headers)
    assert await v2.is_server_live(gateway, headers=headers)
    assert await v2.is_model_ready(gateway, name, headers=headers)
    await v2.close()
    return answer


async def infer_of_mlserver(gateway, host, name):
    """Who asks for V2 is served by MLServer's runtime, which gives each value a row of its own."""
    answer = await infer_v2(gateway, {"Host": host}, name)
    assert answer.outputs[0].name == "predict", answer
    assert answer.outputs[0].as_numpy().tolist() == [[one] for one in CLASSES], answer


def main(kubeconfig, gateway, model):
    config.load_kube_config(kubeconfig)
    core, apps = kubernetes.CoreV1Api(), kubernetes.AppsV1Api()
    core.create_namespace(kubernetes.V1Namespace(metadata=kubernetes.V1ObjectMeta(name=NAMESPACE)))
    kserve = KServeClient(config_file=kubeconfig)

    seen = set()
    watching = watch.Watch()

    def look():
        for event in watching.stream(core.list_namespaced_pod, NAMESPACE, timeout_seconds=120):
            seen.add(event["type"])

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    print("connected")

    uri = f"file://{model}"
    created = kserve.create(service("flowers", sklearn=V1beta1SKLearnSpec(storage_uri=uri)))
    assert created["metadata"]["name"] == "flowers"
    kserve.wait_isvc_ready("flowers", namespace=NAMESPACE, timeout_seconds=60, polling_interval=1)
    assert kserve.is_isvc_ready("flowers", namespace=NAMESPACE)
    found = kserve.get("flowers", namespace=NAMESPACE)
    assert found["status"]["url"] == "http://flowers-sdk.example.com", found["status"]
    assert found["status"]["address"]["url"] == "http://flowers-predictor.sdk.svc.cluster.local"
    assert condition(found)["status"] == "True"
    assert [one["metadata"]["name"] for one in kserve.get(namespace=NAMESPACE)["items"]] == ["flowers"]
    kserve.get("flowers", namespace=NAMESPACE, watch=True, timeout_seconds=10)
    print("created and ready")

    asyncio.run(infer(gateway, "flowers-sdk.example.com", "flowers"))
    print("asked over V1 and V2")

    pods = core.list_namespaced_pod(NAMESPACE, label_selector="serving.kserve.io/inferenceservice=flowers").items
    assert [pod.status.phase for pod in pods] == ["Running"]
    log = core.read_namespaced_pod_log(pods[0].metadata.name, NAMESPACE, container="kserve-container")
    assert "flowers" in log, log
    deployment = apps.read_namespaced_deployment("flowers-predictor", NAMESPACE)
    assert deployment.status.ready_replicas == 1
    node = core.list_node().items[0]
    assert {one.type: one.status for one in node.status.conditions}["Ready"] == "True"
    events = core.list_namespaced_event(NAMESPACE).items
    assert "InferenceServiceReady" in {event.reason for event in events}
    assert kubernetes.VersionApi().get_code().minor == "33"
    print("looked at with the Kubernetes client")

    kserve.patch(
        "flowers", service("flowers", min_replicas=2, sklearn=V1beta1SKLearnSpec(storage_uri=uri)), namespace=NAMESPACE
    )
    generation = kserve.get("flowers", namespace=NAMESPACE)["metadata"]["generation"]
    kserve.wait_isvc_ready(
        "flowers", namespace=NAMESPACE, timeout_seconds=60, polling_interval=1, expected_generation=generation
    )
    assert apps.read_namespaced_deployment("flowers-predictor", NAMESPACE).spec.replicas == 2
    print("patched")

    one = service("flowers", min_replicas=1, sklearn=V1beta1SKLearnSpec(storage_uri=uri))
    kserve.replace("flowers", one, namespace=NAMESPACE)
    assert kserve.get("flowers", namespace=NAMESPACE)["spec"]["predictor"]["minReplicas"] == 1
    kserve.wait_isvc_ready("flowers", namespace=NAMESPACE, timeout_seconds=60, polling_interval=1)
    format_ = V1beta1ModelSpec(model_format=V1beta1ModelFormat(name="sklearn"), storage_uri=uri, protocol_version="v2")
    kserve.create(service("second", model=format_))
    kserve.wait_isvc_ready("second", namespace=NAMESPACE, timeout_seconds=60, polling_interval=1)
    assert kserve.get("second", namespace=NAMESPACE)["status"]["clusterServingRuntimeName"] == "kserve-mlserver"
    asyncio.run(infer_of_mlserver(gateway, "second-sdk.example.com", "second"))
    print("replaced, and a second one served")

    try:
        kserve.create(service("flowers", sklearn=V1beta1SKLearnSpec(storage_uri=uri)))
    except RuntimeError as error:
        assert "already exists" in str(error), error
    else:
        raise AssertionError("a second one of the same name was stored")
    try:
        kserve.get("nobody", namespace=NAMESPACE)
    except RuntimeError as error:
        assert "not found" in str(error), error
    else:
        raise AssertionError("what does not exist was found")
    print("refused in the SDK's own way")

    for name in ("flowers", "second"):
        kserve.delete(name, namespace=NAMESPACE)
    core.delete_namespace(NAMESPACE)
    for event in watch.Watch().stream(core.list_namespace, timeout_seconds=60):
        if event["type"] == "DELETED" and event["object"].metadata.name == NAMESPACE:
            break
    else:
        raise AssertionError("the namespace is still there")
    assert core.list_namespaced_pod(NAMESPACE).items == []
    watching.stop()
    assert {"ADDED", "MODIFIED", "DELETED"} <= seen, seen
    print("deleted")
    print("done")


main(*sys.argv[1:])
