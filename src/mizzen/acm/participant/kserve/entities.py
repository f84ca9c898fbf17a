"""What an element's properties ask for: InferenceServices, each with a name, a namespace and a payload.

The properties of the composition's definition are overlaid by the instance's, as Java's participant does; what it only
found out from Kubernetes, or never, is checked here, and everything that is wrong is told at once. Two forms are taken:
the list ``kserveInferenceEntities``, and, for one InferenceService, its four properties on the element itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson
from msgspec import Struct

from mizzen.acm.messages.concepts import Identifier
from mizzen.acm.participant.handler import Element
from mizzen.acm.participant.kserve.settings import Settings
from mizzen.apis.meta import ResourceDef
from mizzen.errors import MizzenError

LIST = "kserveInferenceEntities"
READY_TIMEOUT, STATUS_INTERVAL = "uninitializedToPassiveTimeout", "statusCheckInterval"

_ID, _NAME, _NAMESPACE, _PAYLOAD = FLAT = ("kserveInferenceEntityId", "name", "namespace", "payload")
# Of the four, those that mean nothing else on an element.
_TELLING = (_ID, _PAYLOAD)
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL.pattern}(\.{_LABEL.pattern})*")
# What the API writes itself and refuses or ignores from others: it is in every manifest that was read from a cluster.
_SERVER_SIDE = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink")

Key = tuple[str, str]  # namespace and name


class Problem(Struct, frozen=True):
    """One thing that is wrong with the properties: where, and what would be right."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class Invalid(MizzenError):
    """Properties from which nothing can be made."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


class Entity(Struct, frozen=True, kw_only=True):
    """One InferenceService that is wanted; the payload is complete, and names it as the entity does."""

    id: Identifier
    name: str
    namespace: str
    payload: dict[str, Any]

    @property
    def key(self) -> Key:
        return self.namespace, self.name

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Wanted(Struct, frozen=True, kw_only=True):
    """All that one element asks for.

    Attributes:
        ready_timeout, status_interval: seconds, for each entity.
    """

    entities: tuple[Entity, ...]
    ready_timeout: float
    status_interval: float

    @property
    def keys(self) -> frozenset[Key]:
        return frozenset(entity.key for entity in self.entities)


def effective(element: Element) -> dict[str, Any]:
    """The definition's properties with the instance's over them."""
    return {**element.composition_properties, **element.properties}


def parse(element: Element, settings: Settings) -> Wanted:
    """
    Raises:
        Invalid: with everything that is wrong.
    """
    properties = effective(element)
    problems: list[Problem] = []
    entities = []
    for path, entry in _entries(properties, problems):
        found = _entity(path, entry, settings, problems)
        if found is not None:
            entities.append(found)
    _unlike(entities, problems)
    wanted = Wanted(
        entities=tuple(entities),
        ready_timeout=_number(properties, READY_TIMEOUT, settings.ready_timeout, problems),
        status_interval=_number(properties, STATUS_INTERVAL, settings.status_interval, problems),
    )
    if problems:
        raise Invalid(problems)
    return wanted


def named(element: Element, settings: Settings) -> list[Key]:
    """Which InferenceServices the properties name, whatever else may be wrong with them."""
    found = []
    for path, entry in _entries(effective(element), []):
        if isinstance(entry, dict):
            name = _text(entry.get(_NAME), f"{path}{_NAME}", _SUBDOMAIN, [])
            namespace = _text(entry.get(_NAMESPACE) or settings.default_namespace, "", _LABEL, [])
            if name and namespace:
                found.append((namespace, name))
    return found


def milliseconds(element: Element, key: str) -> float | None:
    """A time-out that the instance sets for one kind of order, such as ``undeployTimeoutMs``, in seconds."""
    value = effective(element).get(key)
    number = _positive(value)
    return None if number is None else number / 1000


def _entries(properties: Mapping[str, Any], problems: list[Problem]) -> list[tuple[str, Any]]:
    """Each entity as it was written, with the path at which it stands."""
    listed = properties.get(LIST)
    telling = [key for key in _TELLING if properties.get(key) is not None]
    if listed is None:
        if telling or all(properties.get(key) is not None for key in (_NAME, _NAMESPACE)):
            return [("", {key: properties[key] for key in FLAT if key in properties})]
        problems.append(
            Problem(LIST, f"is required: a list of InferenceServices, each with {', '.join(FLAT)}; it may be empty")
        )
        return []
    if telling:
        text = f"stands beside {LIST}, which says the same: leave one of the two out"
        problems.extend(Problem(key, text) for key in telling)
    if not isinstance(listed, list):
        problems.append(Problem(LIST, f"must be a list, and is {_kind(listed)}"))
        return []
    return [(f"{LIST}[{place}].", entry) for place, entry in enumerate(listed)]


def _entity(path: str, entry: Any, settings: Settings, problems: list[Problem]) -> Entity | None:
    if not isinstance(entry, dict):
        problems.append(Problem(path.rstrip("."), f"must be an object with {', '.join(FLAT)}, and is {_kind(entry)}"))
        return None
    before = len(problems)
    identifier = _identifier(path, entry, problems)
    name = _text(entry.get(_NAME), path + _NAME, _SUBDOMAIN, problems)
    where = path + _NAMESPACE
    namespace = entry.get(_NAMESPACE)
    if namespace in (None, "") and settings.default_namespace:
        namespace = settings.default_namespace
    namespace = _text(namespace, where, _LABEL, problems)
    if namespace and not settings.allows(namespace):
        allowed = ", ".join(settings.namespaces)
        problems.append(Problem(where, f"{namespace} is not allowed here: it must be one of {allowed}"))
    payload = _payload(path + _PAYLOAD, entry.get(_PAYLOAD), problems)
    if payload is not None and name and namespace:
        payload = _filled(path + _PAYLOAD, payload, name, namespace, settings.resource, problems)
    if identifier is None or payload is None or len(problems) > before:
        return None
    return Entity(id=identifier, name=name, namespace=namespace, payload=payload)


def _identifier(path: str, entry: Mapping[str, Any], problems: list[Problem]) -> Identifier | None:
    value = entry.get(_ID)
    if value is None:
        hint = "; kserveEntityId is not its name" if "kserveEntityId" in entry else ""
        problems.append(Problem(path + _ID, f'is required: {{"name": ..., "version": ...}} or "name version"{hint}'))
        return None
    try:
        return Identifier.of(value)
    except ValueError:
        problems.append(Problem(path + _ID, 'must be {"name": ..., "version": ...} or "name version"'))
        return None


def _text(value: Any, path: str, form: re.Pattern[str], problems: list[Problem]) -> str:
    """A name that is also a part of a URL. Numbers and booleans become text, as they do in Java."""
    if value is None or value == "":
        problems.append(Problem(path, "is required"))
        return ""
    if isinstance(value, bool):
        value = str(value).lower()
    if not isinstance(value, (str, int, float)):
        problems.append(Problem(path, f"must be text, and is {_kind(value)}"))
        return ""
    text = str(value)
    if not form.fullmatch(text):
        dots = " and dots" if form is _SUBDOMAIN else ""
        problems.append(Problem(path, f"must be a name of small letters, digits, dashes{dots}"))
        return ""
    return text


def _payload(path: str, value: Any, problems: list[Problem]) -> dict[str, Any] | None:
    # What the payload says may be secret, so no message quotes it.
    if value is None or value == "":
        problems.append(Problem(path, "is required: the InferenceService, as an object or as text that holds its JSON"))
        return None
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            problems.append(Problem(path, f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"))
            return None
    if not isinstance(value, dict):
        problems.append(Problem(path, f"must be an InferenceService, and is {_kind(value)}"))
        return None
    try:
        orjson.dumps(value)
    except TypeError:
        text = "cannot be sent as JSON: it is nested too deep, or has a number beyond 64 bits or broken characters"
        problems.append(Problem(path, text))
        return None
    return value


def _filled(
    path: str, payload: dict[str, Any], name: str, namespace: str, resource: ResourceDef, problems: list[Problem]
) -> dict[str, Any]:
    """The payload with what the entity says of it. Where both say something, they must agree."""
    for key, right in (("apiVersion", resource.api_version), ("kind", resource.kind)):
        if payload.get(key) not in (None, right):
            problems.append(Problem(f"{path}.{key}", f"must be {right}"))
    metadata = payload.get("metadata")
    if not isinstance(metadata, (dict, type(None))):
        problems.append(Problem(f"{path}.metadata", f"must be an object, and is {_kind(metadata)}"))
        return payload
    metadata = metadata or {}
    for key, right in (("name", name), ("namespace", namespace)):
        if metadata.get(key) not in (None, "", right):
            what = f"is {metadata[key]!r}, but the entity's {key} is {right!r}: make them equal, or leave this one out"
            problems.append(Problem(f"{path}.metadata.{key}", what))
    for key in ("labels", "annotations"):
        if not isinstance(metadata.get(key), (dict, type(None))):
            problems.append(Problem(f"{path}.metadata.{key}", f"must be an object, and is {_kind(metadata[key])}"))
    if not isinstance(payload.get("spec"), dict):
        problems.append(Problem(f"{path}.spec", "is required: what is to be served"))
    kept = {key: value for key, value in metadata.items() if key not in (*_SERVER_SIDE, "generateName")}
    rest = {key: value for key, value in payload.items() if key not in ("apiVersion", "kind", "metadata", "status")}
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {**kept, "name": name, "namespace": namespace},
        **rest,
    }


def _unlike(entities: list[Entity], problems: list[Problem]) -> None:
    seen: set[Key] = set()
    for entity in entities:
        if entity.key in seen:
            problems.append(Problem(LIST, f"names {entity} more than once"))
        seen.add(entity.key)


def _number(properties: Mapping[str, Any], key: str, default: float, problems: list[Problem]) -> float:
    value = properties.get(key)
    if value is None:
        return default
    number = _positive(value)
    if number is None:
        problems.append(Problem(key, "must be a whole number of seconds, more than 0"))
        return default
    return float(number)


def _positive(value: Any) -> int | None:
    """A whole number above 0, or its text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        value = value.strip()
        if not re.fullmatch(r"[0-9]{1,15}", value):
            return None
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and value > 0 else None


def _kind(value: Any) -> str:
    """What a value is, in the words of JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "an object"
