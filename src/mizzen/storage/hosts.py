"""Which service is behind an ``http(s)`` address, when it is not simply a web server with a file.

KServe goes by the host for Azure, and takes every ``https`` address for a repository in which ``.git`` occurs anywhere
after its first letter, ``raw.githubusercontent.com`` included. Here the path has to end in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from mizzen.storage.uris import parts_of

Service = Literal["web", "azure", "azure files", "git"]

CONNECTION_STRING = "AZURE_STORAGE_CONNECTION_STRING"
# The account of every Azurite, the emulator; its addresses have the account in the path.
AZURITE_ACCOUNT = "devstoreaccount1"

_AZURE = re.compile(r"\.(blob|file)\.core\.windows\.net$|\.z\d{1,2}\.(blob|file)\.storage\.azure\.net$")
_AZURITE = "http://127.0.0.1:10000/devstoreaccount1"


def service_of(uri: str, environ: Mapping[str, str]) -> Service:
    """Who serves what ``uri`` names. Raises :class:`StorageError` if it has no host."""
    parts = parts_of(uri)
    if found := _AZURE.search(parts.hostname or ""):
        return "azure" if "blob" in found[0] else "azure files"
    if parts.path.startswith(f"/{AZURITE_ACCOUNT}/"):
        return "azure"
    endpoint = connection_string(environ).get("blobendpoint", "").rstrip("/")
    if endpoint and uri.startswith(f"{endpoint}/"):
        return "azure"
    return "git" if parts.path.rstrip("/").endswith(".git") else "web"


def connection_string(environ: Mapping[str, str]) -> dict[str, str]:
    """The parts of Azure's connection string, their names in lower case; empty if none is set."""
    pairs = (part.partition("=") for part in environ.get(CONNECTION_STRING, "").split(";"))
    found = {name.strip().lower(): value.strip() for name, _, value in pairs if value}
    if found.get("usedevelopmentstorage", "").lower() == "true":
        found |= {"blobendpoint": _AZURITE, "accountname": AZURITE_ACCOUNT}
    if "accountname" in found and "blobendpoint" not in found:
        suffix = found.get("endpointsuffix", "core.windows.net")
        found["blobendpoint"] = (
            f"{found.get('defaultendpointsprotocol', 'https')}://{found['accountname']}.blob.{suffix}"
        )
    return found


def account_of(host: str) -> str:
    """The account that a host of Azure's names, or empty."""
    return host.partition(".")[0] if _AZURE.search(host) else ""
