"""CustomResourceDefinitions as objects: which may be stored, and what their status says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from mizzen.apis.apiextensions import CUSTOM_RESOURCE_DEFINITION
from mizzen.cluster.apiserver import jsonpath, schema
from mizzen.cluster.apiserver.resources import STATUS, Column, Object, Resource, at, fill
from mizzen.kube import times
from mizzen.kube.errors import Cause, duplicate, invalid_value, required, unsupported

# Keeps a definition until its objects are gone.
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"

_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_SIMPLE_PATH = re.compile(r"(\.[A-Za-z_$][-\w$]*)+")

# What other definitions and built-in kinds of a group call themselves: words by their kind of name.
Taken = Callable[[str, str], dict[str, set[str]]]


class CustomResourceDefinitions(Resource):
    """``taken(group, name)`` gives the names in a group that definitions other than ``name`` hold."""

    definition = CUSTOM_RESOURCE_DEFINITION
    counts_generation = True
    subresources = (STATUS,)

    def __init__(self, taken: Taken) -> None:
        self._taken = taken

    def default(self, value: Object) -> None:
        spec = value.setdefault("spec", {})
        names = spec.get("names") or {}
        if names.get("kind"):
            fill(names, singular=names["kind"].lower(), listKind=names["kind"] + "List")
        fill(spec.setdefault("conversion", {}), strategy="None")
        if spec["conversion"]["strategy"] == "Webhook":
            service = at(spec, "conversion", "webhook", "clientConfig", "service")
            if service:
                fill(service, port=443)
        for version in spec.get("versions") or ():
            for column in version.get("additionalPrinterColumns") or ():
                fill(column, priority=0)

    def prepare_create(self, value: Object) -> None:
        metadata = value["metadata"]
        if CLEANUP not in (metadata.get("finalizers") or ()):
            metadata["finalizers"] = [*(metadata.get("finalizers") or ()), CLEANUP]
        value["status"] = {"conditions": [], "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": []}
        self.settle_status(value)

    def prepare_update(self, value: Object, old: Object, subresource: str) -> None:
        if subresource != "status":
            self.settle_status(value)

    def settle_status(self, value: Object) -> None:
        """Set the conditions, accepted names and stored versions that follow from the spec, in place."""
        spec, status = value["spec"], value.setdefault("status", {})
        names = spec.get("names") or {}
        problem = self._conflict(value["metadata"].get("name") or "", spec.get("group") or "", names)
        now = times.now()
        if problem:
            _set_condition(status, "NamesAccepted", "False", problem[0], problem[1], now)
            if not _is_true(status, "Established"):
                text = "not all names are accepted"
                _set_condition(status, "Established", "False", "NotAccepted", text, now)
        else:
            status["acceptedNames"] = dict(names)
            _set_condition(status, "NamesAccepted", "True", "NoConflicts", "no conflicts found", now)
            text = "the initial names have been accepted"
            _set_condition(status, "Established", "True", "InitialNamesAccepted", text, now)
        for version in spec.get("versions") or ():
            stored = status.setdefault("storedVersions", [])
            name = version.get("name")
            if version.get("storage") and name and name not in stored:
                status["storedVersions"] = [*stored, name]

    def validate(self, value: Object) -> list[Cause]:
        spec = value["spec"]
        names = spec["names"]
        causes: list[Cause] = []
        if value["metadata"]["name"] != f"{names['plural']}.{spec['group']}":
            why = f'must be spec.names.plural+"."+spec.group, that is {names["plural"]}.{spec["group"]}'
            causes.append(invalid_value("metadata.name", value["metadata"]["name"], why))
        if not _SUBDOMAIN.fullmatch(spec["group"]) or "." not in spec["group"]:
            why = "should be a lower-case domain with at least one dot"
            causes.append(invalid_value("spec.group", spec["group"], why))
        if spec["scope"] not in ("Cluster", "Namespaced"):
            causes.append(unsupported("spec.scope", spec["scope"], ("Cluster", "Namespaced")))
        if spec["conversion"]["strategy"] not in ("None", "Webhook"):
            causes.append(unsupported("spec.conversion.strategy", spec["conversion"]["strategy"], ("None", "Webhook")))
        if spec.get("preserveUnknownFields"):
            why = "must be false: set x-kubernetes-preserve-unknown-fields in the schema instead"
            causes.append(invalid_value("spec.preserveUnknownFields", True, why))
        return [*causes, *_name_causes(names), *_versions_causes(spec["versions"])]

    def validate_update(self, value: Object, old: Object, subresource: str) -> list[Cause]:
        spec, before = value["spec"], old["spec"]
        causes = [
            invalid_value(f"spec.{field}", found, "field is immutable")
            for field, found, kept in (
                ("scope", spec["scope"], before["scope"]),
                ("names.kind", spec["names"]["kind"], before["names"]["kind"]),
            )
            if found != kept and _is_true(old.get("status") or {}, "Established")
        ]
        known = {version["name"] for version in spec["versions"]}
        stored = at(old, "status", "storedVersions") or ()
        for place, name in enumerate(stored):
            if name not in known:
                why = "must appear in spec.versions, because objects may be stored in it"
                causes.append(invalid_value(f"status.storedVersions[{place}]", name, why))
        return causes

    def warnings(self, value: Object) -> list[str]:
        found = []
        if value["spec"]["conversion"]["strategy"] == "Webhook" and len(value["spec"]["versions"]) > 1:
            found.append("conversion webhooks are not called: objects change their apiVersion and nothing else")
        if b'"x-kubernetes-validations"' in orjson.dumps(value["spec"]):
            found.append("x-kubernetes-validations are kept but not enforced: this server evaluates no CEL rules")
        return found

    def _conflict(self, name: str, group: str, names: Object) -> tuple[str, str] | None:
        """Why the names cannot be accepted, as reason and message."""
        taken = self._taken(group, name)
        for what, wanted in (
            ("plural", [names.get("plural")]),
            ("singular", [names.get("singular")]),
            ("shortName", names.get("shortNames") or []),
        ):
            for word in wanted:
                if word in taken["names"]:
                    return f"{what[0].upper()}{what[1:]}Conflict", f'"{word}" is already in use'
        for what, word in (("Kind", names.get("kind")), ("ListKind", names.get("listKind"))):
            if word in taken["kinds"]:
                return f"{what}Conflict", f'"{word}" is already in use'
        return None

    columns = (Column("Created At", lambda value, now: value["metadata"].get("creationTimestamp"), "date"),)


def is_established(value: Object) -> bool:
    """Whether the resources of a definition are served."""
    return _is_true(value.get("status") or {}, "Established")


def is_conflicting(value: Object) -> bool:
    """Whether a definition waits for names that are in use."""
    return not _is_true(value.get("status") or {}, "NamesAccepted")


def _is_true(status: Object, kind: str) -> bool:
    found = status.get("conditions") or ()
    return any(item.get("type") == kind and item.get("status") == "True" for item in found)


def _set_condition(status: Object, kind: str, value: str, reason: str, message: str, now: str) -> None:
    new = {"type": kind, "status": value, "lastTransitionTime": now, "reason": reason, "message": message}
    conditions = status.setdefault("conditions", [])
    for place, old in enumerate(conditions):
        if old.get("type") == kind:
            if old.get("status") == value:
                new["lastTransitionTime"] = old.get("lastTransitionTime", now)
            conditions[place] = new
            return
    conditions.append(new)


def _name_causes(names: Object) -> Iterable[Cause]:
    words: list[tuple[str, Any]] = [("plural", names["plural"]), ("singular", names.get("singular"))]
    words += [(f"shortNames[{place}]", word) for place, word in enumerate(names.get("shortNames") or ())]
    words += [(f"categories[{place}]", word) for place, word in enumerate(names.get("categories") or ())]
    # A kind is a name in another spelling.
    words += [("kind", (names.get("kind") or "").lower()), ("listKind", (names.get("listKind") or "").lower())]
    for field, word in words:
        if not word:
            yield required(f"spec.names.{field}")
        elif not _LABEL.fullmatch(word):
            why = "must begin with a letter and consist of letters, digits and '-', at most 63 of them"
            yield invalid_value(f"spec.names.{field}", word, why)
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        yield invalid_value("spec.names.listKind", names["listKind"], "kind and listKind may not be the same")


def _versions_causes(versions: list[Object]) -> Iterable[Cause]:
    path = "spec.versions"
    stored = [version["name"] for version in versions if version["storage"]]
    if len(stored) != 1:
        yield invalid_value(path, str(stored), "must have exactly one version marked as storage version")
    seen: set[str] = set()
    for place, version in enumerate(versions):
        here = f"{path}[{place}]"
        name = version["name"]
        if not _LABEL.fullmatch(name):
            yield invalid_value(f"{here}.name", name, "must be a DNS label such as v1 or v1beta1")
        if name in seen:
            yield duplicate(f"{here}.name", name)
        seen.add(name)
        found = at(version, "schema", "openAPIV3Schema")
        if found is None:
            yield required(f"{here}.schema.openAPIV3Schema", "schemas are required")
        elif not isinstance(found, dict):
            yield invalid_value(f"{here}.schema.openAPIV3Schema", found, "must be a schema, as a mapping")
        else:
            yield from schema.structural_causes(found, f"{here}.schema.openAPIV3Schema")
        yield from _column_causes(version.get("additionalPrinterColumns") or (), here)
        yield from _scale_causes(at(version, "subresources", "scale"), here)
        for index, field in enumerate(version.get("selectableFields") or ()):
            if not _SIMPLE_PATH.fullmatch(field["jsonPath"]):
                why = "must be a path of field names such as .spec.color"
                yield invalid_value(f"{here}.selectableFields[{index}].jsonPath", field["jsonPath"], why)


def _column_causes(columns: Iterable[Object], path: str) -> Iterable[Cause]:
    for place, column in enumerate(columns):
        here = f"{path}.additionalPrinterColumns[{place}]"
        if column["type"] not in _COLUMN_TYPES:
            yield unsupported(f"{here}.type", column["type"], _COLUMN_TYPES)
        try:
            jsonpath.compile(column["jsonPath"])
        except ValueError as error:
            yield invalid_value(f"{here}.jsonPath", column["jsonPath"], str(error))


def _scale_causes(scale: Object | None, path: str) -> Iterable[Cause]:
    for field, roots in (
        ("specReplicasPath", (".spec.",)),
        ("statusReplicasPath", (".status.",)),
        ("labelSelectorPath", (".status.", ".spec.")),
    ):
        found = (scale or {}).get(field)
        if found and not (_SIMPLE_PATH.fullmatch(found) and found.startswith(roots)):
            why = f"must be a path of field names below {' or '.join(root.strip('.') for root in roots)}"
            yield invalid_value(f"{path}.subresources.scale.{field}", found, why)
