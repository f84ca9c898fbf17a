"""The rules that the schema of a custom resource must keep: a structural schema.

Pruning, defaulting and field ownership follow the shape of a schema, so each place of a value must have exactly one
place in it: every node says its type, and what stands inside ``allOf``, ``anyOf``, ``oneOf`` and ``not`` may only
restrict values, never shape them. A definition is refused with every violation at once, each with its path.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mizzen.apis.schema import Node
from mizzen.cluster.apiserver.patterns import PatternError, compiled
from mizzen.cluster.apiserver.validation import validate_part
from mizzen.kube.errors import Cause, forbidden_field, invalid_value, required, unsupported

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_UNSUPPORTED = ("$ref", "additionalItems", "definitions", "dependencies", "deprecated", "id", "patternProperties")
_READ_ONLY = ("readOnly", "writeOnly")
_JUNCTIONS = ("allOf", "anyOf", "oneOf", "not")
# What shapes a value and so may not stand inside a junction.
_SHAPING = (
    "type",
    "default",
    "nullable",
    "additionalProperties",
    "title",
    "description",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-preserve-unknown-fields",
)
_INT_OR_STRING_TYPES = [{"type": "integer"}, {"type": "string"}]
# The JSON types of the keywords that later steps read without asking again.
_KEYWORD_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "enum", "required", "x-kubernetes-list-map-keys"), (list,)),
    **dict.fromkeys(("properties", "not"), (dict,)),
    **dict.fromkeys(("additionalProperties",), (dict, bool)),
    **dict.fromkeys(("items",), (dict, list)),
    **dict.fromkeys(("type", "format", "pattern", "description", "title"), (str,)),
    **dict.fromkeys(("x-kubernetes-list-type", "x-kubernetes-map-type"), (str,)),
    **dict.fromkeys(("nullable", "uniqueItems", "exclusiveMaximum", "exclusiveMinimum"), (bool,)),
    **dict.fromkeys(("maximum", "minimum", "multipleOf"), (int, float)),
    **dict.fromkeys(("maxItems", "maxLength", "maxProperties", "minItems", "minLength", "minProperties"), (int,)),
}
_WORDS = {
    list: "a list",
    dict: "a mapping",
    bool: "true or false",
    str: "a text",
    int: "a whole number",
    float: "a number",
}


def structural_causes(schema: dict[str, Any], path: str) -> list[Cause]:
    """Every way in which a schema is not structural; empty if it may be served.

    Args:
        schema: the ``openAPIV3Schema`` of one version.
        path: where it stands in the definition, such as ``spec.versions[0].schema.openAPIV3Schema``.
    """
    causes: list[Cause] = []
    if schema.get("type") != "object":
        if schema.get("type"):
            causes.append(invalid_value(f"{path}.type", schema["type"], "must be object at the root"))
        else:
            causes.append(required(f"{path}.type", "must not be empty at the root"))
    if schema.get("nullable"):
        causes.append(forbidden_field(f"{path}.nullable", "nullable cannot be true at the root"))
    causes += _node(schema, path, is_object=True, what="at the root")
    # Defaults are judged by schemas that are known to be sound.
    return causes or list(_defaults(schema, path))


def _node(schema: Any, path: str, *, is_object: bool = False, what: str = "") -> Iterator[Cause]:
    if not isinstance(schema, dict):
        yield invalid_value(path, schema, "must be a schema, as a mapping")
        return
    malformed = list(_malformed(schema, path))
    if malformed:
        yield from malformed
        return
    yield from _type(schema, path, what)
    yield from _keywords(schema, path)
    yield from _extensions(schema, path)
    if "properties" in schema:
        for name, child in schema["properties"].items():
            place = f"{path}.properties[{name}]"
            if is_object and name == "metadata":
                yield from _metadata(child, place)
            elif not (is_object and name in ("apiVersion", "kind")):
                yield from _node(child, place, what="for specified object fields")
    if isinstance(schema.get("items"), dict):
        yield from _node(schema["items"], f"{path}.items", what="for specified array items")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _node(
            schema["additionalProperties"], f"{path}.additionalProperties", what="for specified object fields"
        )
    for keyword in _JUNCTIONS:
        if keyword in schema:
            yield from _junction(schema, keyword, path)


def _defaults(schema: dict[str, Any], path: str) -> Iterator[Cause]:
    if "default" in schema:
        yield from validate_part(schema["default"], Node(schema), f"{path}.default")
    for name, child in schema.get("properties", {}).items():
        yield from _defaults(child, f"{path}.properties[{name}]")
    for keyword in ("items", "additionalProperties"):
        if isinstance(schema.get(keyword), dict):
            yield from _defaults(schema[keyword], f"{path}.{keyword}")


def _malformed(schema: dict[str, Any], path: str) -> Iterator[Cause]:
    for keyword in schema.keys() & _KEYWORD_TYPES.keys():
        value, types = schema[keyword], _KEYWORD_TYPES[keyword]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            words = " or ".join(_WORDS[kind] for kind in types)
            yield invalid_value(f"{path}.{keyword}", value, f"must be {words}")
    for keyword in ("required", "x-kubernetes-list-map-keys"):
        names = schema.get(keyword)
        if isinstance(names, list) and not all(isinstance(name, str) for name in names):
            yield invalid_value(f"{path}.{keyword}", names, "must be a list of names")


def _type(schema: dict[str, Any], path: str, what: str) -> Iterator[Cause]:
    kind = schema.get("type")
    free = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    if not kind:
        if not free and what != "at the root":
            yield required(f"{path}.type", f"must not be empty {what}")
        return
    if kind == "null":
        yield forbidden_field(f"{path}.type", "type cannot be set to null, use nullable as an alternative")
    elif kind not in _TYPES:
        yield unsupported(f"{path}.type", kind, _TYPES)
    elif schema.get("x-kubernetes-int-or-string"):
        yield forbidden_field(f"{path}.type", "must be empty if x-kubernetes-int-or-string is true")
    elif kind != "object" and schema.get("x-kubernetes-preserve-unknown-fields"):
        text = "must be object if x-kubernetes-preserve-unknown-fields is true"
        yield invalid_value(f"{path}.type", kind, text)
    elif kind == "array" and "items" not in schema:
        yield required(f"{path}.items", "must be specified")


def _keywords(schema: dict[str, Any], path: str) -> Iterator[Cause]:
    for keyword in _UNSUPPORTED:
        if schema.get(keyword):
            yield forbidden_field(f"{path}.{keyword}", f"{keyword} is not supported")
    for keyword in _READ_ONLY:
        if schema.get(keyword):
            yield forbidden_field(f"{path}.{keyword}", "must be false or undefined")
    if schema.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield forbidden_field(f"{path}.uniqueItems", text)
    if isinstance(schema.get("items"), list):
        text = "items must be a schema object and not an array"
        yield forbidden_field(f"{path}.items", text)
    if "additionalProperties" in schema:
        if schema["additionalProperties"] is False:
            text = "additionalProperties cannot be set to false"
            yield forbidden_field(f"{path}.additionalProperties", text)
        if schema.get("properties"):
            text = "additionalProperties and properties are mutually exclusive"
            yield forbidden_field(f"{path}.additionalProperties", text)
    if "pattern" in schema:
        try:
            compiled(schema["pattern"])
        except PatternError as error:
            text = f"must be a valid regular expression, but isn't: {error}"
            yield invalid_value(f"{path}.pattern", schema["pattern"], text)


def _extensions(schema: dict[str, Any], path: str) -> Iterator[Cause]:
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        place = f"{path}.x-kubernetes-preserve-unknown-fields"
        yield invalid_value(place, False, "must be true or undefined")
    if schema.get("x-kubernetes-embedded-resource"):
        if schema.get("type") != "object":
            kind = schema.get("type") or ""
            yield invalid_value(f"{path}.type", kind, "must be object if x-kubernetes-embedded-resource is true")
        elif not schema.get("properties") and not schema.get("x-kubernetes-preserve-unknown-fields"):
            text = "must not be empty if x-kubernetes-embedded-resource is true without preserving unknown fields"
            yield required(f"{path}.properties", text)
    map_type = schema.get("x-kubernetes-map-type")
    if map_type is not None:
        place = f"{path}.x-kubernetes-map-type"
        if map_type not in ("atomic", "granular"):
            yield unsupported(place, map_type, ("atomic", "granular"))
        elif schema.get("type") != "object":
            yield invalid_value(f"{path}.type", schema.get("type") or "", "must be object if a map type is specified")
    yield from _list_type(schema, path)


def _list_type(schema: dict[str, Any], path: str) -> Iterator[Cause]:
    list_type, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys")
    if list_type is not None:
        if list_type not in ("atomic", "map", "set"):
            yield unsupported(f"{path}.x-kubernetes-list-type", list_type, ("atomic", "map", "set"))
            return
        if schema.get("type") != "array":
            yield invalid_value(f"{path}.type", schema.get("type") or "", "must be array if a list type is specified")
            return
    place = f"{path}.x-kubernetes-list-map-keys"
    if list_type != "map":
        if keys:
            yield forbidden_field(place, "must not be specified unless x-kubernetes-list-type is map")
        if list_type == "set":
            yield from _set_items(schema.get("items"), path)
        return
    items = schema.get("items")
    if not isinstance(items, dict):
        return  # said already: an array needs items
    if items.get("type") != "object":
        yield invalid_value(f"{path}.items.type", items.get("type") or "", "must be object if the list type is map")
        return
    if not keys:
        yield required(place, "must not be empty if x-kubernetes-list-type is map")
        return
    properties, demanded = items.get("properties") or {}, items.get("required") or ()
    if not isinstance(properties, dict) or not isinstance(demanded, (list, tuple)):
        # What is wrong with the items themselves is said where they stand.
        return
    for index, key in enumerate(keys):
        found = properties.get(key)
        if not isinstance(found, dict):
            yield invalid_value(f"{place}[{index}]", key, "must be the name of a property of items")
        elif found.get("type") in ("array", "object"):
            yield invalid_value(f"{path}.items.properties[{key}].type", found["type"], "must be a scalar type")
        elif "default" not in found and key not in demanded:
            text = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
            yield required(f"{path}.items.properties[{key}].default", text)
    if len(set(keys)) != len(keys):
        yield invalid_value(place, keys, "must not name a key twice")


def _set_items(items: Any, path: str) -> Iterator[Cause]:
    if not isinstance(items, dict):
        return
    if items.get("nullable"):
        yield forbidden_field(f"{path}.items.nullable", "cannot be nullable when x-kubernetes-list-type is set")
    kind = items.get("type")
    if kind == "object" and items.get("x-kubernetes-map-type") != "atomic":
        text = "must be atomic as item of a list with x-kubernetes-list-type=set"
        yield invalid_value(f"{path}.items.x-kubernetes-map-type", items.get("x-kubernetes-map-type") or "", text)
    if kind == "array" and items.get("x-kubernetes-list-type") not in (None, "atomic"):
        text = "must be atomic as item of a list with x-kubernetes-list-type=set"
        yield invalid_value(f"{path}.items.x-kubernetes-list-type", items["x-kubernetes-list-type"], text)


def _metadata(schema: Any, path: str) -> Iterator[Cause]:
    """Metadata is the API's own; a definition may only restrict its names."""
    if not isinstance(schema, dict):
        yield invalid_value(path, schema, "must be a schema, as a mapping")
        return
    if schema.get("type") != "object":
        yield invalid_value(f"{path}.type", schema.get("type") or "", "must be object")
    properties = schema.get("properties") or {}
    others = schema.keys() - {"type", "properties", "description", "title"}
    if others or not isinstance(properties, dict) or properties.keys() - {"name", "generateName"}:
        text = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        yield forbidden_field(path, text)
    elif any(isinstance(child, dict) and "default" in child for child in properties.values()):
        yield forbidden_field(path, "must not have defaults: the API names objects")


def _junction(schema: dict[str, Any], keyword: str, path: str) -> Iterator[Cause]:
    raw = schema[keyword]
    if schema.get("x-kubernetes-int-or-string"):
        if keyword == "anyOf" and raw == _INT_OR_STRING_TYPES:
            return
        if keyword == "allOf" and isinstance(raw, list) and raw[:1] == [{"anyOf": _INT_OR_STRING_TYPES}]:
            raw = raw[1:]
    for index, branch in enumerate(raw if isinstance(raw, list) else [raw]):
        place = f"{path}.{keyword}[{index}]" if isinstance(raw, list) else f"{path}.{keyword}"
        yield from _restriction(branch, place, schema, path)


def _restriction(branch: Any, path: str, shape: dict[str, Any], outside: str) -> Iterator[Cause]:
    """A schema inside a junction may restrict what ``shape``, the schema ``outside``, declares for the same place."""
    if not isinstance(branch, dict):
        yield invalid_value(path, branch, "must be a schema, as a mapping")
        return
    malformed = list(_malformed(branch, path))
    if malformed:
        yield from malformed
        return
    for keyword in _SHAPING:
        if keyword in branch:
            yield forbidden_field(f"{path}.{keyword}", "must be empty to be structural")
    yield from _keywords({key: value for key, value in branch.items() if key not in _SHAPING}, path)
    for name, child in branch.get("properties", {}).items():
        place, outer_place = f"{path}.properties[{name}]", f"{outside}.properties[{name}]"
        outer = (shape.get("properties") or {}).get(name)
        if outer is None:
            outer, outer_place = shape.get("additionalProperties"), f"{outside}.additionalProperties"
        if isinstance(outer, dict):
            yield from _restriction(child, place, outer, outer_place)
        else:
            yield required(f"{outside}.properties[{name}]", f"because it is defined in {place}")
    if "items" in branch:
        if isinstance(shape.get("items"), dict):
            yield from _restriction(branch["items"], f"{path}.items", shape["items"], f"{outside}.items")
        else:
            yield required(f"{outside}.items", f"because it is defined in {path}.items")
    for keyword in _JUNCTIONS:
        nested = branch.get(keyword, [])
        for index, child in enumerate(nested if isinstance(nested, list) else [nested]):
            place = f"{path}.{keyword}[{index}]" if isinstance(nested, list) else f"{path}.{keyword}"
            yield from _restriction(child, place, shape, outside)
