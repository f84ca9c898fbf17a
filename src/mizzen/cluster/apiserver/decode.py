"""Request bodies: from bytes to one mapping, or to a sentence that says where the text is wrong.

JSON is what nearly every client sends, so a body that starts with a brace goes straight to orjson, whatever its media
type says (the largest definitions take seconds through a YAML reader and milliseconds so). All else is YAML as kubectl
reads it (:mod:`mizzen.cluster.apiserver.yaml11`). Both ends of the API use the same limits: whole numbers of 64 bits,
and a depth that every later step can walk and encode.
"""

from __future__ import annotations

import codecs
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import orjson

from mizzen.cluster.apiserver import yaml11
from mizzen.cluster.apiserver.yaml11 import MAX_DEPTH, too_deep, too_large
from mizzen.kube.errors import ApiError, bad_request

_BINARY_TYPES = ("application/vnd.kubernetes.protobuf", "application/cbor", "application/apply-patch+cbor")
_PROTOBUF_MAGIC = b"k8s\x00"
_ACCEPTED = "application/json, application/yaml"

# The quickest way to see whether a text may hold a number that needs more than 64 bits.
_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"0" * 9)
_NINETEEN_DIGITS = b"0" * 19
_INT64 = range(-(2**63), 2**63)


class Decoded(msgspec.Struct):
    """A body: its mapping, and the paths of keys that stood twice (the last one won), such as ``spec.replicas``."""

    value: dict[str, Any]
    duplicates: list[str] = []


def decode(body: bytes, content_type: str, *, find_duplicates: bool = False) -> Decoded:
    """Read a request body.

    Args:
        body: the bytes as they came.
        content_type: the media type, with or without parameters; empty where the client named none.
        find_duplicates: whether ``duplicates`` is filled in, which costs a second reading of a JSON text.

    Raises:
        ApiError: 415 for a binary encoding, 400 for a text that is not one mapping, with line and column.
    """
    if media_type(content_type) in _BINARY_TYPES or body.startswith(_PROTOBUF_MAGIC):
        raise unsupported_media_type(_ACCEPTED)
    body = body.removeprefix(codecs.BOM_UTF8)
    start = body.lstrip()[:1]
    if not start:
        raise bad_request("the body of the request is empty: send one object as JSON or YAML")
    if start == b"{":
        try:
            return Decoded(load_json(body), list(_duplicates(body)) if find_duplicates else [])
        except ApiError:
            # A YAML mapping in braces is rare, but legal where the client says that it sends YAML.
            if "yaml" not in content_type:
                raise
    value, duplicates = yaml11.load(body, find_duplicates=find_duplicates)
    return Decoded(_mapping(value), duplicates)


def media_type(content_type: str) -> str:
    """The media type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def unsupported_media_type(accepted: str, what: str = "") -> ApiError:
    """The 415 that says which media types are understood; ``what`` names what is not, if the type alone does not."""
    text = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
    return ApiError(415, "UnsupportedMediaType", f"{what}: {text}" if what else text)


def load_json(body: bytes) -> Any:
    """Any JSON value, within the limits of the API.

    Raises:
        ApiError: 400, with the line and column of the mistake.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request(_mistake(body, error)) from None
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and nesting(value) > MAX_DEPTH:
        raise too_deep("JSON in the body")
    if _NINETEEN_DIGITS in body.translate(_DIGITS_TO_ZERO):
        _refuse_large_numbers(body)
    return value


def _mapping(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    found = {list: "a list", str: "a text", bool: "a boolean", type(None): "nothing"}.get(type(value), "a number")
    raise bad_request(f"the body of the request holds {found} where one object is expected, as a mapping of its fields")


def _mistake(body: bytes, error: orjson.JSONDecodeError) -> str:
    try:
        text = body.decode()
    except UnicodeDecodeError as wrong:
        return yaml11.not_utf8(body, wrong)
    if error.pos >= len(text):
        found = "the end of the text"
    else:
        found = json.dumps(text[error.pos : error.pos + 20].split("\n")[0], ensure_ascii=False)
    return f"the body is not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}, found {found}"


def _refuse_large_numbers(body: bytes) -> None:
    def whole(digits: str) -> int:
        # The length guards against numbers so long that reading them takes quadratic time.
        if len(digits) > 20 or int(digits) not in _INT64:
            raise too_large(digits)
        return 0

    json.loads(body, parse_int=whole)


def nesting(value: Any) -> int:
    """How many mappings and lists stand inside each other, the outermost included."""
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [
            child
            for parent in level
            for child in (parent.values() if type(parent) is dict else parent)
            if type(child) is dict or type(child) is list
        ]
    return depth


def _duplicates(body: bytes) -> Iterator[str]:
    # Each mapping is held beside its keys: the identity of one that was dropped would be taken again by another.
    repeated: dict[int, tuple[dict[str, Any], list[str]]] = {}

    def gather(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            counts = Counter(key for key, _ in pairs)
            repeated[id(found)] = found, [key for key, count in counts.items() if count > 1]
        return found

    def walk(value: Any, path: str) -> Iterator[str]:
        if isinstance(value, dict):
            _, keys = repeated.get(id(value), (value, []))
            yield from (f"{path}.{key}" if path else key for key in keys)
            for key, child in value.items():
                yield from walk(child, f"{path}.{key}" if path else key)
        elif isinstance(value, list):
            for index, child in enumerate(value):
                yield from walk(child, f"{path}[{index}]")

    value = json.loads(body, object_pairs_hook=gather)
    if repeated:
        yield from walk(value, "")
