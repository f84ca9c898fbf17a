"""A schema as something to walk beside a value: where am I, and what are the rules here?

Pruning, defaulting, validation, strategic merge and server-side apply all walk a value together with its schema.
:class:`Node` gives them one shape for both sources, the built-in definitions and the structural schema of a CRD. Nodes
are made when they are first visited: the InferenceService schema has some 12,000, and a manifest meets a hundred.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mizzen.apis import schemas

_NO_DEFINITIONS: Mapping[str, dict[str, Any]] = {}


class Node:
    """One place in a schema.

    ``type`` is the JSON type (``object``, ``array``, ``string``, ``integer``, ``number``, ``boolean``) or empty where
    anything goes. ``raw`` is the schema as written, for the keywords that only validation reads. ``definition`` is the
    name of the definition that the schema refers to here, empty where it is written in place.
    """

    __slots__ = (
        "_additional",
        "_branches",
        "_defaults",
        "_definitions",
        "_items",
        "_key_defaults",
        "_properties",
        "definition",
        "raw",
        "type",
    )

    def __init__(self, raw: dict[str, Any], definitions: Mapping[str, dict[str, Any]] = _NO_DEFINITIONS) -> None:
        self.definition = ""
        if "$ref" in raw:
            beside = {key: value for key, value in raw.items() if key != "$ref"}
            self.definition = raw["$ref"].rpartition("/")[2]
            target = definitions[self.definition]
            raw = {**target, **beside} if beside else target
        self.raw = raw
        self.type: str = raw.get("type", "")
        self._definitions = definitions
        self._properties: dict[str, Node] = {}
        self._items: Node | None = None
        self._additional: Node | None = None
        self._branches: dict[str, list[Node]] = {}
        self._defaults: dict[str, Any] | None = None
        self._key_defaults: tuple[tuple[str, Any], ...] | None = None

    def declared(self, name: str) -> Node | None:
        """The node of a named property, or ``None`` if the schema does not declare it."""
        node = self._properties.get(name)
        if node is None:
            raw = self.raw.get("properties", {}).get(name)
            if raw is None:
                return None
            node = self._properties[name] = Node(raw, self._definitions)
        return node

    def child(self, name: str) -> Node | None:
        """The node below a key: the declared property, else what ``additionalProperties`` says, else ``None``."""
        return self.declared(name) or self.additional

    @property
    def property_names(self) -> list[str]:
        return list(self.raw.get("properties", ()))

    @property
    def items(self) -> Node | None:
        if self._items is None and isinstance(self.raw.get("items"), dict):
            self._items = Node(self.raw["items"], self._definitions)
        return self._items

    @property
    def additional(self) -> Node | None:
        """The schema of the values of a map with free keys."""
        raw = self.raw.get("additionalProperties")
        if self._additional is None and isinstance(raw, dict):
            self._additional = Node(raw, self._definitions)
        return self._additional

    @property
    def preserves_unknown(self) -> bool:
        """Whether keys that the schema does not declare are kept."""
        marked = bool(self.raw.get("x-kubernetes-preserve-unknown-fields"))
        return marked or self.raw.get("additionalProperties") is True

    @property
    def is_int_or_string(self) -> bool:
        marked = bool(self.raw.get("x-kubernetes-int-or-string"))
        return marked or self.raw.get("format") in ("int-or-string", "quantity")

    @property
    def is_embedded_resource(self) -> bool:
        return bool(self.raw.get("x-kubernetes-embedded-resource"))

    @property
    def nullable(self) -> bool:
        return bool(self.raw.get("nullable"))

    @property
    def has_default(self) -> bool:
        return "default" in self.raw

    @property
    def default(self) -> Any:
        return self.raw.get("default")

    @property
    def defaults(self) -> dict[str, Any]:
        """The defaults of the declared properties that have one, by name."""
        if self._defaults is None:
            properties = self.raw.get("properties", {})
            self._defaults = {name: raw["default"] for name, raw in properties.items() if "default" in raw}
        return self._defaults

    def branches(self, keyword: str) -> list[Node]:
        """The alternatives of ``allOf``, ``anyOf`` or ``oneOf``, or the one schema of ``not``."""
        found = self._branches.get(keyword)
        if found is None:
            raw = self.raw.get(keyword) or []
            branches = raw if isinstance(raw, list) else [raw]
            found = self._branches[keyword] = [Node(branch, self._definitions) for branch in branches]
        return found

    @property
    def list_type(self) -> str:
        """``map``, ``set`` or ``atomic``: how server-side apply shares a list among managers."""
        found: str = self.raw.get("x-kubernetes-list-type", "atomic")
        return found

    @property
    def list_map_keys(self) -> list[str]:
        return list(self.raw.get("x-kubernetes-list-map-keys", ()))

    @property
    def key_defaults(self) -> tuple[tuple[str, Any], ...]:
        """The keys that tell the items of a list apart, in sorted order, each with its default or ``None``."""
        if self._key_defaults is None:
            items = self.items
            nodes = {name: items.declared(name) if items else None for name in sorted(self.list_map_keys)}
            self._key_defaults = tuple((name, node.default if node else None) for name, node in nodes.items())
        return self._key_defaults

    @property
    def is_atomic_map(self) -> bool:
        return self.raw.get("x-kubernetes-map-type") == "atomic"

    @property
    def patch_strategies(self) -> list[str]:
        """How a strategic merge patch treats this field: of ``merge``, ``replace`` and ``retainKeys``, none or more."""
        found = self.raw.get("x-kubernetes-patch-strategy", "")
        return [word for word in found.split(",") if word]

    @property
    def patch_merge_key(self) -> str:
        found: str = self.raw.get("x-kubernetes-patch-merge-key", "")
        return found


def builtin(group: str, version: str, kind: str) -> Node:
    """The schema of a built-in kind. Raises ``KeyError`` for a kind that the data does not hold."""
    return definition(schemas.names_by_kind()[(group, version, kind)])


def definition(name: str) -> Node:
    """The schema of a named part, such as ``io.k8s.api.core.v1.Container``."""
    found = schemas.definitions()
    return Node(found[name], found)


def expanded(raw: dict[str, Any]) -> dict[str, Any]:
    """A built-in schema written out without references, as a CRD's structural schema must be.

    An int-or-string or quantity becomes ``x-kubernetes-int-or-string`` with the ``anyOf`` that the API server expects.
    Definitions that refer to themselves stop as open objects.
    """
    return _expand(raw, schemas.definitions(), ())


def _expand(raw: dict[str, Any], found: Mapping[str, dict[str, Any]], above: tuple[str, ...]) -> dict[str, Any]:
    if "$ref" in raw:
        name = raw["$ref"]
        if name in above:
            return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        beside = {key: value for key, value in raw.items() if key != "$ref"}
        return {**_expand(found[name], found, (*above, name)), **beside}
    if raw.get("format") in ("int-or-string", "quantity"):
        out: dict[str, Any] = {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}
        if raw["format"] == "quantity":
            out["pattern"] = QUANTITY_PATTERN
        return out
    out = {key: value for key, value in raw.items() if not key.startswith(_NOT_STRUCTURAL)}
    if "type" not in out:
        out["type"] = "object"
    if "properties" in raw:
        out["properties"] = {name: _expand(child, found, above) for name, child in raw["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(raw.get(key), dict):
            out[key] = _expand(raw[key], found, above)
    return out


# Keywords of the built-in OpenAPI documents that a structural schema may not hold.
_NOT_STRUCTURAL = ("x-kubernetes-patch-", "x-kubernetes-group-version-kind", "x-kubernetes-validations")

QUANTITY_PATTERN = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)
