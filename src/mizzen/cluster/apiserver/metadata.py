"""``metadata``: what every object has, what the server alone decides about it, and what is refused.

Names, labels and annotations follow the rules of the Kubernetes API (reference, section 5). Identity and history (uid,
creation, deletion, generation, managed fields) belong to the server; what a client sends there is dropped or must
equal what is stored.
"""

from __future__ import annotations

import random
import re
import uuid
from functools import cache
from typing import Any

from mizzen.apis.schema import Node, definition
from mizzen.cluster.apiserver.resources import NameRule, Object, Resource
from mizzen.kube.errors import Cause, bad_request, duplicate, forbidden_field, invalid_value, required

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SERVICE = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_ANNOTATIONS_LIMIT = 256 * 1024
_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_LENGTH = 5
_LONGEST_BASE = 63 - _SUFFIX_LENGTH

# What a client may send and the server never takes from it.
_SERVERS_OWN = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink")

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


@cache
def node() -> Node:
    """The schema of ``metadata``, the same for built-in and custom kinds."""
    return definition("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")


def metadata_of(value: Object) -> dict[str, Any]:
    """The metadata of an object, made if it is absent. Raises 400 if it is no mapping."""
    found = value.get("metadata")
    if found is None:
        found = value["metadata"] = {}
    if not isinstance(found, dict):
        raise bad_request(f"metadata must be an object with fields such as name and labels, not {_kind_of(found)}")
    return found


def settle_type(value: Object, resource: Resource) -> None:
    """Fill in apiVersion and kind from the path, and put them first. Raises 400 if the body is of another type."""
    wanted = resource.definition
    api_version, kind = value.get("apiVersion") or wanted.api_version, value.get("kind") or wanted.kind
    if api_version != wanted.api_version or kind != wanted.kind:
        raise bad_request(
            f"the object is of type {api_version}, Kind={kind}, but the request path is for"
            f" {wanted.api_version}, Kind={wanted.kind}"
        )
    value["apiVersion"], value["kind"] = wanted.api_version, wanted.kind


def settle_place(metadata: dict[str, Any], resource: Resource, namespace: str, name: str = "") -> None:
    """Make namespace and name those of the URL. Raises 400 if the body says otherwise."""
    given = metadata.get("namespace") or ""
    if resource.definition.namespaced:
        if given and given != namespace:
            raise bad_request(
                f"the namespace of the provided object does not match the namespace sent on the request"
                f' (object: "{given}", request: "{namespace}")'
            )
        metadata["namespace"] = namespace
    else:
        metadata.pop("namespace", None)
    if name:
        given = metadata.get("name") or name
        if given != name:
            raise bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")
        metadata["name"] = name


def begin(metadata: dict[str, Any], resource: Resource, now: str) -> None:
    """Give a new object its identity."""
    if metadata.get("resourceVersion"):
        raise bad_request("resourceVersion should not be set on objects to be created")
    for field in (*_SERVERS_OWN, "resourceVersion"):
        metadata.pop(field, None)
    if not metadata.get("name") and metadata.get("generateName"):
        draw_name(metadata)
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = now
    if resource.counts_generation:
        metadata["generation"] = 1


def draw_name(metadata: dict[str, Any]) -> None:
    """Make a name from ``generateName`` and a random suffix."""
    base = metadata["generateName"][:_LONGEST_BASE]
    metadata["name"] = base + "".join(random.choices(_SUFFIX_ALPHABET, k=_SUFFIX_LENGTH))


def carry_over(metadata: dict[str, Any], old: dict[str, Any]) -> None:
    """Keep what an update cannot change. The caller has already checked uid and resourceVersion."""
    for field in (*_SERVERS_OWN, "resourceVersion"):
        if field in old:
            metadata[field] = old[field]
        else:
            metadata.pop(field, None)
    # generateName only says how the name came about; clients often leave it out when they write the object back.
    if "generateName" in old:
        metadata.setdefault("generateName", old["generateName"])


def is_ending(metadata: dict[str, Any]) -> bool:
    """Whether an object is being deleted."""
    return bool(metadata.get("deletionTimestamp"))


def causes(metadata: dict[str, Any], resource: Resource) -> list[Cause]:
    """What is wrong with an object's metadata, apart from types, which its schema has checked."""
    found = name_causes(metadata, resource.name_rule)
    for key, value in (metadata.get("labels") or {}).items():
        found += _key_causes("metadata.labels", key)
        if value and (len(value) > 63 or not _QUALIFIED.fullmatch(value)):
            why = (
                "a label value is empty or at most 63 letters, digits, '-', '_' and '.', and begins and ends with"
                " a letter or digit"
            )
            found.append(invalid_value("metadata.labels", value, why))
    total = 0
    for key, value in (metadata.get("annotations") or {}).items():
        found += _key_causes("metadata.annotations", key)
        total += len(key) + len(value)
    if total > _ANNOTATIONS_LIMIT:
        text = f"Too long: may not be more than {_ANNOTATIONS_LIMIT} bytes"
        found.append(Cause("FieldValueTooLong", "metadata.annotations", text))
    for place, finalizer in enumerate(metadata.get("finalizers") or ()):
        found += _key_causes(f"metadata.finalizers[{place}]", finalizer)
    if {FOREGROUND, ORPHAN} <= set(metadata.get("finalizers") or ()):
        why = f'finalizer "{ORPHAN}" and "{FOREGROUND}" cannot be both set'
        found.append(invalid_value("metadata.finalizers", metadata["finalizers"], why))
    return found + _owner_causes(metadata.get("ownerReferences") or ())


def update_causes(metadata: dict[str, Any], old: dict[str, Any]) -> list[Cause]:
    """What may not change from ``old`` to ``metadata``."""
    if not is_ending(old):
        return []
    new = [f for f in metadata.get("finalizers") or () if f not in (old.get("finalizers") or ())]
    if not new:
        return []
    why = f"no new finalizers can be added if the object is being deleted, found new finalizers {new}"
    return [forbidden_field("metadata.finalizers", why)]


def name_causes(metadata: dict[str, Any], rule: NameRule) -> list[Cause]:
    """What is wrong with a name by the rule of its kind."""
    name = metadata.get("name")
    if not name:
        return [required("metadata.name", "name or generateName is required")]
    if rule == "path":
        if name in (".", "..") or "/" in name or "%" in name:
            return [invalid_value("metadata.name", name, "may not be '.' or '..' and may not contain '/' or '%'")]
        return []
    pattern, limit, why = {
        "label": (_LABEL, 63, "letters, digits and '-', begins and ends with a letter or digit"),
        "service": (_SERVICE, 63, "letters, digits and '-', begins with a letter and ends with a letter or digit"),
        "subdomain": (_SUBDOMAIN, 253, "letters, digits, '-' and '.', begins and ends with a letter or digit"),
    }[rule]
    found = []
    if len(name) > limit:
        found.append(Cause("FieldValueTooLong", "metadata.name", f"Too long: may not be more than {limit} bytes"))
    if not pattern.fullmatch(name):
        found.append(invalid_value("metadata.name", name, f"a name here consists of lower-case {why}"))
    return found


def _key_causes(field: str, key: str) -> list[Cause]:
    prefix, slash, name = key.rpartition("/")
    if len(name) <= 63 and _QUALIFIED.fullmatch(name):
        if not slash or (len(prefix) <= 253 and _SUBDOMAIN.fullmatch(prefix.lower())):
            return []
        return [invalid_value(field, key, "the part before '/' must be a lower-case DNS name")]
    why = (
        "a key is an optional DNS name and '/', then a name of at most 63 letters, digits, '-', '_' and '.' that begins"
        " and ends with a letter or digit"
    )
    return [invalid_value(field, key, why)]


def _owner_causes(references: Any) -> list[Cause]:
    found: list[Cause] = []
    controllers = 0
    seen: set[str] = set()
    for place, reference in enumerate(references):
        field = f"metadata.ownerReferences[{place}]"
        for name in ("apiVersion", "kind", "name", "uid"):
            if not reference.get(name):
                found.append(required(f"{field}.{name}"))
        uid = reference.get("uid") or ""
        if uid and uid in seen:
            found.append(duplicate(f"{field}.uid", uid))
        seen.add(uid)
        controllers += bool(reference.get("controller"))
    if controllers > 1:
        why = "only one reference can have controller set to true"
        found.append(invalid_value("metadata.ownerReferences", controllers, why))
    return found


def _kind_of(value: Any) -> str:
    return {str: "a string", list: "a list", bool: "a boolean", int: "a number", float: "a number"}.get(
        type(value), "null"
    )
