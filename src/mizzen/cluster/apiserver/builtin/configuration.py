"""ConfigMaps and Secrets: data that pods read, frozen on request."""

from __future__ import annotations

import base64
import binascii
import re

from mizzen.apis.meta import ResourceDef
from mizzen.cluster.apiserver.resources import Column, Object, Resource, fill, text_at
from mizzen.cluster.apiserver.table import AGE
from mizzen.kube.errors import Cause, bad_request, forbidden_field, invalid_value, required

CONFIG_MAP = ResourceDef(group="", version="v1", kind="ConfigMap", plural="configmaps", short_names=("cm",))
SECRET = ResourceDef(group="", version="v1", kind="Secret", plural="secrets")

_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_LIMIT = 1024 * 1024
# Keys that a type of Secret is no use without.
_DEMANDED = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


class ConfigMaps(Resource):
    definition = CONFIG_MAP

    def default(self, value: Object) -> None:
        _check_base64(value, "binaryData")

    def validate(self, value: Object) -> list[Cause]:
        causes = _key_causes(value, "data") + _key_causes(value, "binaryData")
        for key in (value.get("data") or {}).keys() & (value.get("binaryData") or {}).keys():
            causes.append(invalid_value(f"data[{key}]", key, "duplicate of key present in binaryData"))
        return causes + _size_causes(value, "data", "binaryData")

    def validate_update(self, value: Object, old: Object, subresource: str) -> list[Cause]:
        return _frozen_causes(value, old, "data", "binaryData")

    columns = (
        Column(
            "Data",
            lambda value, now: len(value.get("data") or ()) + len(value.get("binaryData") or ()),
            "integer",
            description="How many keys it holds.",
        ),
        AGE,
    )


class Secrets(Resource):
    definition = SECRET
    selectable = {"type": text_at("type")}  # noqa: RUF012

    def default(self, value: Object) -> None:
        fill(value, type="Opaque")
        _check_base64(value, "data")
        plain = value.pop("stringData", None)
        if plain:
            encoded = {key: base64.b64encode(text.encode()).decode() for key, text in plain.items()}
            value["data"] = {**(value.get("data") or {}), **encoded}

    def validate(self, value: Object) -> list[Cause]:
        causes = _key_causes(value, "data") + _size_causes(value, "data")
        for key in _DEMANDED.get(value["type"], ()):
            if key not in (value.get("data") or {}):
                causes.append(required(f"data[{key}]"))
        return causes

    def validate_update(self, value: Object, old: Object, subresource: str) -> list[Cause]:
        causes = _frozen_causes(value, old, "data")
        if value["type"] != old["type"]:
            causes.append(invalid_value("type", value["type"], "field is immutable"))
        return causes

    columns = (
        Column("Type", lambda value, now: value.get("type", ""), description="What the data is for."),
        Column(
            "Data", lambda value, now: len(value.get("data") or ()), "integer", description="How many keys it holds."
        ),
        AGE,
    )


def _check_base64(value: Object, field: str) -> None:
    for key, text in (value.get(field) or {}).items():
        try:
            base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise bad_request(
                f"{field}.{key}: illegal base64 data; plain text belongs under stringData or data"
            ) from None


def _key_causes(value: Object, field: str) -> list[Cause]:
    why = "a key consists of at most 253 letters, digits, '-', '_' and '.'"
    keys = value.get(field) or ()
    return [invalid_value(f"{field}[{key}]", key, why) for key in keys if not _KEY.fullmatch(key) or key in (".", "..")]


def _size_causes(value: Object, *fields: str) -> list[Cause]:
    total = sum(len(text) for field in fields for text in (value.get(field) or {}).values())
    return [Cause("FieldValueTooLong", "", f"Too long: may not be more than {_LIMIT} bytes")] if total > _LIMIT else []


def _frozen_causes(value: Object, old: Object, *fields: str) -> list[Cause]:
    if not old.get("immutable"):
        return []
    why = "field is immutable when `immutable` is set"
    changed = [field for field in fields if (value.get(field) or {}) != (old.get(field) or {})]
    return [
        forbidden_field(field, why) for field in ((*changed,) if value.get("immutable") else (*changed, "immutable"))
    ]
