"""A service template in the shape in which ONAP's runtime stores it and hands it out again.

The runtime reads a template into Java classes and writes those: unknown fields go, defaults come, every concept gets
its name, texts are made of numbers where a text is wanted. On that way it already refuses what it cannot hold, at once
and one at a time; here all of it is noted, in the order in which the runtime would come upon it. Two losses of that way
are not copied: ``less_than`` constraints stay, and so does ``key_schema``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct, field

from mizzen.acm.tosca.intake import NULL_NAME, NULL_VERSION, Intake, Refusal, Shape
from mizzen.acm.tosca.javatext import without_nulls
from mizzen.acm.tosca.nodes import Document
from mizzen.acm.tosca.problems import Path, Unreadable

Template = dict[str, Any]
Convert = Callable[[dict[str, Any], Path, tuple[str, str]], dict[str, Any]]

_STATUSES = ("SUPPORTED", "UNSUPPORTED", "EXPERIMENTAL", "DEPRECATED")
_SINGLE = ("equal", "greater_than", "greater_or_equal", "less_than", "less_or_equal")
_PLURAL = ("valid_values", "in_range")
_SECTIONS = ("data_types", "capability_types", "node_types", "relationship_types", "policy_types")


class Converted(Struct):
    """A template on its way, with all that was found wrong.

    Attributes:
        template: the normalised template, as far as it goes.
        shapes: values of the wrong kind; with any of these the rest is not to be relied on.
        refusals: in the order in which the runtime meets them; it tells of the first only.
    """

    template: Template = field(default_factory=dict)
    shapes: list[Shape] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)


def normalise(document: Document, *, composition_id: str | None = None) -> Template:
    """The template as the runtime's ``GET`` shows it after a ``POST``.

    Args:
        composition_id: goes into the template's metadata, where clients look for it.

    Raises:
        Unreadable: the runtime could not hold it; a template that passed ``check`` never is.
    """
    converted = convert(document.value)
    wrong = [(trouble.path, trouble.message, trouble.hint) for trouble in converted.shapes]
    wrong += [(refusal.path, refusal.message, refusal.hint) for refusal in converted.refusals]
    if wrong:
        first = None if converted.shapes else converted.refusals[0]
        problems = [document.problem(*trouble) for trouble in wrong]
        raise Unreadable(problems, first.details if first else "", first.status if first else 400)
    template = converted.template
    if composition_id is not None:
        metadata = {**template.get("metadata", {}), "compositionId": composition_id}
        rest = {key: value for key, value in template.items() if key not in ("name", "version", "metadata")}
        template = {"name": template["name"], "version": template["version"], "metadata": metadata, **rest}
    return template


def convert(value: dict[str, Any]) -> Converted:
    """The template in its stored shape, and what stands against it."""
    conversion = _Conversion()
    return Converted(conversion.service_template(value), conversion.shapes, conversion.refusals)


class _Conversion(Intake):
    """Concept by concept, from the whole template down."""

    def service_template(self, source: dict[str, Any]) -> Template:
        name, version = self.text(source, "name", ()), self.text(source, "version", ())
        result: Template = {
            "name": "tosca" if name in (None, NULL_NAME) else name,
            "version": "1.0.0" if version in (None, NULL_VERSION) else version,
        }
        self._about(result, source, ())
        self.put(result, "tosca_definitions_version", self.text(source, "tosca_definitions_version", ()))
        derived = self.text(source, "derived_from", ())
        types = {
            "data_types": self._concepts(source, "data_types", (), self._data_type),
            "capability_types": self._concepts(source, "capability_types", (), self._type),
            "relationship_types": self._concepts(source, "relationship_types", (), self._type),
            "node_types": self._concepts(source, "node_types", (), self._node_type),
            "policy_types": self._concepts(source, "policy_types", (), self._type),
        }
        for section in _SECTIONS:
            result[section] = types[section] or {}
        topology = self.mapping(source, "topology_template", ())
        if topology is not None:
            result["topology_template"] = self._topology(topology, ("topology_template",))
        self.put(result, "derived_from", derived)
        return result

    def _topology(self, source: dict[str, Any], path: Path) -> Template:
        result: Template = {}
        self.put(result, "description", self.text(source, "description", path))
        inputs = self.mapping(source, "inputs", path)
        if inputs is not None:
            result["inputs"] = {
                name: self._input(name, value, (*path, "inputs", name)) for name, value in inputs.items()
            }
        templates = self._concepts(source, "node_templates", path, self._node_template)
        policies = self._concept_list(source, "policies", path, self._policy) or []
        result["policies"] = [{name: policy} for group in policies for name, policy in group.items()]
        self.put(result, "node_templates", templates)
        return result

    def _input(self, name: str, value: Any, path: Path) -> Template:
        if not isinstance(value, dict):
            self.wrong_kind(path, value, "a mapping with a type")
            return {}
        result: Template = {"name": self.text(value, "name", path) or name}
        self.put(result, "type", self.text(value, "type", path))
        result["type_version"] = self.text(value, "type_version", path) or NULL_VERSION
        self.put(result, "value", without_nulls(value.get("value")))
        return result

    def _concepts(self, owner: dict[str, Any], name: str, path: Path, converted: Convert) -> dict[str, Template] | None:
        source = self.mapping(owner, name, path)
        return None if source is None else self._concept_map(source, (*path, name), converted)

    def _concept_list(
        self, owner: dict[str, Any], name: str, path: Path, converted: Convert
    ) -> list[dict[str, Template]] | None:
        source = self.items(owner, name, path)
        if source is None:
            return None
        result = []
        for index, group in enumerate(source):
            here = (*path, name, index)
            if isinstance(group, dict):
                result.append(self._concept_map(group, here, converted))
            else:
                self.wrong_kind(here, group, "a mapping of one name to its definition")
        return result

    def _concept_map(self, source: dict[str, Any], path: Path, converted: Convert) -> dict[str, Template]:
        result: dict[str, Template] = {}
        for key, value in source.items():
            here = (*path, key)
            if value is None:
                details = f"java.lang.NullPointerException the value of {key} is null"
                self.refuse(here, f"{key} is empty", "give it a definition, or remove it", details, 500, key=True)
            elif not isinstance(value, dict):
                self.wrong_kind(here, value, "a mapping")
            else:
                result[key] = converted(value, here, self._key(key, value, here))
        return result

    def _key(self, key: str, source: dict[str, Any], path: Path) -> tuple[str, str]:
        """A concept's name and version: of its key, and of the fields that must agree with it."""
        self.valid_name(key, path, key=True)
        given = self.text(source, "version", path)
        version = NULL_VERSION if given is None else given
        self.valid_version(version, (*path, "version"))
        name = self.text(source, "name", path)
        if name and name.strip() and name not in (key, NULL_NAME):
            details = f"Key {key}:{version} field {key} does not match the value {name} in the concept field"
            message = f'the name "{name}" is not the key "{key}" that it stands under'
            self.refuse((*path, "name"), message, "leave the name out, or write the same twice", details, 400)
        return key, version

    def _head(self, source: dict[str, Any], path: Path, key: tuple[str, str]) -> Template:
        result: Template = {"name": key[0], "version": key[1]}
        self._about(result, source, path)
        return result

    def _about(self, result: Template, source: dict[str, Any], path: Path) -> None:
        metadata = self.mapping(source, "metadata", path)
        self.put(result, "metadata", None if metadata is None else without_nulls(metadata))
        self.put(result, "description", self.text(source, "description", path))

    def _type(self, source: dict[str, Any], path: Path, key: tuple[str, str]) -> Template:
        result = self._head(source, path, key)
        properties = self.mapping(source, "properties", path)
        if properties is not None:
            result["properties"] = {
                name: self._property(name, value, (*path, "properties", name)) for name, value in properties.items()
            }
        self.put(result, "derived_from", self.text(source, "derived_from", path))
        return result

    def _data_type(self, source: dict[str, Any], path: Path, key: tuple[str, str]) -> Template:
        result = self._type(source, path, key)
        self.put(result, "constraints", self._constraints(source, path))
        return result

    def _node_type(self, source: dict[str, Any], path: Path, key: tuple[str, str]) -> Template:
        result = self._type(source, path, key)
        self.put(result, "requirements", self._concept_list(source, "requirements", path, self._requirement))
        return result

    def _property(self, name: str, source: Any, path: Path) -> Template:
        if not isinstance(source, dict):
            self.wrong_kind(path, source, "a mapping with a type", f"{name}: {{type: string}}")
            return {}
        kind, version = self.reference(source, path)
        result: Template = {"name": name, "type": kind}
        self.put(result, "description", self.text(source, "description", path))
        result["required"] = self.flag(source, "required", path)
        self.put(result, "constraints", self._constraints(source, path))
        metadata = self.mapping(source, "metadata", path)
        if metadata is not None:
            texts = {item: self.text(metadata, item, (*path, "metadata")) for item in metadata}
            result["metadata"] = {item: text for item, text in texts.items() if text is not None}
        result["type_version"] = version
        self.put(result, "default", without_nulls(source.get("default")))
        status = self.text(source, "status", path)
        if status is not None and status not in _STATUSES:
            self.shapes.append(
                Shape((*path, "status"), f"{status} is no status of a property", f"it is one of {', '.join(_STATUSES)}")
            )
        self.put(result, "status", status)
        self.put(result, "key_schema", self._schema(source, "key_schema", path))
        self.put(result, "entry_schema", self._schema(source, "entry_schema", path))
        return result

    def _schema(self, owner: dict[str, Any], name: str, path: Path) -> Template | None:
        value = owner.get(name)
        here = (*path, name)
        if value is None:
            return None
        if not isinstance(value, dict):
            wanted = f"{name}: {{type: {value}}}" if isinstance(value, str) else ""
            self.wrong_kind(here, value, "a mapping with a type", wanted)
            return None
        kind, version = self.reference(value, here)
        result: Template = {}
        self.put(result, "name", self.text(value, "name", here))
        result |= {"type": kind, "type_version": version}
        self.put(result, "description", self.text(value, "description", here))
        self.put(result, "constraints", self._constraints(value, here))
        return result

    def _constraints(self, owner: dict[str, Any], path: Path) -> list[Template] | None:
        source = self.items(owner, "constraints", path)
        if source is None:
            return None
        result = []
        for index, item in enumerate(source):
            here = (*path, "constraints", index)
            if not isinstance(item, dict):
                self.wrong_kind(here, item, "a mapping of one operator to its value")
                continue
            constraint: Template = {}
            for name in _SINGLE:
                self.put(constraint, name, self.text(item, name, here))
            for name in _PLURAL:
                values = self.items(item, name, here)
                if values is not None:
                    constraint[name] = [
                        self.text_of(value, (*here, name, number)) for number, value in enumerate(values)
                    ]
            result.append(constraint)
        return result

    def _typed(self, source: dict[str, Any], path: Path, key: tuple[str, str]) -> Template:
        result = self._head(source, path, key)
        if source.get("type") is None:
            details = "Type not specified, the type of this TOSCA entity must be specified in the type field"
            self.refuse(path, f"{key[0]} has no type", "add type: and type_version:", details, 400, key=True)
            kind, version = NULL_NAME, NULL_VERSION
        else:
            kind, version = self.reference(source, path)
            if version == NULL_VERSION:
                details = (
                    "Version not specified, the version of this TOSCA entity must be specified"
                    " in the type_version field"
                )
                message = f"{key[0]} names the type {kind} without its version"
                self.refuse((*path, "type"), message, "add type_version:", details, 400, key=True)
        result["type"] = kind
        properties = self.mapping(source, "properties", path)
        self.put(result, "properties", None if properties is None else without_nulls(properties))
        result["type_version"] = version
        self.put(result, "derived_from", self.text(source, "derived_from", path))
        return result

    def _node_template(self, source: dict[str, Any], path: Path, key: tuple[str, str]) -> Template:
        result = self._typed(source, path, key)
        self.put(result, "requirements", self._concept_list(source, "requirements", path, self._requirement))
        self.put(result, "capabilities", self._concepts(source, "capabilities", path, self._capability))
        return result

    def _policy(self, source: dict[str, Any], path: Path, key: tuple[str, str]) -> Template:
        result = self._typed(source, path, key)
        result["metadata"] = {**result.get("metadata", {}), "policy-id": key[0], "policy-version": key[1]}
        return result

    def _requirement(self, source: dict[str, Any], path: Path, key: tuple[str, str]) -> Template:
        result = self._typed(source, path, key)
        for name in ("capability", "node", "relationship"):
            self.put(result, name, self.text(source, name, path))
        self.put(result, "occurrences", without_nulls(self.items(source, "occurrences", path)))
        return result

    def _capability(self, source: dict[str, Any], path: Path, key: tuple[str, str]) -> Template:
        result = self._typed(source, path, key)
        self.put(result, "attributes", without_nulls(self.mapping(source, "attributes", path)))
        self.put(result, "occurrences", without_nulls(self.items(source, "occurrences", path)))
        return result
