"""What the environment says about fetching: numbers, switches, authorities, and KServe's storage spec.

A pod is told everything by variables, and most of them have the names that the cloud's own tools read. The storage spec
(``STORAGE_CONFIG``, in which KServe hands over a secret as JSON) is nothing but another spelling of them, so it is
translated once, before any provider looks (reference: the data plane, section 7.4).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mizzen.storage.errors import StorageError

STALL_SECONDS = "MIZZEN_STORAGE_STALL_SECONDS"
STORAGE_CONFIG = "STORAGE_CONFIG"
STORAGE_OVERRIDE_CONFIG = "STORAGE_OVERRIDE_CONFIG"

_DEFAULT_STALL = 30.0
# KServe's default for the mount point of its bundle of authorities.
_BUNDLE_FOLDER = "/etc/ssl/custom-certs"
_SPEC = {
    "endpoint_url": "AWS_ENDPOINT_URL",
    "access_key_id": "AWS_ACCESS_KEY_ID",
    "secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "region": "AWS_DEFAULT_REGION",
    "ca_bundle": "AWS_CA_BUNDLE",
    "verify_ssl": "S3_VERIFY_SSL",
    "anonymous": "awsAnonymousCredential",
}
# Variables whose values are never to be seen; the keys of the storage spec and of a connection string as well.
_SECRET_VARIABLES = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_CLIENT_SECRET",
    "AZ_CLIENT_SECRET",
    "AZURE_STORAGE_ACCESS_KEY",
    "GIT_PASSWORD",
    "HF_TOKEN",
)
_SHORTEST_SECRET = 4


def stall(environ: Mapping[str, str]) -> float:
    """The longest silence of a server that is accepted, in seconds."""
    return seconds(environ, STALL_SECONDS, _DEFAULT_STALL)


def seconds(environ: Mapping[str, str], variable: str, default: float) -> float:
    """A duration. Raises :class:`StorageError` for what is none."""
    text = environ.get(variable, "").strip()
    if not text:
        return default
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < 86400:
        raise StorageError(f"{variable} must be a number of seconds such as {default:g}, not {text!r}")
    return found


def number(environ: Mapping[str, str], variable: str, default: int, *, least: int = 0, meaning: str = "") -> int:
    """A whole number. Raises :class:`StorageError` for what is none, or less than ``least``."""
    text = environ.get(variable, "").strip()
    if not text:
        return default
    if not text.isdecimal() or int(text) < least:
        positive, hint = " above 0" if least else "", f" ({meaning})" if meaning else ""
        raise StorageError(f"{variable} must be a whole number{positive}{hint}, not {text!r}")
    return int(text)


def flag(environ: Mapping[str, str], variable: str, *, default: bool = False) -> bool:
    """A switch, as people write them: ``true`` and ``1``, ``false`` and ``0``, in any case.

    Raises:
        StorageError: it is neither. A switch that is misspelled must not count as the opposite of what was meant.
    """
    text = environ.get(variable, "").strip().lower()
    if not text:
        return default
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off"):
        return False
    raise StorageError(f"{variable} must be true or false, not {text!r}")


def bundles(environ: Mapping[str, str]) -> list[tuple[str, Path]]:
    """Files or folders of authorities that are trusted beside the system's, each with the variable that names it."""
    found = []
    if environ.get("CA_BUNDLE_CONFIGMAP_NAME") or environ.get("CA_BUNDLE_VOLUME_MOUNT_POINT"):
        folder = environ.get("CA_BUNDLE_VOLUME_MOUNT_POINT") or _BUNDLE_FOLDER
        found.append(("CA_BUNDLE_VOLUME_MOUNT_POINT", Path(folder) / "cabundle.crt"))
    if environ.get("REQUESTS_CA_BUNDLE"):
        found.append(("REQUESTS_CA_BUNDLE", Path(environ["REQUESTS_CA_BUNDLE"])))
    return found


def authorities(environ: Mapping[str, str], *first: str) -> str | None:
    """The one file of authorities for a library that takes no more than one; ``None`` leaves the choice to it.

    Args:
        first: variables of the library's own that come before those of :func:`bundles`.

    Raises:
        StorageError: the file that was chosen is not there. Without it every server would seem to be an impostor.
    """
    chosen = [(variable, Path(environ[variable])) for variable in first if environ.get(variable)]
    chosen += bundles(environ)
    if environ.get("SSL_CERT_FILE"):
        chosen.append(("SSL_CERT_FILE", Path(environ["SSL_CERT_FILE"])))
    for variable, file in chosen:
        if not file.exists():
            raise StorageError(f"cannot read the authorities in {file}, set by {variable}: there is no such file")
        return str(file)
    return None


def with_storage_spec(environ: Mapping[str, str], scheme: str) -> Mapping[str, str]:
    """``environ`` with what KServe's storage spec says for ``scheme``, under the variables' own names.

    Raises:
        StorageError: the spec is no JSON object. Nothing of it is shown: it holds credentials.
    """
    spec = _object(environ, STORAGE_CONFIG) | _object(environ, STORAGE_OVERRIDE_CONFIG)
    # KServe demands the type; a secret without one can only be meant for the address that it was given with.
    if scheme != "s3" or spec.get("type", "s3") != "s3":
        return environ
    return {**environ, **{variable: _text(spec[key]) for key, variable in _SPEC.items() if spec.get(key) is not None}}


def scrubbed(text: str, environ: Mapping[str, str]) -> str:
    """``text`` without the values of secret variables, for messages of libraries that quote what they were given."""
    for secret in sorted(_secrets(environ), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _secrets(environ: Mapping[str, str]) -> set[str]:
    found = {environ.get(variable, "").strip() for variable in _SECRET_VARIABLES}
    if any(environ.get(variable) for variable in (STORAGE_CONFIG, STORAGE_OVERRIDE_CONFIG)):
        try:
            found.add(with_storage_spec(environ, "s3").get("AWS_SECRET_ACCESS_KEY", ""))
        except StorageError:
            found |= {environ.get(STORAGE_CONFIG, ""), environ.get(STORAGE_OVERRIDE_CONFIG, "")}
    for part in environ.get("AZURE_STORAGE_CONNECTION_STRING", "").split(";"):
        name, _, value = part.partition("=")
        if name.strip().lower() in ("accountkey", "sharedaccesssignature"):
            found.add(value)
    return {secret for secret in found if len(secret) >= _SHORTEST_SECRET}


def _object(environ: Mapping[str, str], variable: str) -> dict[str, object]:
    text = environ.get(variable, "").strip()
    if not text:
        return {}
    import json  # few pods have one

    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise StorageError(f'{variable} must be a JSON object such as {{"type": "s3", "region": "eu-west-1"}}')
    return found


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
