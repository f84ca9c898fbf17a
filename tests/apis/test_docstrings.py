"""Every field of our own kinds says in plain words what it is; ``kubectl explain`` shows it."""

import re

import msgspec
import pytest

from mizzen.apis.crd import resource_schema
from mizzen.apis.docstrings import attributes, summary
from mizzen.apis.gateway import Gateway, GatewayClass
from mizzen.apis.httproute import HTTPRoute
from mizzen.apis.meta import Opt, Schema
from mizzen.apis.serving import v1alpha1
from mizzen.apis.serving.v1beta1.inferenceservice import InferenceService

KINDS = [
    InferenceService,
    v1alpha1.ServingRuntime,
    v1alpha1.ClusterServingRuntime,
    GatewayClass,
    Gateway,
    HTTPRoute,
]
# Of all kinds the same, and the API server's to describe.
SHARED = {"apiVersion", "kind", "metadata"}
# Where the schema of somebody else begins, which has texts of its own or none.
FOREIGN = ("As spec.", "How fast pods are added", "How old pods are replaced", "Variables of the adapter")


def texts(schema, path=""):
    """The path and the description of every field of ours."""
    for name, child in schema.get("properties", {}).items():
        if path or name not in SHARED:
            yield f"{path}.{name}", child.get("description", "")
            if not child.get("description", "").startswith(FOREIGN):
                yield from texts(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from texts(schema[key], path + "[]")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_field_of_our_kinds_is_described(kind):
    found = dict(texts(resource_schema(kind)))
    assert len(found) > 5
    assert [path for path, text in found.items() if not text] == []
    wrong = [text for text in found.values() if re.search(r"`|[a-z]_[a-z]|\n", text) or not text.endswith(".")]
    assert wrong == []


def test_fields_are_told_under_the_names_of_the_manifest():
    predictor = resource_schema(InferenceService)["properties"]["spec"]["properties"]["predictor"]["properties"]
    assert "minReplicas" in predictor["maxReplicas"]["description"]
    assert "1 by default" in predictor["minReplicas"]["description"]
    assert predictor["canaryTrafficPercent"]["description"].endswith("not served yet.")
    assert predictor["batcher"]["properties"]["maxLatency"]["description"].startswith("After this many milliseconds")
    assert predictor["tolerations"]["description"] == "As spec.tolerations of a Pod."
    assert predictor["model"]["properties"]["env"]["description"] == "As spec.containers.env of a Pod."


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_docstring_describes_a_field_that_is_not_there(kind):
    seen, pending = set(), [kind]
    while pending:
        struct = pending.pop()
        seen.add(struct)
        assert set(attributes(struct)) <= set(struct.__struct_fields__), struct
        pending += {found for field in msgspec.inspect.type_info(struct).fields for found in structs(field.type)} - seen
    assert len(seen) > 3


def structs(info):
    """The structs that a field's type is made of."""
    if isinstance(info, msgspec.inspect.StructType):
        yield info.cls
    parts = [getattr(info, name, None) for name in ("type", "item_type", "value_type")]
    for part in [*parts, *getattr(info, "types", ())]:
        if part is not None:
            yield from structs(part)


class Base(Schema):
    """Not shown below.

    Attributes:
        max_size: in bytes.
        kept: as the base says.
    """

    max_size: Opt[int] = msgspec.UNSET
    kept: Opt[str] = msgspec.UNSET


class Derived(Base):
    """A thing whose ``max_size`` has
    two lines.

    More for the reader of the source.

    Attributes:
        max_size: anew, for ``CPU_LIMIT``
            and max_size, note: not max_sizes.

    Raises:
        nothing: this is no field.
    """


class Silent(Base):
    pass


def test_a_docstring_is_read_as_plain_text():
    assert summary(Derived) == "A thing whose maxSize has two lines."
    assert attributes(Derived) == {
        "max_size": "Anew, for CPU_LIMIT and maxSize, note: not max_sizes.",
        "kept": "As the base says.",
    }


def test_a_struct_without_docstring_is_not_described_as_its_base():
    assert summary(Silent) == ""
    assert attributes(Silent) == {"max_size": "In bytes.", "kept": "As the base says."}
