"""PATCH requests that are not applies: JSON patch, merge patch and strategic merge patch, by media type.

The result is a whole new object, which then goes through the same steps as the body of a PUT; the stored object that
the patch was laid over stays as it is.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from mizzen.apis.merge import ContradictoryPatch, MalformedPatch, MergeError, json_merge, strategic_merge
from mizzen.apis.meta import ResourceDef
from mizzen.apis.schema import Node
from mizzen.cluster.apiserver.decode import load_json, media_type, nesting, unsupported_media_type
from mizzen.cluster.apiserver.validation import same
from mizzen.cluster.apiserver.yaml11 import MAX_DEPTH, too_deep
from mizzen.kube.errors import ApiError, Cause, bad_request

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

MAX_OPERATIONS = 10_000
# A few hundred `copy` operations could double a document until the memory is full.
MAX_COPIED_BYTES = 3 * 1024 * 1024

_INDEX = re.compile(r"(?:0|[1-9][0-9]*)\Z", re.ASCII)


def patched(
    current: dict[str, Any], body: bytes, content_type: str, node: Node, resource: ResourceDef, *, custom: bool
) -> dict[str, Any]:
    """The object that a patch makes of ``current``, sharing nothing with it.

    Raises:
        ApiError: 415 for a media type that is no patch of this kind, 400 for a malformed patch, 422 for one that
            cannot be applied to this object, 413 for one that is too large, 500 for a strategic merge patch that
            contradicts the schema (as kube-apiserver answers).
    """
    kind = media_type(content_type)
    if kind == STRATEGIC_MERGE_PATCH and custom:
        what = f"{kind} is not supported by {resource.api_version}, Kind={resource.kind}"
        raise unsupported_media_type(", ".join((JSON_PATCH, MERGE_PATCH, APPLY_PATCH)), what)
    if kind not in (JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH):
        accepted = (JSON_PATCH, MERGE_PATCH, *(() if custom else (STRATEGIC_MERGE_PATCH,)), APPLY_PATCH)
        raise unsupported_media_type(", ".join(accepted))
    patch = load_json(body)
    try:
        result = _own(_applied(kind, current, patch, node))
    except (orjson.JSONEncodeError, RecursionError):
        # Each value alone is within the limits; a patch can still nest one in the other, again and again.
        raise too_deep("object that the patch makes") from None
    if not isinstance(result, dict):
        raise bad_request(f"the patch replaces the whole object with {_word(result)}")
    if nesting(result) > MAX_DEPTH:
        raise too_deep("object that the patch makes")
    return result


def _applied(kind: str, current: dict[str, Any], patch: Any, node: Node) -> Any:
    if kind == JSON_PATCH:
        return apply_json_patch(current, patch)
    if not isinstance(patch, dict):
        raise bad_request(f"a {kind} is a mapping of the fields to change, and the body is {_word(patch)}")
    return json_merge(current, patch) if kind == MERGE_PATCH else _strategic(current, patch, node)


def _strategic(current: dict[str, Any], patch: dict[str, Any], node: Node) -> Any:
    try:
        return strategic_merge(current, patch, node)
    except MalformedPatch as error:
        raise bad_request(str(error)) from error
    except ContradictoryPatch as error:
        raise _unprocessable("", str(error)) from error
    except MergeError as error:
        raise ApiError(500, "InternalError", str(error)) from error


def apply_json_patch(document: Any, operations: Any) -> Any:
    """The document after a JSON patch (RFC 6902), as a value of its own. Nothing happens in part.

    Raises:
        ApiError: 400 for what is no patch, 413 for more than 10,000 operations or 3 MiB of copies, 422 for a failing
            ``test`` or a path that does not exist.
    """
    if not isinstance(operations, list):
        raise bad_request(f"a JSON patch is a list of operations, and the body is {_word(operations)}")
    if len(operations) > MAX_OPERATIONS:
        text = f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}"
        raise ApiError(413, "RequestEntityTooLarge", text)
    patching = _Patching(_own(document))
    for index, operation in enumerate(operations):
        patching.step(operation, index)
    return patching.document


class _Patching:
    """A document on its way through the operations of one patch. It is a copy, so they change it in place."""

    def __init__(self, document: Any) -> None:
        self.document = document
        self._copied = 0
        self._place = ""  # how a mistake names the operation it is in

    def step(self, operation: Any, index: int) -> None:
        self._place = f"operation {index}"
        if not isinstance(operation, dict):
            raise bad_request(f"{self._place} of the JSON patch is {_word(operation)}, and not a mapping")
        name = operation.get("op")
        if name not in ("add", "remove", "replace", "move", "copy", "test"):
            known = "add, remove, replace, move, copy or test"
            raise bad_request(f"{self._place} of the JSON patch has the op {name!r}: it must be {known}")
        self._place = f"operation {index} ({name})"
        path = self._pointer(operation, "path")
        if name in ("add", "replace", "test"):
            if "value" not in operation:
                raise bad_request(f"{self._place} of the JSON patch has no value")
            value = operation["value"]
            if name == "test":
                self._test(path, value)
            elif name == "add":
                self._add(path, _own(value))
            else:
                self._replace(path, _own(value))
        elif name == "remove":
            self._remove(path)
        else:
            source = self._pointer(operation, "from")
            if name == "copy":
                self._add(path, self._copy(source))
            elif path[: len(source)] != source:
                self._add(path, self._remove(source))
            elif path == source:
                self._get(source)
            else:
                raise self._impossible(path, "a value cannot be moved into itself")

    def _pointer(self, operation: dict[str, Any], member: str) -> list[str]:
        text = operation.get(member)
        if not isinstance(text, str):
            raise bad_request(f"{self._place} of the JSON patch has no {member}: it must be a JSON pointer")
        if text and text[0] != "/":
            raise bad_request(f"{self._place} of the JSON patch: the {member} {text!r} must be empty or start with /")
        if re.search(r"~(?![01])", text):
            raise bad_request(f"{self._place} of the JSON patch: in {text!r}, ~ must be followed by 0 or 1")
        return [token.replace("~1", "/").replace("~0", "~") for token in text.split("/")[1:]]

    def _get(self, path: list[str]) -> Any:
        value = self.document
        for depth, token in enumerate(path):
            value = self._child(value, token, path[: depth + 1])
        return value

    def _child(self, value: Any, token: str, path: list[str]) -> Any:
        if isinstance(value, dict) and token in value:
            return value[token]
        if isinstance(value, list):
            return value[self._index(value, token, path, len(value) - 1)]
        raise self._impossible(path, "there is no such path")

    def _index(self, value: list[Any], token: str, path: list[str], last: int) -> int:
        if not _INDEX.match(token) or len(token) > 10 or int(token) > last:
            raise self._impossible(path, f"there is no such place in a list of {len(value)}")
        return int(token)

    def _test(self, path: list[str], value: Any) -> None:
        found = self._get(path)
        if not same(found, value):
            raise self._impossible(path, f"the value is {_shown(found)}, and not {_shown(value)}")

    def _add(self, path: list[str], value: Any) -> None:
        if not path:
            self.document = value
            return
        parent = self._get(path[:-1])
        if isinstance(parent, dict):
            parent[path[-1]] = value
        elif isinstance(parent, list):
            index = len(parent) if path[-1] == "-" else self._index(parent, path[-1], path, len(parent))
            parent.insert(index, value)
        else:
            raise self._impossible(path, f"{_word(parent)} has no fields")

    def _replace(self, path: list[str], value: Any) -> None:
        self._get(path)
        if not path:
            self.document = value
            return
        parent = self._get(path[:-1])
        parent[int(path[-1]) if isinstance(parent, list) else path[-1]] = value

    def _remove(self, path: list[str]) -> Any:
        value = self._get(path)
        if not path:
            raise self._impossible(path, "the whole object cannot be removed by a patch")
        parent = self._get(path[:-1])
        del parent[int(path[-1]) if isinstance(parent, list) else path[-1]]
        return value

    def _copy(self, source: list[str]) -> Any:
        text = orjson.dumps(self._get(source))
        self._copied += len(text)
        if self._copied > MAX_COPIED_BYTES:
            text_of_error = f"the copies of a JSON patch may not exceed {MAX_COPIED_BYTES} bytes in all"
            raise ApiError(413, "RequestEntityTooLarge", text_of_error)
        return orjson.loads(text)

    def _impossible(self, path: list[str], why: str) -> ApiError:
        pointer = "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in path)
        return _unprocessable(pointer, f"{self._place}: {why}")


def _unprocessable(field: str, why: str) -> ApiError:
    """The one sentence that kube-apiserver has for a patch that does not fit; the causes say more."""
    causes = [Cause("FieldValueInvalid", field, why)]
    text = "the server rejected our request due to an error in our request"
    return ApiError(422, "Invalid", text, {"causes": causes})


def _own(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value)) if isinstance(value, (dict, list)) else value


def _word(value: Any) -> str:
    words = {dict: "a mapping", list: "a list", str: "a text", bool: "a boolean", type(None): "null"}
    return words.get(type(value), "a number")


def _shown(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 100 else text[:97] + "..."
