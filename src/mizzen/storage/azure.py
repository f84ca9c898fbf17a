"""Models in Azure Blob Storage: ``https://<account>.blob.core.windows.net/<container>/<path>``.

The library is Azure's, for its ways to authenticate: a shared access signature in the address, a connection string, a
service principal, the account's key, or nothing. Its own attempts are turned off, so that there is one rule. Azurite,
the emulator, is reached by its connection string, or by its own addresses, which have its account in their path.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from mizzen.storage.delivery import deliver
from mizzen.storage.errors import StorageError, TransientError
from mizzen.storage.extras import required
from mizzen.storage.failures import Failures
from mizzen.storage.hosts import AZURITE_ACCOUNT, CONNECTION_STRING, account_of, connection_string
from mizzen.storage.objects import Object, model_at
from mizzen.storage.provider import Fetched, Order
from mizzen.storage.settings import authorities, number, stall
from mizzen.storage.source import Changed, Remote, Source
from mizzen.storage.uris import one_line, parts_of

# How much the library holds in memory for each connection.
_CHUNK = 4 << 20
_CONNECT_SECONDS = 10.0
# It is the same for every Azurite, and in its documentation.
_AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_BAD_CREDENTIALS = frozenset({"AuthenticationFailed", "InvalidAuthenticationInfo", "NoAuthenticationInformation"})
_FAILURES = Failures(
    "Azure",
    "AZURE_TENANT_ID with AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, from AZURE_STORAGE_ACCESS_KEY, from "
    f"{CONNECTION_STRING} or from a signature in the address",
)


def fetch(order: Order) -> Fetched:
    """Download the blob or all blobs below the path; an archive that is alone is unpacked."""
    return deliver(_Azure(_place_of(order.uri, order.environ), order.environ), order)


class _Place(NamedTuple):
    """Where the container is, and the path in it; ``signature`` is the address's own credential, or empty."""

    account: str
    endpoint: str
    container: str
    path: str
    signature: str


def _place_of(uri: str, environ: Mapping[str, str]) -> _Place:
    parts = parts_of(uri)
    given = connection_string(environ)
    endpoint = given.get("blobendpoint", "").rstrip("/")
    account = account_of(parts.hostname or "")
    if endpoint and uri.startswith(f"{endpoint}/"):
        account, path = given.get("accountname", ""), parts_of(uri).path.removeprefix(parts_of(endpoint).path)
    elif account:
        path = parts.path
        # A connection string for this account says where it really is: at an emulator's address, perhaps.
        endpoint = endpoint if account == given.get("accountname") else f"{parts.scheme}://{parts.netloc}"
    else:
        account, path = AZURITE_ACCOUNT, parts.path.removeprefix(f"/{AZURITE_ACCOUNT}")
        endpoint = f"{parts.scheme}://{parts.netloc}/{AZURITE_ACCOUNT}"
    container, _, path = path.lstrip("/").partition("/")
    if not container:
        raise StorageError(
            "the address names no container: it is written https://ACCOUNT.blob.core.windows.net/CONTAINER/PATH"
        )
    return _Place(account, endpoint, container, unquote(path), parts.query if "sig=" in parts.query else "")


class _Azure(Source):
    def __init__(self, place: _Place, environ: Mapping[str, str]) -> None:
        required("azure", "Azure Blob Storage", "azure.storage.blob", "azure.identity")
        from azure.storage.blob import ContainerClient

        self._place = place
        self.files_at_once = number(environ, "AZURE_MAX_FILE_CONCURRENCY", 4, least=1)
        self.parts_at_once = number(environ, "AZURE_MAX_CHUNK_CONCURRENCY", 4, least=1)
        self.identity = f"azure {place.endpoint} {place.container} {place.path}"
        self.label = f"{place.container}/{place.path}"
        credential = _credential(place, environ)
        self._anonymous = credential is None
        try:
            self._container = ContainerClient(
                place.endpoint,
                place.container,
                credential=credential,
                retry_total=0,
                connection_timeout=_CONNECT_SECONDS,
                read_timeout=stall(environ),
                connection_verify=authorities(environ) or True,
                max_single_get_size=_CHUNK,
                max_chunk_get_size=_CHUNK,
            )
        except ValueError as error:
            raise _FAILURES.other(one_line(str(error))) from None

    def list(self, known: Sequence[Remote], scratch: Path) -> list[Remote]:
        return model_at(self._place.path, self._under, self._exactly)

    def read(self, remote: Remote, start: int, stop: int | None) -> Iterator[bytes]:
        if stop is not None and stop <= start:
            return
        from azure.core import MatchConditions

        length = None if stop is None else stop - start
        with self._translated(remote.key):
            blob = self._container.get_blob_client(remote.key)
            found = blob.download_blob(
                offset=start,
                length=length,
                etag=remote.version,
                match_condition=MatchConditions.IfNotModified,
                decompress=False,
            )
            yield from found.chunks()

    def close(self) -> None:
        self._container.close()

    def _under(self, prefix: str) -> Iterator[Object]:
        with self._translated(""):
            for found in self._container.list_blobs(name_starts_with=prefix or None, include=["metadata"]):
                # Accounts with a hierarchy list folders as empty blobs.
                if (found.metadata or {}).get("hdi_isfolder") != "true":
                    yield _object(found)

    def _exactly(self, key: str) -> Object | None:
        from azure.core.exceptions import HttpResponseError

        try:
            with self._reaching(key):
                found = self._container.get_blob_client(key).get_blob_properties()
        except HttpResponseError as error:
            # The answer to a HEAD has no words. If something is wrong, the list says so.
            if (error.status_code or 0) >= 500:
                raise self._refused(error, key) from None
            return None
        return None if (found.metadata or {}).get("hdi_isfolder") == "true" else _object(found)

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        from azure.core.exceptions import HttpResponseError

        try:
            with self._reaching(key):
                yield
        except HttpResponseError as error:
            raise self._refused(error, key) from None

    @contextmanager
    def _reaching(self, key: str) -> Iterator[None]:
        """Turn what the library raises, but for refusals of the service, into sentences."""
        from azure.core import exceptions as azure

        try:
            yield
        except azure.ServiceRequestTimeoutError:
            raise _FAILURES.unreachable(self._place.endpoint, "it does not answer") from None
        except azure.ServiceResponseTimeoutError:
            raise TransientError(f"Azure endpoint '{self._place.endpoint}' stopped answering") from None
        except azure.ServiceRequestError as error:
            why = "its certificate is not trusted" if "CERTIFICATE_VERIFY_FAILED" in str(error) else ""
            raise _FAILURES.unreachable(self._place.endpoint, why) from None
        except (azure.ServiceResponseError, azure.IncompleteReadError, azure.StreamClosedError):
            raise TransientError(f"the transfer of {key or self._place.container} was cut off") from None
        except azure.HttpResponseError as error:
            if error.status_code is None and isinstance(error, azure.ClientAuthenticationError):
                raise _FAILURES.authentication("the service principal was not accepted") from None
            if error.status_code in (200, 206):
                raise TransientError(f"the transfer of {key or self._place.container} was cut off") from None
            raise
        except azure.AzureError as error:
            raise _FAILURES.other(type(error).__name__) from None

    def _refused(self, error: Any, key: str) -> StorageError:
        code, status = str(getattr(error.error_code, "value", error.error_code) or ""), error.status_code or 0
        what = f"{self._place.container}/{key}" if key else self._place.container
        if code in _BAD_CREDENTIALS or (status == 401 and not self._anonymous):
            return _FAILURES.authentication(code)
        if status in (412, 416):
            return Changed(f"{what} changed while it was downloaded")
        if status in (401, 403) or code == "PublicAccessNotPermitted":
            return _FAILURES.denied(what, anonymous=self._anonymous)
        if status == 404:
            # Azure does not tell strangers whether something exists.
            return _FAILURES.not_found(what, "It was asked for without credentials" if self._anonymous else "")
        if status >= 500 or status in (408, 429):
            return _FAILURES.busy(f"{status} {code}".strip())
        return _FAILURES.other(f"{status} {code}".strip())


def _object(found: Any) -> Object:
    sum_of_all = found.content_settings.content_md5
    return Object(found.name, int(found.size), str(found.etag), f"md5:{bytes(sum_of_all).hex()}" if sum_of_all else "")


def _credential(place: _Place, environ: Mapping[str, str]) -> Any:
    """What to show, in the order in which the more particular comes first; ``None`` to ask as a stranger."""
    from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

    given = connection_string(environ)
    if place.signature:
        return AzureSasCredential(place.signature)
    if given and given.get("accountname", place.account) == place.account:
        if given.get("sharedaccesssignature"):
            return AzureSasCredential(given["sharedaccesssignature"])
        if given.get("accountkey"):
            return AzureNamedKeyCredential(place.account, given["accountkey"])
    names = ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET")
    tenant, client, secret = (environ.get(f"AZURE_{name}") or environ.get(f"AZ_{name}") for name in names)
    if tenant and client and secret:
        from azure.identity import ClientSecretCredential

        authority = environ.get("AZURE_AUTHORITY_HOST") or "https://login.microsoftonline.com"
        return ClientSecretCredential(
            tenant,
            client,
            secret,
            authority=authority,
            # An authority of one's own is not among those that Microsoft vouches for.
            disable_instance_discovery="microsoftonline" not in authority,
            connection_verify=authorities(environ) or True,
            retry_total=0,
        )
    key = environ.get("AZURE_STORAGE_ACCESS_KEY") or (_AZURITE_KEY if place.account == AZURITE_ACCOUNT else "")
    return AzureNamedKeyCredential(place.account, key) if key else None
