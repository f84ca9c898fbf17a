"""The text form of configurations: what users write, what they get wrong, and anything at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mizzen.serve.errors import LoadError
from mizzen.serve.layouts.triton_schema import ENUMS, MESSAGES, ROOT, Field, from_json
from mizzen.serve.layouts.triton_text import parse


def read(text: str) -> dict[str, Any]:
    found, unknown = parse(text, "config.pbtxt")
    assert not unknown
    return found


def test_a_configuration_as_users_write_it():
    text = """
    # the model
    name: "iris" platform: 'onnxruntime_onnx';
    max_batch_size: 8,
    input [
      {
        name: "x"   # the features
        data_type: TYPE_FP32
        dims: [ 4, -1 ]
        reshape: { shape: [ ] }
      },
      { name: "m" "ask", data_type: 1 dims: 0x10 dims: 017 optional: true }
    ]
    output < name: "y" data_type: TYPE_STRING dims: [-1] label_filename: "a\\tb\\x41\\101\\u00e9" >
    instance_group [ { count: 2 kind: KIND_CPU gpus: [0,1] } ]
    dynamic_batching { max_queue_delay_microseconds: 100 preferred_batch_size: [4, 8] }
    version_policy: { specific { versions: [1, 3] } }
    parameters { key: "a" value: { string_value: "1" } }
    parameters: [ { key: "b", value { string_value: "2" } } ]
    metric_tags { key: "k" value: "v" }
    model_metrics { metric_control { histogram_options { buckets: [1, 2.5, .5e1, 3f, -inf] } } }
    response_cache {}
    """
    assert read(text) == {
        "name": "iris",
        "platform": "onnxruntime_onnx",
        "max_batch_size": 8,
        "input": [
            {"name": "x", "data_type": "TYPE_FP32", "dims": [4, -1], "reshape": {"shape": []}},
            {"name": "mask", "data_type": "TYPE_BOOL", "dims": [16, 15], "optional": True},
        ],
        "output": [{"name": "y", "data_type": "TYPE_STRING", "dims": [-1], "label_filename": "a\tbAAé"}],
        "instance_group": [{"count": 2, "kind": "KIND_CPU", "gpus": [0, 1]}],
        "dynamic_batching": {"max_queue_delay_microseconds": 100, "preferred_batch_size": [4, 8]},
        "version_policy": {"specific": {"versions": [1, 3]}},
        "parameters": {"a": {"string_value": "1"}, "b": {"string_value": "2"}},
        "metric_tags": {"k": "v"},
        "model_metrics": {"metric_control": [{"histogram_options": {"buckets": [1.0, 2.5, 5.0, 3.0, float("-inf")]}}]},
        "response_cache": {},
    }


def test_fields_that_nobody_knows_are_told():
    text = 'name: "a"\nnovel: 3\ninput { name: "x" strange { a: "b" c < d: [1, {e: f}] > } }\nalso: [ "x", { y: 1 } ]'
    found, unknown = parse(text, "config.pbtxt")
    assert found == {"name": "a", "input": [{"name": "x"}]}
    assert unknown == ["novel (line 2)", "strange (line 3)", "also (line 4)"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: iris", "c:1:7: name is a string: write it in quotes"),
        ("\n name 'iris'", "c:2:7: ':' is expected after name"),
        ("name: 'a' name: 'b'", "c:1:11: name is given twice"),
        ("name: 'a", 'c:1:7: "\'" cannot stand here'),
        ("name:", "c:1:6: a value is missing"),
        ("max_batch_size: '8'", "c:1:17: max_batch_size is no string: write it without quotes"),
        ("max_batch_size: 8.5", "c:1:17: max_batch_size: 8.5 is no int32"),
        ("max_batch_size: 4294967296", "max_batch_size: 4294967296 is no int32"),
        ("max_batch_size: -x", "a number is expected after '-'"),
        ("max_batch_size: " + "9" * 5000, "the number is too long"),
        ("input { data_type: FP32 }", "'FP32' is not one of TYPE_INVALID, TYPE_BOOL"),
        ("input { name: 'x' ", "the name of a field is expected or '}', not the end of the file"),
        ("input [ { name: 'x' } { name: 'y' } ]", "',' or ']' is expected in the list input"),
        ("input: 'x'", "input is a message: '{' is expected"),
        ("input { optional: maybe }", "'maybe' is no bool"),
        ("}", "c:1:1: the name of a field is expected, not '}'"),
        ("parameters { kay: 'a' }", "parameters is a map: 'key' or 'value' is expected, not 'kay'"),
        ("name: '\\q'", "\\q means nothing in a string"),
        ("name: '\\xff'", "the string is not UTF-8"),
        ("name: '\\ud800'", "is no character"),
        ("novel " + "{ a " * 2000, "messages within messages, too deep"),
        ("name: @", "'@' cannot stand here"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text, says):
    with pytest.raises(LoadError) as caught:
        parse(text, "c")
    assert says in str(caught.value)


@given(st.text(alphabet="{}[]<>:,;-.#'\"\\ \nab019xeTYPE_nameinputdims", max_size=60) | st.text(max_size=40))
def test_anything_is_read_or_refused(text):
    try:
        parse(text, "c")
    except LoadError as error:
        assert str(error).startswith("c:")


_SCALARS = {
    "string": st.text(max_size=8),
    "bool": st.booleans(),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint32": st.integers(0, 2**32 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
    **{name: st.sampled_from(values) for name, values in ENUMS.items()},
}


def of(field: Field, depth: int) -> st.SearchStrategy[Any]:
    single = message(field.kind, depth) if field.is_message else _SCALARS[field.kind]
    if field.many == "list":
        return st.lists(single, min_size=1, max_size=2)
    if field.many == "map":
        return st.dictionaries(st.text(max_size=4), single, min_size=1, max_size=2)
    return single


def message(name: str, depth: int = 0) -> st.SearchStrategy[dict[str, Any]]:
    fields = MESSAGES[name]
    if depth > 2:
        return st.just({})
    return st.fixed_dictionaries(
        {}, optional={key: st.deferred(lambda f=field: of(f, depth + 1)) for key, field in fields.items()}
    )


def written(value: dict[str, Any], name: str = ROOT) -> str:
    lines = []
    for key, item in value.items():
        field = MESSAGES[name][key]
        items = item if field.many == "list" else list(item.items()) if field.many == "map" else [item]
        for one in items:
            if field.many == "map":
                inner = _written(one[1], field)
                lines.append(f"{key} {{ key: {quoted(one[0])} value{inner} }}")
            else:
                lines.append(f"{key}{_written(one, field)}")
    return "\n".join(lines)


def _written(value: Any, field: Field) -> str:
    if field.is_message:
        return " {\n" + written(value, field.kind) + "\n}"
    if isinstance(value, bool):
        return f": {str(value).lower()}"
    if field.kind == "string":
        return f": {quoted(value)}"
    return f": {value}"


def quoted(text: str) -> str:
    """A string, with all that is no plain character as bytes in octal."""
    plain = (chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{byte:03o}" for byte in text.encode())
    return '"' + "".join(plain) + '"'


@settings(max_examples=200)
@given(message(ROOT))
def test_what_is_written_is_read(value):
    assert parse(written(value), "c") == (value, [])


@settings(max_examples=200)
@given(message(ROOT))
def test_both_forms_of_json_are_read(value):
    assert from_json(value, "c") == (value, [])
    assert from_json(camel(value, ROOT), "c") == (value, [])


def camel(value: dict[str, Any], name: str) -> dict[str, Any]:
    """As protocol buffers write JSON: names in camel case, 64-bit integers as strings."""

    def inner(item: Any, field: Field) -> Any:
        if field.many == "list":
            return [inner(one, Field(field.kind, "")) for one in item]
        if field.many == "map":
            return {key: inner(one, Field(field.kind, "")) for key, one in item.items()}
        if field.is_message:
            return camel(item, field.kind)
        return str(item) if field.kind in ("int64", "uint64") else item

    def spelled(key: str) -> str:
        head, *rest = key.split("_")
        return head + "".join(word.title() for word in rest)

    return {spelled(key): inner(item, MESSAGES[name][key]) for key, item in value.items()}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([], "c must be an object, not []"),
        ({"name": 3}, "c.name: 3 is no string"),
        ({"input": {}}, "c.input must be a list, not {}"),
        ({"input": [{"dims": ["x"]}]}, "c.input[0].dims[0]: 'x' is no int64"),
        ({"parameters": {"a": "b"}}, "c.parameters['a'] must be an object, not 'b'"),
        ({"maxBatchSize": True}, "c.max_batch_size: True is no int32"),
    ],
)
def test_json_that_is_no_configuration(value, says):
    with pytest.raises(LoadError) as caught:
        from_json(value, "c")
    assert says in str(caught.value)


def test_fields_that_nobody_knows_are_told_of_json_too():
    assert from_json({"novel": 1, "input": [{"strange": 2}], "name": None}, "c") == (
        {"input": [{}]},
        ["c.novel", "c.input[0].strange"],
    )


def test_the_schema_is_tritons_own():
    pytest.importorskip("tritonclient.grpc", reason="tritonclient is not installed")
    from tritonclient.grpc import model_config_pb2 as theirs

    ours: dict[str, str] = {}

    def compare(descriptor: Any, name: str) -> None:
        if ours.setdefault(name, descriptor.full_name) != descriptor.full_name:
            assert not MESSAGES[name] or name in ("Dims", "Empty"), name
        fields = MESSAGES[name]
        known = {field.name for field in descriptor.fields}
        assert set(fields) <= known | {"busy_wait_events"}, name
        for field in descriptor.fields:
            assert field.name in fields, f"{name} lacks {field.name}"
            mine = fields[field.name]
            target = field.message_type
            is_map = target is not None and target.GetOptions().map_entry
            repeated = field.is_repeated if hasattr(field, "is_repeated") else field.label == 3
            assert mine.many == ("map" if is_map else "list" if repeated else ""), field.full_name
            inner = target.fields_by_name["value"] if is_map else field
            if inner.message_type is not None:
                if inner.message_type.full_name not in seen:
                    seen.add(inner.message_type.full_name)
                    compare(inner.message_type, mine.kind)
            elif inner.enum_type is not None:
                assert ENUMS[mine.kind] == tuple(one.name for one in inner.enum_type.values)
            else:
                kinds = {
                    1: "double",
                    2: "float",
                    3: "int64",
                    4: "uint64",
                    5: "int32",
                    8: "bool",
                    9: "string",
                    13: "uint32",
                }
                assert mine.kind == kinds[inner.type], field.full_name

    seen: set[str] = set()
    compare(theirs.ModelConfig.DESCRIPTOR, ROOT)


@settings(max_examples=200)
@given(message(ROOT))
def test_googles_own_reader_agrees(value):
    pytest.importorskip("tritonclient.grpc", reason="tritonclient is not installed")
    from google.protobuf import json_format, text_format
    from tritonclient.grpc import model_config_pb2 as theirs

    # Of a choice only one may be given, and the keys of one map are numbers, which the mapping does not tell.
    for choice in ("sequence_batching", "ensemble_scheduling", "model_warmup"):
        value.pop(choice, None)
    value.get("dynamic_batching", {}).pop("priority_queue_policy", None)
    for other in list(value.get("version_policy", {}))[1:]:
        del value["version_policy"][other]
    config = text_format.Parse(written(value), theirs.ModelConfig())
    told = json_format.MessageToDict(config, preserving_proto_field_name=True)
    again = text_format.Parse(written(from_json(told, "c")[0]), theirs.ModelConfig())
    assert again == config
