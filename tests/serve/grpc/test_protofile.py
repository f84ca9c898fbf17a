"""The reader of .proto files."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from mizzen.serve.protocols.grpc.protofile import read

SMALL = """
// A comment with message Nothing {}
syntax = "proto3";
package a.b;

enum Colour { RED = 0; BLUE = 7; }

message Outer {
  message Inner { int64 at = 1; }  // nested
  oneof choice {
    bool yes = 1;
    Inner inner = 2;
  }
  repeated Colour colours = 3;
  map<string, Inner> by_name = 4;
  Other other = 5;
}

message Other {
  Outer.Inner inner = 1;
}

service Ask {
  rpc One(Outer) returns (Other);
  rpc Many(stream Outer) returns (stream Other);
}
"""


def test_what_a_file_declares() -> None:
    file = read(SMALL, "small.proto")
    assert (file.name, file.package, file.syntax) == ("small.proto", "a.b", "proto3")
    outer, other = file.message_type
    fields = {field.name: field for field in outer.field}
    assert [(name, field.number) for name, field in fields.items()] == [
        ("yes", 1),
        ("inner", 2),
        ("colours", 3),
        ("by_name", 4),
        ("other", 5),
    ]
    assert fields["inner"].type_name == ".a.b.Outer.Inner"
    assert fields["yes"].oneof_index == fields["inner"].oneof_index == 0
    assert not fields["colours"].HasField("oneof_index")
    assert fields["colours"].type == FieldDescriptorProto.TYPE_ENUM
    assert fields["colours"].label == FieldDescriptorProto.LABEL_REPEATED
    assert fields["by_name"].type_name == ".a.b.Outer.ByNameEntry"
    entry = next(nested for nested in outer.nested_type if nested.options.map_entry)
    assert [(field.name, field.type_name) for field in entry.field] == [("key", ""), ("value", ".a.b.Outer.Inner")]
    assert fields["other"].type_name == ".a.b.Other"
    assert other.field[0].type_name == ".a.b.Outer.Inner"
    assert [(value.name, value.number) for value in file.enum_type[0].value] == [("RED", 0), ("BLUE", 7)]
    one, many = file.service[0].method
    assert (one.name, one.input_type, one.output_type, one.client_streaming) == (
        "One",
        ".a.b.Outer",
        ".a.b.Other",
        False,
    )
    assert many.client_streaming and many.server_streaming


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('syntax = "proto2";', "'\"proto2\"' where"),
        ('syntax = "proto3"; import "other.proto";', "'import' where"),
        ('syntax = "proto3"; package a; message M { Missing it = 1; }', "nothing is called Missing"),
        ('syntax = "proto3"; package a; message M { bool it = 1', "'its end' where ; is expected"),
        ('syntax = "proto3"; package a; message M { map<int32, bool> it = 1; }', "'int32' where string"),
    ],
)
def test_what_is_not_read_is_told(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read(text, "wrong.proto")
