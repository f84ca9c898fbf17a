"""What a manifest says explicitly survives reading and writing: zeros, falses, empties and nulls included."""

from functools import cache

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, inspect

from mizzen.apis import apps, core, gateway, httproute, networking
from mizzen.apis.meta import Object, given_or
from mizzen.apis.meta import given as is_given
from mizzen.apis.serving import v1alpha1
from mizzen.apis.serving.v1beta1.component import PredictorSpec
from mizzen.apis.serving.v1beta1.inferenceservice import InferenceService
from mizzen.apis.serving.v1beta1.status import Address

KINDS = [
    InferenceService,
    v1alpha1.ServingRuntime,
    v1alpha1.ClusterServingRuntime,
    apps.Deployment,
    apps.ReplicaSet,
    core.Pod,
    core.Service,
    core.Node,
    core.Namespace,
    core.ConfigMap,
    core.Secret,
    networking.Ingress,
    networking.EndpointSlice,
    httproute.HTTPRoute,
    gateway.Gateway,
]
TEXT = st.sampled_from(["", "a", "0"])
ANY = st.recursive(
    st.none() | st.booleans() | st.sampled_from([0, 1]) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xy"), inner, max_size=2),
    max_leaves=3,
)


def values(info):
    """Wire values of a type, mostly the ones that are easily lost."""
    match info:
        case inspect.Metadata():
            return values(info.type)
        case inspect.UnionType():
            kinds = [kind for kind in info.types if not isinstance(kind, inspect.CustomType)]
            return st.one_of([values(kind) for kind in kinds])
        case inspect.NoneType():
            return st.none()
        case inspect.StructType():
            return struct(info.cls)
        case inspect.ListType():
            return st.lists(values(info.item_type), max_size=2)
        case inspect.DictType():
            return st.dictionaries(st.sampled_from("kl"), values(info.value_type), max_size=2)
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType():
            return st.sampled_from([0, 1, 7])
        case inspect.FloatType():
            return st.sampled_from([0.5, 1.5])
        case inspect.StrType():
            return TEXT
        case inspect.AnyType():
            return ANY
    raise AssertionError(info)


@cache
def struct(cls):
    def build():
        info = inspect.type_info(cls)
        needed = {field.encode_name: values(field.type) for field in info.fields if field.required}
        free = [field for field in info.fields if not field.required]

        @st.composite
        def some(draw):
            chosen = draw(st.lists(st.sampled_from(free), max_size=4, unique_by=id)) if free else []
            out = {name: draw(strategy) for name, strategy in needed.items()}
            return out | {field.encode_name: draw(values(field.type)) for field in chosen}

        return some()

    return st.deferred(build)


def kept(given_value, read_value):
    """Whether everything that was given is there again, with nothing but struct defaults added."""
    if isinstance(given_value, dict):
        return all(key in read_value and kept(value, read_value[key]) for key, value in given_value.items())
    if isinstance(given_value, list):
        return len(given_value) == len(read_value) and all(map(kept, given_value, read_value))
    return given_value == read_value and type(given_value) is type(read_value)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_explicit_values_survive(kind, data):
    manifest = data.draw(struct(kind))
    read = msgspec.json.decode(msgspec.json.encode(manifest), type=kind)
    written = msgspec.to_builtins(read)
    assert kept(manifest, written)
    assert msgspec.convert(written, kind) == read


def test_only_what_is_absent_is_left_out():
    wire = {"metadata": {"name": "a", "namespace": "", "generation": 0, "labels": {}, "finalizers": []}}
    assert msgspec.to_builtins(msgspec.convert(wire, Object)) == wire


@pytest.mark.parametrize(("value", "default", "expected"), [(UNSET, 3, 3), (None, 3, 3), (0, 3, 0), ("", "x", "")])
def test_given_tells_zero_from_absent(value, default, expected):
    assert given_or(value, default) == expected
    assert is_given(value) == (None if value is UNSET else value)


@pytest.mark.parametrize(
    ("struct_type", "wire"),
    [
        (core.PodStatus, {"podIP": "127.2.0.1", "podIPs": [{"ip": "127.2.0.1"}], "hostIP": "127.0.0.1"}),
        (core.ServiceSpec, {"clusterIP": "None"}),
        (core.ContainerStatus, {"name": "c", "containerID": "mizzen://1", "imageID": "i"}),
        (Address, {"CACerts": "pem"}),
        (PredictorSpec, {"hostIPC": False, "hostPID": True, "setHostnameAsFQDN": False}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_names_that_camel_case_would_spell_wrong(struct_type, wire):
    assert kept(wire, msgspec.to_builtins(msgspec.convert(wire, struct_type)))
