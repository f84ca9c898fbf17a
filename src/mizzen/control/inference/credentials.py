"""As whom a model's storage is asked: what the Secrets of a pod's service account say, for its storage initializer.

A Secret is told by its keys: S3, Google, Azure, a web server or Hugging Face. Its values reach the initializer as
variables that refer to the Secret, so that no pod's manifest holds one. Source: reference of the KServe control plane,
section 3.8, path B.
"""

from __future__ import annotations

import base64
import binascii
import posixpath
from collections.abc import Iterable, Iterator

import msgspec

from mizzen.apis.core import SECRET, SERVICE_ACCOUNT
from mizzen.apis.meta import Mapping
from mizzen.control.inference.config import Config, S3Credentials
from mizzen.errors import MizzenError
from mizzen.kube.admission import Reader

_ROLE_ANNOTATION = "eks.amazonaws.com/role-arn"
_KEY_ID, _SECRET_KEY = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
# The names that Secrets have for the two where the config map does not say: KServe's shipped one's, then its code's.
_KEY_ID_NAMES, _SECRET_KEY_NAMES = (_KEY_ID, "awsAccessKeyID"), (_SECRET_KEY, "awsSecretAccessKey")

# How S3 is to be asked: the variable, the annotation of the Secret or the account, and the config map's field.
_TUNING = (
    ("S3_VERIFY_SSL", "s3-verifyssl", "verify_ssl"),
    ("awsAnonymousCredential", "s3-useanoncredential", "use_anonymous_credential"),
    ("AWS_DEFAULT_REGION", "s3-region", "region"),
    ("S3_USER_VIRTUAL_BUCKET", "s3-usevirtualbucket", "use_virtual_bucket"),
    ("S3_USE_ACCELERATE", "s3-useaccelerate", "use_accelerate"),
    ("AWS_CA_BUNDLE", "s3-cabundle", "ca_bundle"),
    ("AWS_CA_BUNDLE_CONFIGMAP", "s3-cabundle-configmap", "ca_bundle_config_map"),
)
_AUTHORITIES = "/etc/ssl/custom-certs"
_AUTHORITIES_VOLUME = "cabundle-cert"

_GOOGLE_FOLDER = "/var/secrets/"
_GOOGLE_VOLUME = "user-gcp-sa"

_AZURE_MARKS = ("AZ_CLIENT_ID", "AZURE_CLIENT_ID", "AZURE_ACCESS_TOKEN")
_AZURE_KEY = "AZURE_STORAGE_ACCESS_KEY"
_AZURE = (
    "AZURE_SUBSCRIPTION_ID",
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    _AZURE_KEY,
    "AZURE_ACCESS_TOKEN",
    "AZURE_ACCESS_EXPIRES_ON_SECONDS",
    "AZURE_ACCOUNT_NAME",
    "AZURE_SERVICE_URL",
)
_OLD_AZURE = {f"AZURE_{rest}": f"AZ_{rest}" for rest in ("SUBSCRIPTION_ID", "TENANT_ID", "CLIENT_ID", "CLIENT_SECRET")}


class CredentialsError(MizzenError):
    """A Secret that was named and is not there, or cannot be meant."""


class Credentials(msgspec.Struct, kw_only=True):
    """What an initializer is given: variables by their names, volumes of the pod, and where they are mounted."""

    env: dict[str, Mapping] = {}
    volumes: list[Mapping] = []
    mounts: list[Mapping] = []


def credentials(pod: Mapping, namespace: str, config: Config, reader: Reader) -> Credentials:
    """What the pod's service account grants. A service account or a Secret of it that is not there grants nothing.

    Raises:
        CredentialsError: the pod's annotation names a Secret that is not there.
    """
    found = Credentials()
    account = (pod.get("spec") or {}).get("serviceAccountName") or "default"
    held = reader.get(SERVICE_ACCOUNT, account, namespace)
    annotation = config.credentials.storage_secret_name_annotation
    named = ((pod.get("metadata") or {}).get("annotations") or {}).get(annotation)
    if held is not None and _ROLE_ANNOTATION in _annotations(held):
        found.env |= _by_name(_tuning(held, config.credentials.s3))
    if named:
        secret = reader.get(SECRET, named, namespace)
        if secret is None:
            raise CredentialsError(
                f"metadata.annotations[{annotation}] names the Secret {named!r}, and there is none in {namespace}"
            )
        _take(secret, config, found)
        return _with_authorities(found)
    for entry in (held or {}).get("secrets") or ():
        secret = reader.get(SECRET, entry.get("name") or "", namespace)
        if secret is not None:
            _take(secret, config, found)
    return _with_authorities(found)


def _take(secret: Mapping, config: Config, found: Credentials) -> None:
    """Add what one Secret is for: the first kind that its keys fit."""
    data = secret.get("data") or {}
    s3, google = config.credentials.s3, config.credentials.gcs.credential_file_name
    if key := _first(data, [s3.secret_access_key_name] if s3.secret_access_key_name else _SECRET_KEY_NAMES):
        names = [s3.access_key_id_name] if s3.access_key_id_name else _KEY_ID_NAMES
        found.env[_KEY_ID] = _reference(secret, _KEY_ID, _first(data, names) or names[0])
        found.env[_SECRET_KEY] = _reference(secret, _SECRET_KEY, key)
        found.env |= _by_name(_tuning(secret, s3))
    elif google in data:
        volume: Mapping = {"name": _GOOGLE_VOLUME, "secret": {"secretName": secret["metadata"]["name"]}}
        if volume not in found.volumes:
            found.volumes = [*(one for one in found.volumes if one["name"] != _GOOGLE_VOLUME), volume]
            mount = {"name": _GOOGLE_VOLUME, "mountPath": _GOOGLE_FOLDER, "readOnly": True}
            found.mounts = [*(one for one in found.mounts if one["name"] != _GOOGLE_VOLUME), mount]
        found.env |= _by_name([_variable("GOOGLE_APPLICATION_CREDENTIALS", _GOOGLE_FOLDER + google)])
    elif any(mark in data for mark in _AZURE_MARKS):
        for variable in _AZURE:
            if key := _first(data, (_OLD_AZURE.get(variable, variable), variable)):
                found.env[variable] = _reference(secret, variable, key)
    elif _AZURE_KEY in data:
        found.env[_AZURE_KEY] = _reference(secret, _AZURE_KEY, _AZURE_KEY)
    elif "https-host" in data and "headers" in data:
        variable = f"{_text(secret, 'https-host')}-headers"
        found.env[variable] = _reference(secret, variable, "headers")
    elif "HF_TOKEN" in data:
        found.env["HF_TOKEN"] = _reference(secret, "HF_TOKEN", "HF_TOKEN")


def _tuning(source: Mapping, s3: S3Credentials) -> Iterator[Mapping]:
    """How S3 is to be asked: as annotations of a Secret or a service account say, else the Secret, else the config."""
    endpoint = _told(source, "S3_ENDPOINT", "s3-endpoint", s3.endpoint) or _told(source, "AWS_ENDPOINT_URL", "", "")
    if endpoint:
        secure = _told(source, "S3_USE_HTTPS", "s3-usehttps", s3.use_https) != "0"
        scheme, separator, host = endpoint.rpartition("://")
        if separator:
            secure = scheme.lower() != "http"
        yield _variable("S3_ENDPOINT", host)
        yield _variable("S3_USE_HTTPS", "1" if secure else "0")
        yield _variable("AWS_ENDPOINT_URL", f"{'https' if secure else 'http'}://{host}")
    for variable, annotation, field in _TUNING:
        value = _told(source, variable, annotation, getattr(s3, field))
        if value:
            yield _variable(variable, value)


def _with_authorities(found: Credentials) -> Credentials:
    """Mount the config map of authorities that S3 is to be trusted by, if one is named."""
    name = found.env.get("AWS_CA_BUNDLE_CONFIGMAP", {}).get("value")
    if not name:
        return found
    file = found.env.get("AWS_CA_BUNDLE", {}).get("value")
    folder = posixpath.dirname(file) if file else _AUTHORITIES
    found.env |= _by_name(
        [_variable("CA_BUNDLE_CONFIGMAP_NAME", name), _variable("CA_BUNDLE_VOLUME_MOUNT_POINT", folder)]
    )
    found.volumes = [*found.volumes, {"name": _AUTHORITIES_VOLUME, "configMap": {"name": name}}]
    found.mounts = [*found.mounts, {"name": _AUTHORITIES_VOLUME, "mountPath": folder, "readOnly": True}]
    return found


def _told(source: Mapping, key: str, annotation: str, default: str) -> str:
    annotated = _annotations(source).get(f"serving.kserve.io/{annotation}") if annotation else None
    if annotated is not None:
        return str(annotated)
    return _text(source, key) if key in (source.get("data") or {}) else default


def _text(secret: Mapping, key: str) -> str:
    """The text of a key that is no secret itself, such as a host.

    Raises:
        CredentialsError: it is no text.
    """
    try:
        return base64.b64decode(secret["data"][key] or "", validate=True).decode().strip()
    except (binascii.Error, ValueError) as error:
        raise CredentialsError(f"Secret {secret['metadata']['name']!r}, key {key}: it is no text ({error})") from None


def _annotations(source: Mapping) -> Mapping:
    return (source.get("metadata") or {}).get("annotations") or {}


def _first(data: Mapping, names: Iterable[str]) -> str:
    return next((name for name in names if name in data), "")


def _variable(name: str, value: str) -> Mapping:
    return {"name": name, "value": value}


def _reference(secret: Mapping, variable: str, key: str) -> Mapping:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret["metadata"]["name"], "key": key}}}


def _by_name(variables: Iterable[Mapping]) -> dict[str, Mapping]:
    return {variable["name"]: variable for variable in variables}
