"""Which runtime serves a model (reference of the KServe control plane, section 2.2)."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_objects import isvc, model, model_format, runtime, runtime_manifest, shipped_by_kserve
from mizzen.apis.serving.v1alpha1 import ClusterServingRuntime
from mizzen.control.inference.runtimes import SelectionError, select

WORKER = {"containers": [{"name": "worker-container", "image": "w"}]}


def chosen(predictor, *found):
    """Select among runtimes; those with a namespace are of the service's own."""
    spaced = [one for one in found if one.namespace]
    return select(isvc(predictor=predictor).spec.predictor, spaced, [one for one in found if not one.namespace])


def refused(predictor, *found):
    with pytest.raises(SelectionError) as caught:
        chosen(predictor, *found)
    return caught.value


def named(name, **more):
    return model(**({"runtime": name} | more))


SKLEARN = runtime("sklearnserver", model_format(version="1", priority=1), protocols=["v1", "v2"])
MLSERVER = runtime("mlserver", model_format(version="1", priority=2), protocols=["v2"])
TRITON = runtime("triton", model_format(), protocols=["v2", "grpc-v2"])
ANY = runtime("any", model_format())


@pytest.mark.parametrize(
    ("predictor", "found", "name"),
    [
        pytest.param(model(), [SKLEARN, MLSERVER], "sklearnserver", id="v1 unless asked for another"),
        pytest.param(model(protocolVersion="v2"), [SKLEARN, MLSERVER], "mlserver", id="the greater priority"),
        pytest.param(model(protocolVersion="v2"), [TRITON, SKLEARN], "sklearnserver", id="a priority before none"),
        pytest.param(model(protocolVersion="grpc-v1"), [SKLEARN, ANY], "any", id="no protocols mean all of them"),
        pytest.param(model(protocolVersion="grpc-v2"), [SKLEARN, TRITON, ANY], "triton", id="protocols before none"),
        pytest.param(
            model(modelFormat={"name": "sklearn", "version": "1"}), [SKLEARN], "sklearnserver", id="a version"
        ),
        pytest.param(
            model(),
            [runtime("b", model_format(), protocols=["v1"]), runtime("a", model_format(), protocols=["v1"])],
            "a",
            id="the first by name",
        ),
        pytest.param(
            model(),
            [
                runtime("a", model_format(), created="2025-01-01T00:00:00Z"),
                runtime("b", model_format(), created="2026-01-01T00:00:00Z"),
            ],
            "b",
            id="the newest before the first by name",
        ),
        pytest.param(
            model(protocolVersion="v2"),
            [
                runtime("new", model_format(), protocols=["v2"], created="2026-01-01T00:00:00Z"),
                runtime("old", model_format(), protocols=["v1", "v2"], created="2025-01-01T00:00:00Z"),
            ],
            "old",
            id="the lowest protocol before the newest",
        ),
        pytest.param(
            model(),
            [runtime("cluster", model_format(priority=9)), runtime("own", model_format(), cluster=False)],
            "own",
            id="the namespace's before the cluster's, whatever the priority",
        ),
        pytest.param(
            model(),
            [runtime("cluster", model_format()), runtime("own", model_format("onnx"), cluster=False)],
            "cluster",
            id="the cluster's where the namespace has none",
        ),
        pytest.param(
            model(),
            [
                runtime("a", model_format(version="0", priority=1), model_format(version="1", priority=9)),
                runtime("b", model_format(priority=2)),
            ],
            "b",
            id="the first entry of a format has the priority that counts",
        ),
        pytest.param(
            model(),
            [runtime("multi", model_format(priority=9), multiModel=True), SKLEARN],
            "sklearnserver",
            id="none for many models",
        ),
        pytest.param(
            model(),
            [runtime("off", model_format(priority=9), disabled=True), SKLEARN],
            "sklearnserver",
            id="none that is disabled",
        ),
        pytest.param(
            model(),
            [runtime("by-name", model_format(auto=False, priority=9)), SKLEARN],
            "sklearnserver",
            id="none that wants to be named",
        ),
        pytest.param(
            model(),
            [runtime("nodes", model_format(priority=9), workerSpec=WORKER), SKLEARN],
            "sklearnserver",
            id="one node",
        ),
        pytest.param(
            model(predictor={"workerSpec": WORKER}),
            [runtime("nodes", model_format(), workerSpec=WORKER), SKLEARN],
            "nodes",
            id="several nodes",
        ),
    ],
)
def test_the_runtime_that_is_picked(predictor, found, name):
    assert chosen(predictor, *found).name == name
    assert chosen(predictor, *reversed(found)).name == name


@pytest.mark.parametrize(
    ("predictor", "found", "words"),
    [
        (model("onnx"), [SKLEARN], ["onnx", "sklearn:1"]),
        (model("onnx"), [], ["onnx", "nothing"]),
        (model(), [MLSERVER], ["sklearn", "v1", "mlserver speaks v2"]),
        (model(modelFormat={"name": "sklearn", "version": "2"}), [SKLEARN], ["sklearn:2", "sklearn:1"]),
        (model(modelFormat={"name": "sklearn", "version": "1.0"}), [SKLEARN], ["sklearn:1.0"]),
        (model(), [runtime("by-name", model_format(auto=False))], ["by-name", "spec.predictor.model.runtime"]),
        (model(), [runtime("off", model_format(), disabled=True)], ["nothing"]),
        ({"model": {"storageUri": "gs://b/m"}}, [SKLEARN], ["spec.predictor.model.modelFormat"]),
    ],
)
def test_where_none_is_picked_the_nearest_miss_is_told(predictor, found, words):
    error = refused(predictor, *found)
    assert error.reason == "NoSupportingRuntime"
    for word in words:
        assert word in str(error)


@pytest.mark.parametrize(
    ("found", "cluster"),
    [
        ([runtime("mine", model_format(), cluster=False), runtime("mine", model_format())], False),
        ([runtime("mine", model_format())], True),
        ([runtime("mine", model_format(auto=False))], True),
        ([runtime("mine", model_format(), multiModel=True)], True),
        ([runtime("mine", model_format(), workerSpec=WORKER)], True),
        ([runtime("mine", model_format(), protocols=["v2"])], True),
    ],
)
def test_a_runtime_that_is_named_is_taken(found, cluster):
    selected = chosen(named("mine"), *found)
    assert (selected.name, selected.cluster) == ("mine", cluster)


@pytest.mark.parametrize(
    ("found", "more", "reason", "word"),
    [
        ([runtime("other", model_format())], {}, "RuntimeNotRecognized", "there are: other"),
        ([], {}, "RuntimeNotRecognized", "there are: none"),
        ([runtime("mine", model_format(), disabled=True)], {}, "RuntimeDisabled", "disabled"),
        ([runtime("mine", protocols=["v1"])], {"protocolVersion": "v2"}, "NoSupportingRuntime", "only v1"),
        ([runtime("mine", model_format("onnx", "1"))], {}, "NoSupportingRuntime", "only onnx:1"),
        ([runtime("mine", model_format(version="1"))], {"modelFormat": {"name": "sklearn", "version": "2"}},
         "NoSupportingRuntime", "sklearn:2"),
        # The disabled one of the namespace hides the cluster's, as it is found first.
        ([runtime("mine", disabled=True, cluster=False), runtime("mine")], {}, "RuntimeDisabled", "disabled"),
    ],
)  # fmt: skip
def test_a_runtime_that_is_named_and_cannot_be_taken(found, more, reason, word):
    error = refused(named("mine", **more), *found)
    assert error.reason == reason
    assert "mine" in str(error)
    assert word in str(error)


@pytest.mark.parametrize(
    ("name", "protocols", "asked", "protocol"),
    [
        ("any", None, None, ""),
        ("any", ["v2", "v1"], None, "v1"),
        ("any", ["grpc-v2", "v2"], None, "v2"),
        ("any", ["v2", "v1"], "v2", "v2"),
        ("any", ["made-up"], None, "made-up"),
        ("kserve-mlserver", ["v1", "v2"], None, "v2"),
        ("kserve-tritonserver", None, None, "v2"),
        ("kserve-torchserve", ["v2", "grpc-v2"], None, "v1"),
        ("kserve-torchserve", ["v1", "v2"], "v2", "v2"),
    ],
)
def test_the_protocol_that_is_spoken(name, protocols, asked, protocol):
    more = {} if asked is None else {"protocolVersion": asked}
    found = runtime(name, model_format(), protocols=protocols)
    assert chosen(named(name, **more), found).protocol == protocol


SHIPPED = shipped_by_kserve()
DEFAULT_INSTALLATION = [found for found in SHIPPED if found["metadata"]["name"] != "kserve-openvino"]


@pytest.mark.skipif(not SHIPPED, reason="KServe's runtimes are not beside this checkout")
@pytest.mark.parametrize(
    ("predictor", "name"),
    [
        ({"sklearn": {}}, "kserve-sklearnserver"),
        (model("sklearn"), "kserve-sklearnserver"),
        (model("sklearn", protocolVersion="v2"), "kserve-mlserver"),
        ({"sklearn": {"protocolVersion": "v2"}}, "kserve-mlserver"),
        ({"onnx": {}}, "kserve-tritonserver"),
        (model("onnx"), None),
        ({"pytorch": {}}, "kserve-torchserve"),
        ({"pytorch": {"protocolVersion": "v2"}}, "kserve-torchserve"),
        ({"huggingface": {}}, "kserve-huggingfaceserver"),
        ({"huggingface": {"storageUri": "pvc://c/m"}, "workerSpec": {}}, "kserve-huggingfaceserver-multinode"),
        (model("vLLM"), "kserve-vllmserver"),
        ({"tensorflow": {}}, "kserve-tensorflow-serving"),
        ({"tensorflow": {"protocolVersion": "v2"}}, "kserve-tritonserver"),
        ({"triton": {}}, "kserve-tritonserver"),
        ({"xgboost": {}}, "kserve-xgbserver"),
        ({"xgboost": {"protocolVersion": "v2"}}, "kserve-mlserver"),
        ({"lightgbm": {}}, "kserve-lgbserver"),
        ({"pmml": {}}, "kserve-pmmlserver"),
        ({"paddle": {}}, "kserve-paddleserver"),
        (model("mlflow"), None),
        (model("mlflow", protocolVersion="v2"), "kserve-mlserver"),
    ],
    ids=str,
)
def test_with_the_runtimes_that_kserve_ships(predictor, name):
    found = [msgspec.convert(one, ClusterServingRuntime) for one in DEFAULT_INSTALLATION]
    if name is None:
        assert refused(predictor, *found).reason == "NoSupportingRuntime"
    else:
        assert chosen(predictor, *found).name == name


@pytest.mark.skipif(not SHIPPED, reason="KServe's runtimes are not beside this checkout")
def test_openvino_serves_onnx_over_v1_where_it_is_installed():
    found = [msgspec.convert(one, ClusterServingRuntime) for one in SHIPPED]
    assert chosen(model("onnx"), *found).name == "kserve-openvino"


RUNTIMES = st.lists(
    st.builds(
        lambda name, auto, priority, protocols, cluster, disabled: msgspec.convert(
            runtime_manifest(
                name,
                model_format(auto=auto, **({"priority": priority} if priority else {})),
                protocols=protocols,
                disabled=disabled,
            )
            | ({"metadata": {"name": name, "namespace": "default"}} if not cluster else {}),
            ClusterServingRuntime,
        ),
        st.sampled_from("abcdefgh"),
        st.booleans(),
        st.none() | st.integers(1, 3),
        st.none() | st.lists(st.sampled_from(["v1", "v2", "grpc-v2"]), max_size=2, unique=True),
        st.booleans(),
        st.booleans(),
    ),
    max_size=6,
    unique_by=lambda found: (found.name, found.namespace),
)


@given(RUNTIMES, st.randoms())
def test_the_order_in_which_runtimes_are_listed_does_not_matter(found, random):
    shuffled = list(found)
    random.shuffle(shuffled)

    def outcome(listed):
        try:
            selected = chosen(model(), *listed)
        except SelectionError as error:
            return error.reason
        return selected.name, selected.spec

    assert outcome(found) == outcome(shuffled)
