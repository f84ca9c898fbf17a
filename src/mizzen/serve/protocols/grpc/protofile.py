"""Reading a ``.proto`` file: the text that users generate their stubs from is the schema that we serve.

As much of proto3 as our own files use, so that neither generated code nor a compiler is needed: messages, nested ones
too, enumerations, ``repeated``, ``map<string, ...>``, ``oneof`` and services. A file imports no other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)

_TOKEN = re.compile(r'\s+|//[^\n]*|([\w.]+|"[^"]*"|[^\w\s])')

_SCALARS = {
    name: getattr(FieldDescriptorProto, f"TYPE_{name.upper()}")
    for name in ("double", "float", "int64", "uint64", "int32", "uint32", "bool", "string", "bytes")
}


def read(text: str, name: str) -> FileDescriptorProto:
    """The descriptor of a file.

    Args:
        name: of the file, as others import it.

    Raises:
        ValueError: it is not what this reader knows.
    """
    return _Reader(text, name).file


class _Reader:
    def __init__(self, text: str, name: str) -> None:
        self._tokens = _tokens(text)
        self._next = next(self._tokens, "")
        self.file = FileDescriptorProto(name=name)
        # Of every message and enumeration, its full name and which of the two it is; and the fields that name one.
        self._known: dict[str, int] = {}
        self._named: list[tuple[FieldDescriptorProto, str, str]] = []
        self._read_file()
        for field, scope, type_name in self._named:
            self._resolve(field, scope, type_name)

    def _take(self, *expected: str) -> str:
        """The next token, which has to be one of those expected, if any are."""
        token = self._next
        if not token or (expected and token not in expected):
            wanted = " or ".join(expected) or "more"
            raise ValueError(f"{self.file.name}: {token or 'its end'!r} where {wanted} is expected")
        self._next = next(self._tokens, "")
        return token

    def _at(self, token: str) -> bool:
        """Whether this comes next; if so, it is taken."""
        if self._next != token:
            return False
        self._take()
        return True

    def _read_file(self) -> None:
        while self._next:
            word = self._take("syntax", "package", "message", "enum", "service")
            if word == "syntax":
                self._take("=")
                self.file.syntax = self._take('"proto3"').strip('"')
                self._take(";")
            elif word == "package":
                self.file.package = self._take()
                self._take(";")
            elif word == "message":
                self._message(self.file.message_type.add(), f".{self.file.package}")
            elif word == "enum":
                self._enum(self.file.enum_type.add(), f".{self.file.package}")
            else:
                self._service()

    def _message(self, message: DescriptorProto, scope: str) -> None:
        message.name = self._take()
        scope = f"{scope}.{message.name}"
        self._known[scope] = FieldDescriptorProto.TYPE_MESSAGE
        self._take("{")
        while not self._at("}"):
            if self._at("message"):
                self._message(message.nested_type.add(), scope)
            elif self._at("enum"):
                self._enum(message.enum_type.add(), scope)
            elif self._at("oneof"):
                index = len(message.oneof_decl)
                message.oneof_decl.add(name=self._take())
                self._take("{")
                while not self._at("}"):
                    self._field(message, scope).oneof_index = index
            else:
                self._field(message, scope)

    def _field(self, message: DescriptorProto, scope: str) -> FieldDescriptorProto:
        field = message.field.add()
        repeated = self._at("repeated")
        type_name = self._take()
        value_type = ""
        if type_name == "map":
            self._take("<")
            self._take("string")
            self._take(",")
            value_type = self._take()
            self._take(">")
        field.name = self._take()
        self._take("=")
        field.number = int(self._take())
        self._take(";")
        field.label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
        if value_type:
            # A map is a repeated message of key and value, which nobody may name otherwise.
            entry = message.nested_type.add(name=f"{field.name.title().replace('_', '')}Entry")
            entry.options.map_entry = True
            self._known[f"{scope}.{entry.name}"] = FieldDescriptorProto.TYPE_MESSAGE
            for number, (part, part_type) in enumerate((("key", "string"), ("value", value_type)), start=1):
                member = entry.field.add(name=part, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
                self._type(member, scope, part_type)
            field.label = FieldDescriptorProto.LABEL_REPEATED
            type_name = f"{scope}.{entry.name}"
        self._type(field, scope, type_name)
        return field

    def _type(self, field: FieldDescriptorProto, scope: str, type_name: str) -> None:
        if type_name in _SCALARS:
            field.type = _SCALARS[type_name]
        else:
            self._named.append((field, scope, type_name))

    def _enum(self, enum: EnumDescriptorProto, scope: str) -> None:
        enum.name = self._take()
        self._known[f"{scope}.{enum.name}"] = FieldDescriptorProto.TYPE_ENUM
        self._take("{")
        while not self._at("}"):
            value = enum.value.add(name=self._take())
            self._take("=")
            value.number = int(self._take())
            self._take(";")

    def _service(self) -> None:
        service = self.file.service.add(name=self._take())
        self._take("{")
        while not self._at("}"):
            self._take("rpc")
            method = service.method.add(name=self._take())
            self._take("(")
            method.client_streaming = self._at("stream")
            method.input_type = f".{self.file.package}.{self._take()}"
            self._take(")")
            self._take("returns")
            self._take("(")
            method.server_streaming = self._at("stream")
            method.output_type = f".{self.file.package}.{self._take()}"
            self._take(")")
            self._take(";")

    def _resolve(self, field: FieldDescriptorProto, scope: str, type_name: str) -> None:
        """A name means the one declared in the innermost scope around it."""
        full = type_name
        while full not in self._known:
            if not scope:
                raise ValueError(f"{self.file.name}: nothing is called {type_name}")
            full, scope = f"{scope}.{type_name}", scope.rpartition(".")[0]
        field.type_name, field.type = full, self._known[full]


def _tokens(text: str) -> Iterator[str]:
    return (found for found in (match.group(1) for match in _TOKEN.finditer(text)) if found)
