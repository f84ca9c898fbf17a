"""The Deployment and the Service of a predictor (reference of the KServe control plane, sections 4.2 and 9.1)."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_objects import SHARED, custom, isvc, manifest, model, model_format, runtime, shipped_by_kserve, typed
from mizzen.apis.serving.v1alpha1 import ClusterServingRuntime
from mizzen.apis.serving.v1beta1.model import FRAMEWORKS
from mizzen.control.inference.config import Config, parse_config
from mizzen.control.inference.defaults import defaulted
from mizzen.control.inference.runtimes import SelectionError, select
from mizzen.control.inference.scaling import AUTOSCALER_ANNOTATION
from mizzen.control.inference.standard import Resolved, predictor_name, render
from mizzen.control.inference.storage import source_uri
from mizzen.kube.children import covers, render_hash

OWNER = {
    "apiVersion": "serving.kserve.io/v1beta1",
    "kind": "InferenceService",
    "name": "raw-foo",
    "uid": "uid-raw-foo",
    "controller": True,
    "blockOwnerDeletion": True,
}
RESOURCES = {"limits": {"cpu": "1", "memory": "2Gi"}, "requests": {"cpu": "1", "memory": "2Gi"}}
# The fixture of KServe's own tests of this mode.
TF_SERVING = runtime(
    "tf-serving-raw",
    model_format("tensorflow", "1"),
    cluster=False,
    containers=[
        {
            "name": "kserve-container",
            "image": "tensorflow/serving:1.14.0",
            "command": ["/usr/bin/tensorflow_model_server"],
            "args": [
                "--port=9000",
                "--rest_api_port=8080",
                "--model_base_path=/mnt/models",
                "--rest_api_timeout_in_ms=60000",
            ],
            "resources": RESOURCES,
        }
    ],
)
TENSORFLOW = {
    "tensorflow": {"storageUri": "s3://test/mnist/export", "runtimeVersion": "1.14.0", "resources": RESOURCES}
}


def rendered(service, *runtimes, config=None, source: str | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    predictor = service.spec.predictor
    found = list(runtimes) or [runtime()]
    selected = None
    if predictor.model:
        spaced = [one for one in found if one.namespace]
        selected = select(predictor, spaced, [one for one in found if not one.namespace])
    source = source_uri(predictor) if source is None else source
    deployment, kube_service = render(
        Resolved(isvc=service, config=config or Config(), runtime=selected, source=source)
    )
    return deployment, kube_service


def deployment_of(predictor=None, *runtimes, config=None, **fields):
    return rendered(isvc(predictor=predictor or model(), **fields), *runtimes, config=config)[0]


def service_of(predictor=None, *runtimes, config=None, name="iris"):
    return rendered(isvc(name, predictor=predictor or model()), *runtimes, config=config)[1]


def pod_of(predictor=None, *runtimes, **fields):
    return deployment_of(predictor, *runtimes, **fields)["spec"]["template"]["spec"]


def test_kserves_golden_of_a_raw_predictor():
    service = isvc(
        "raw-foo",
        predictor=TENSORFLOW
        | {
            "minReplicas": 1,
            "maxReplicas": 3,
            "timeout": 30,
            "autoScaling": {
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "10Gi"}},
                    }
                ]
            },
        },
        annotations={"serving.kserve.io/deploymentMode": "Standard", AUTOSCALER_ANNOTATION: "hpa"},
    )
    labels = {
        "app": "isvc.raw-foo-predictor",
        "component": "predictor",
        "serving.kserve.io/inferenceservice": "raw-foo",
    }
    annotations = {
        "internal.serving.kserve.io/storage-initializer-sourceuri": "s3://test/mnist/export",
        "serving.kserve.io/deploymentMode": "Standard",
        "serving.kserve.io/autoscalerClass": "hpa",
    }
    metadata = {
        "name": "raw-foo-predictor",
        "namespace": "default",
        "labels": labels,
        "annotations": annotations,
    }
    deployment, kube_service = rendered(service, TF_SERVING)
    assert deployment == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata | {"ownerReferences": [OWNER]},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "isvc.raw-foo-predictor"}},
            "template": {
                "metadata": metadata,
                "spec": {
                    "containers": [
                        {
                            "name": "kserve-container",
                            "image": "tensorflow/serving:1.14.0",
                            "command": ["/usr/bin/tensorflow_model_server"],
                            "args": [
                                "--port=9000",
                                "--rest_api_port=8080",
                                "--model_base_path=/mnt/models",
                                "--rest_api_timeout_in_ms=60000",
                            ],
                            "env": [{"name": "INFERENCE_SERVICE_NAME", "value": "raw-foo"}],
                            "resources": RESOURCES,
                            "imagePullPolicy": "IfNotPresent",
                            "terminationMessagePath": "/dev/termination-log",
                            "terminationMessagePolicy": "File",
                            "readinessProbe": {
                                "tcpSocket": {"port": 8080},
                                "timeoutSeconds": 1,
                                "periodSeconds": 10,
                                "successThreshold": 1,
                                "failureThreshold": 3,
                            },
                        }
                    ],
                    "automountServiceAccountToken": False,
                    "dnsPolicy": "ClusterFirst",
                    "restartPolicy": "Always",
                    "schedulerName": "default-scheduler",
                    "securityContext": {},
                    "terminationGracePeriodSeconds": 30,
                },
            },
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
        },
    }
    assert kube_service == {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata | {"ownerReferences": [OWNER]},
        "spec": {
            "selector": {"app": "isvc.raw-foo-predictor"},
            "ports": [{"name": "raw-foo-predictor", "port": 80, "targetPort": 8080, "protocol": "TCP"}],
        },
    }


def test_kserves_golden_of_a_deployment_strategy():
    spec = deployment_of(TENSORFLOW | {"deploymentStrategy": {"type": "Recreate"}}, TF_SERVING)["spec"]
    assert spec["strategy"] == {"type": "Recreate"}
    assert "revisionHistoryLimit" not in spec
    assert "progressDeadlineSeconds" not in spec


def test_kserves_golden_of_changed_variables():
    def variables(*found):
        predictor = {"tensorflow": {"storageUri": "s3://b", "env": [{"name": n, "value": v} for n, v in found]}}
        return [(e["name"], e["value"]) for e in pod_of(predictor, TF_SERVING)["containers"][0]["env"]]

    name = ("INFERENCE_SERVICE_NAME", "iris")
    assert variables(("A", "1"), ("B", "2")) == [("A", "1"), ("B", "2"), name]
    assert variables(("A", "3"), ("C", "4")) == [("A", "3"), ("C", "4"), name]
    assert variables() == [name]


@pytest.mark.parametrize(("port", "target"), [(None, 8080), (8888, 8888)])
def test_kserves_golden_of_a_headless_service(port, target):
    container = {"name": "kserve-container", "image": "i"} | ({"ports": [{"containerPort": port}]} if port else {})
    found = service_of(model(), runtime(containers=[container]), config=HEADLESS)
    assert found["spec"]["clusterIP"] == "None"
    assert found["spec"]["ports"][0]["targetPort"] == target


HEADLESS = parse_config({"service": '{"serviceClusterIPNone": true}'})


@pytest.mark.parametrize(
    ("annotation", "fields", "replicas"),
    [
        (None, {}, 1),
        (None, {"minReplicas": 0}, 1),
        (None, {"minReplicas": 3}, 3),
        ("hpa", {"minReplicas": 0}, 1),
        ("hpa", {"minReplicas": 2, "maxReplicas": 5}, 2),
        ("keda", {"minReplicas": 2}, 2),
        ("none", {}, 1),
        ("none", {"minReplicas": 0}, 0),
        ("none", {"minReplicas": 3}, 3),
        ("external", {"minReplicas": 3}, None),
    ],
)
def test_how_many_pods(annotation, fields, replicas):
    annotations = {} if annotation is None else {AUTOSCALER_ANNOTATION: annotation}
    spec = deployment_of(model(predictor=fields), annotations=annotations)["spec"]
    assert spec.get("replicas") == replicas


@pytest.mark.parametrize(
    ("setting", "surge", "unavailable"),
    [
        ('{"defaultDeploymentMode": "Standard"}', "25%", "25%"),
        (
            '{"defaultDeploymentMode": "RawDeployment",'
            ' "deploymentRolloutStrategy": {"defaultRollout": {"maxSurge": "1", "maxUnavailable": "0"}}}',
            1,
            0,
        ),
        (
            '{"defaultDeploymentMode": "Standard",'
            ' "deploymentRolloutStrategy": {"defaultRollout": {"maxUnavailable": "50%"}}}',
            "25%",
            "50%",
        ),
        # The setting is for installations whose default is this mode.
        (
            '{"defaultDeploymentMode": "Knative",'
            ' "deploymentRolloutStrategy": {"defaultRollout": {"maxSurge": "1", "maxUnavailable": "0"}}}',
            "25%",
            "25%",
        ),
    ],
)
def test_the_config_maps_rollout(setting, surge, unavailable):
    strategy = deployment_of(config=parse_config({"deploy": setting}))["spec"]["strategy"]
    assert strategy["rollingUpdate"] == {"maxSurge": surge, "maxUnavailable": unavailable}


def test_the_users_strategy_wins_over_the_config_map():
    written = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "50%", "maxUnavailable": 0}}
    setting = (
        '{"defaultDeploymentMode": "Standard", "deploymentRolloutStrategy": {"defaultRollout": {"maxSurge": "1"}}}'
    )
    found = deployment_of(model(predictor={"deploymentStrategy": written}), config=parse_config({"deploy": setting}))
    assert found["spec"]["strategy"] == written


def test_labels_and_annotations_by_rank():
    found, kube_service = rendered(
        isvc(
            predictor=model(predictor={"labels": {"c": "predictor"}, "annotations": {"c": "predictor"}}),
            labels={"b": "isvc", "c": "isvc", "component": "mine"},
            annotations={"b": "isvc", "c": "isvc", "hidden": "x"},
        ),
        runtime(
            labels={"a": "runtime", "b": "runtime", "c": "runtime", "app": "theirs"},
            annotations={"on": "the runtime"},
        ),
        config=parse_config({"inferenceService": '{"serviceAnnotationDisallowedList": ["hidden"]}'}),
    )
    for metadata in (found["metadata"], found["spec"]["template"]["metadata"], kube_service["metadata"]):
        assert metadata["labels"] == {
            "a": "runtime",
            "b": "isvc",
            "c": "predictor",
            "app": "isvc.iris-predictor",
            "component": "predictor",
            "serving.kserve.io/inferenceservice": "iris",
        }
        assert metadata["annotations"] == {
            "b": "isvc",
            "c": "predictor",
            "serving.kserve.io/deploymentMode": "Standard",
            "internal.serving.kserve.io/storage-initializer-sourceuri": "https://models/iris",
        }


def test_annotations_of_the_runtimes_pods_are_passed_on():
    found = runtime()
    found.spec.annotations = {"prometheus.kserve.io/port": "8080"}
    assert deployment_of(model(), found)["metadata"]["annotations"]["prometheus.kserve.io/port"] == "8080"


@pytest.mark.parametrize(
    "annotation",
    [
        "autoscaling.knative.dev/min-scale",
        "autoscaling.knative.dev/max-scale",
        "kubectl.kubernetes.io/last-applied-configuration",
        "modelFormat",
    ],
)
def test_annotations_that_mean_the_service_alone(annotation):
    found = deployment_of(annotations={annotation: "x", "mine": "y"})
    for metadata in (found["metadata"], found["spec"]["template"]["metadata"]):
        assert annotation not in metadata["annotations"]
        assert metadata["annotations"]["mine"] == "y"


def test_a_source_that_the_user_annotates_is_not_believed():
    found = deployment_of(
        model(uri=None), annotations={"internal.serving.kserve.io/storage-initializer-sourceuri": "gs://b/m"}
    )
    assert "internal.serving.kserve.io/storage-initializer-sourceuri" not in found["metadata"]["annotations"]


@pytest.mark.parametrize(
    ("container", "port"),
    [
        ({}, 8080),
        ({"ports": [{"containerPort": 9000}]}, 9000),
        ({"ports": [{"containerPort": 7000, "name": "a"}, {"containerPort": 9000}]}, 7000),
    ],
)
def test_the_servers_probe(container, port):
    found = pod_of(model(), runtime(containers=[{"name": "kserve-container", "image": "i"} | container]))
    assert found["containers"][0]["readinessProbe"]["tcpSocket"] == {"port": port}


def test_probes_of_the_users():
    predictor = model(
        readinessProbe={"httpGet": {"path": "/ready"}, "periodSeconds": 2},
        livenessProbe={"tcpSocket": {}},
        startupProbe={"exec": {"command": ["true"]}},
        ports=[{"containerPort": 9000}],
    )
    container = pod_of(predictor)["containers"][0]
    assert container["readinessProbe"] == {"httpGet": {"path": "/ready", "port": 9000}, "periodSeconds": 2}
    assert container["livenessProbe"] == {"tcpSocket": {"port": 9000}}
    assert container["startupProbe"] == {"exec": {"command": ["true"]}}


def test_only_server_and_transformer_are_probed_unasked():
    containers = [{"name": "transformer-container", "image": "t"}, {"name": "other", "image": "o"}]
    found = pod_of(model(predictor={"containers": containers, "initContainers": [{"name": "i", "image": "i"}]}))
    assert ["readinessProbe" in container for container in found["containers"]] == [True, True, False]
    assert all(container["terminationMessagePolicy"] == "File" for container in found["containers"])
    assert found["initContainers"] == [{"name": "i", "image": "i"}]


def test_what_the_user_says_of_the_pod_stays():
    fields = {
        "restartPolicy": "OnFailure",
        "dnsPolicy": "Default",
        "terminationGracePeriodSeconds": 0,
        "securityContext": {"runAsUser": 1},
        "schedulerName": "mine",
    }
    found = pod_of(model(imagePullPolicy="Always", predictor=fields))
    assert {key: found[key] for key in fields} == fields
    assert found["containers"][0]["imagePullPolicy"] == "Always"


def test_what_a_server_needs_reaches_labels_placeholders_and_variables():
    mlserver = runtime(
        "kserve-mlserver",
        protocols=["v2"],
        containers=[
            {
                "name": "kserve-container",
                "image": "mlserver:1",
                "env": [{"name": "MLSERVER_MODEL_IMPLEMENTATION", "value": "{{.Labels.modelClass}}"}],
            }
        ],
    )
    service = isvc(predictor=model(protocolVersion="v2"))
    found, _ = rendered(service, mlserver)
    assert found["metadata"]["labels"]["modelClass"] == "mlserver_sklearn.SKLearnModel"
    variables = {e["name"]: e["value"] for e in found["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert variables == {
        "MLSERVER_MODEL_IMPLEMENTATION": "mlserver_sklearn.SKLearnModel",
        "MLSERVER_MODEL_NAME": "iris",
        "MLSERVER_MODEL_URI": "/mnt/models",
        "INFERENCE_SERVICE_NAME": "iris",
    }
    assert "modelClass" not in (service.metadata.labels or {})


def server(**fields):
    return {"name": "kserve-container", "image": "i"} | fields


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ([], [{"name": "iris-predictor", "port": 80, "targetPort": 8080, "protocol": "TCP"}]),
        (
            [{"containerPort": 5000, "protocol": "TCP"}],
            [{"name": "iris-predictor", "port": 80, "targetPort": 5000, "protocol": "TCP"}],
        ),
        (
            [{"containerPort": 8081, "name": "h2c", "protocol": "TCP"}],
            [{"name": "h2c", "port": 80, "targetPort": 8081, "protocol": "TCP", "appProtocol": "kubernetes.io/h2c"}],
        ),
        (
            [{"containerPort": 8080, "name": "http1"}, {"containerPort": 9000, "name": "grpc-port", "protocol": "TCP"}],
            [
                {"name": "http1", "port": 80, "targetPort": 8080, "protocol": "TCP"},
                {
                    "name": "grpc-port",
                    "port": 9000,
                    "targetPort": 9000,
                    "protocol": "TCP",
                    "appProtocol": "kubernetes.io/h2c",
                },
            ],
        ),
        (
            [{"containerPort": 53, "name": "dns", "protocol": "UDP"}],
            [{"name": "dns", "port": 80, "targetPort": 53, "protocol": "UDP"}],
        ),
    ],
)
def test_the_ports_of_the_service(ports, expected):
    assert service_of(custom(server(ports=ports)))["spec"]["ports"] == expected


def test_a_service_whose_name_says_grpc_speaks_what_its_port_says():
    port = service_of(custom(server(ports=[{"containerPort": 5000}])), name="grpc-h2c")["spec"]["ports"][0]
    assert port["name"] == "grpc-h2c-predictor"
    assert "appProtocol" not in port


def test_a_transformer_beside_answers_for_the_predictor():
    containers = [
        server(ports=[{"containerPort": 9000}]),
        {"name": "transformer-container", "image": "t", "ports": [{"containerPort": 7000}]},
    ]
    assert service_of(custom(*containers))["spec"]["ports"][0]["targetPort"] == 7000


def test_a_predictor_of_another_name():
    service = isvc(predictor=model(predictor={"name": "v2"}))
    assert predictor_name(service) == "iris-v2-predictor"
    found, kube_service = rendered(service)
    assert found["metadata"]["name"] == kube_service["metadata"]["name"] == "iris-v2-predictor"
    assert found["spec"]["selector"] == {"matchLabels": kube_service["spec"]["selector"]}


def shuffled(value: Any, random: Any) -> Any:
    """The same value with the keys of every mapping in another order."""
    if isinstance(value, dict):
        keys = list(value)
        random.shuffle(keys)
        return {key: shuffled(value[key], random) for key in keys}
    return [shuffled(item, random) for item in value] if isinstance(value, list) else value


def stored(value: Any, path: tuple[str, ...] = ()) -> Any:
    """A render as an API server written in Go gives it back: with defaults, and without zero values."""
    if isinstance(value, dict):
        kept = {key: stored(child, (*path, key)) for key, child in value.items()}
        kept = {
            key: child for key, child in kept.items() if child not in (None, "", False, 0, {}, []) or key in _POINTERS
        }
        if path and path[-1] in ("readinessProbe", "livenessProbe", "startupProbe"):
            kept = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3} | kept
        if path and path[-1] == "httpGet":
            kept = {"scheme": "HTTP"} | kept
        if not path:
            kept["status"] = {"replicas": 1}
            kept["metadata"] = kept["metadata"] | {"uid": "u", "resourceVersion": "7", "managedFields": []}
        return kept
    return [stored(item, path) for item in value] if isinstance(value, list) else value


_POINTERS = {"replicas", "controller", "automountServiceAccountToken", "terminationGracePeriodSeconds"}

VALUES = st.sampled_from(["", "1", "x"])
ENTRIES = st.dictionaries(st.sampled_from(["a.b/c", "team", "serviceEnvelope"]), VALUES, max_size=2)
PREDICTORS = st.builds(
    lambda name, fields, more: {name: fields} | more,
    st.sampled_from(FRAMEWORKS),
    st.fixed_dictionaries(
        {"storageUri": st.sampled_from(["https://m/x", "/m/x"])},
        optional={
            "protocolVersion": st.sampled_from(["v1", "v2"]),
            "env": st.lists(
                st.fixed_dictionaries({"name": st.sampled_from("AB"), "value": VALUES}),
                max_size=2,
                unique_by=lambda entry: entry["name"],
            ),
            "args": st.lists(VALUES, max_size=2),
            "resources": st.fixed_dictionaries(
                {},
                optional={
                    "limits": st.dictionaries(
                        st.sampled_from(["cpu", "memory", "nvidia.com/gpu"]),
                        st.sampled_from(["1000m", "1", 1, "1024Mi", 0.5]),
                    )
                },
            ),
            "readinessProbe": st.fixed_dictionaries(
                {"httpGet": st.just({"path": "/"})}, optional={"initialDelaySeconds": st.just(0)}
            ),
            "volumeMounts": st.just([{"name": "v", "mountPath": "/v", "readOnly": False}]),
            "ports": st.lists(
                st.fixed_dictionaries(
                    {"containerPort": st.integers(1, 9)}, optional={"name": st.sampled_from(["grpc", "h2c", "web"])}
                ),
                max_size=2,
                unique_by=lambda port: port["containerPort"],
            ),
        },
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "minReplicas": st.integers(0, 3),
            "labels": ENTRIES,
            "annotations": ENTRIES,
            "hostNetwork": st.booleans(),
            "volumes": st.just([{"name": "v", "emptyDir": {}}]),
            "initContainers": st.just([{"name": "i", "image": "i", "resources": {"limits": {"cpu": "2000m"}}}]),
            "tolerations": st.just([{"key": "a", "operator": "Exists"}]),
        },
    ),
)
RUNTIMES = [msgspec.convert(found, ClusterServingRuntime) for found in shipped_by_kserve()] or [
    runtime(f"kserve-{name}", *(model_format(framework) for framework in FRAMEWORKS))
    for name in ("mlserver", "torchserve", "tritonserver")
]


def attempt(found):
    try:
        return rendered(found, *RUNTIMES)
    except SelectionError:
        return None


@given(PREDICTORS, ENTRIES, st.randoms(use_true_random=False))
def test_a_render_depends_on_nothing_but_what_is_said(predictor, annotations, random):
    written = manifest(predictor=predictor, annotations=annotations, labels=annotations)
    first, second = defaulted(written, Config()), defaulted(shuffled(written, random), Config())
    assert first == second
    one, two = attempt(typed(first)), attempt(typed(shuffled(second, random)))
    assert one == two
    if one is not None and two is not None:
        assert [render_hash(child) for child in one] == [render_hash(child) for child in two]


@given(PREDICTORS, ENTRIES)
def test_what_is_stored_covers_what_was_rendered(predictor, annotations):
    service = isvc(predictor=predictor, annotations=annotations)
    before = copy.deepcopy(service)
    for child in attempt(service) or ():
        assert covers(stored(child), child)
        other = copy.deepcopy(child)
        other["spec"]["selector"] = {"app": "another"}
        assert not covers(stored(other), child)
    assert service == before


@pytest.mark.skipif(not (SHARED / "kserve").exists(), reason="KServe's runtimes are not beside this checkout")
@pytest.mark.parametrize("found", shipped_by_kserve(), ids=lambda found: found["metadata"]["name"])
def test_every_runtime_that_kserve_ships_renders(found):
    formats = found["spec"]["supportedModelFormats"]
    predictor = model(formats[0]["name"], runtime=found["metadata"]["name"])
    pod_spec = pod_of(predictor, msgspec.convert(found, ClusterServingRuntime))
    assert pod_spec["containers"][0]["name"] == "kserve-container"
    assert "{{" not in str(pod_spec["containers"][0])
    assert "<no value>" not in str(pod_spec["containers"][0])
