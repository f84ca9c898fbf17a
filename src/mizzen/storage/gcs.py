"""Models in Google Cloud Storage: ``gs://bucket/path``.

Two requests of its JSON interface are all that is needed, so of Google's libraries only the one for credentials is
used. (The client library brings protobuf's runtime along, whose versions quarrel with those of TensorFlow.) What
everybody may read needs none at all, and emulators do not either.

Credentials that were given are shown at once. Without any, what everybody may read is had without them, and only a
refusal makes us look for those of the machine, which takes seconds where there are none.
"""

from __future__ import annotations

import base64
import binascii
import threading
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from mizzen.storage.connection import Connector
from mizzen.storage.delivery import deliver
from mizzen.storage.errors import StorageError, TransientError
from mizzen.storage.extras import required
from mizzen.storage.failures import Failures
from mizzen.storage.objects import Object, Place, model_at, place_of
from mizzen.storage.provider import Fetched, Order
from mizzen.storage.rest import answer, byte_range, part, refused
from mizzen.storage.settings import authorities, stall
from mizzen.storage.source import Remote, Source

_SERVICE = "https://storage.googleapis.com"
_SCOPES = ("https://www.googleapis.com/auth/devstorage.read_only",)
_FIELDS = "items(name,size,generation,md5Hash,crc32c,contentEncoding),nextPageToken"
_FAILURES = Failures("GCS", "the file that GOOGLE_APPLICATION_CREDENTIALS names, or wherever Google's tools look")


def fetch(order: Order) -> Fetched:
    """Download the object or all objects below the path; an archive that is alone is unpacked."""
    return deliver(_Gcs(place_of(order.uri, "gs://bucket/path"), order.environ), order)


class _Gcs(Source):
    parts_at_once = 4

    def __init__(self, place: Place, environ: Mapping[str, str]) -> None:
        emulator = environ.get("STORAGE_EMULATOR_HOST", "").rstrip("/")
        self._service = (emulator if "://" in emulator else f"http://{emulator}") if emulator else _SERVICE
        self._place = place
        self._connector = Connector(environ, stall(environ), "GCS")
        self._identity = _Identity(environ, emulated=bool(emulator))
        self.identity = f"gs {self._service} {place}"
        self.label = f"gs://{place}"
        # Objects that are kept compressed: what is served is not what the sums and sizes are about.
        self._compressed: set[str] = set()

    def list(self, known: Sequence[Remote], scratch: Path) -> list[Remote]:
        return model_at(self._place.path, self._under, self._exactly)

    def read(self, remote: Remote, start: int, stop: int | None) -> Iterator[bytes]:
        if stop == start:
            return
        query = urlencode({"alt": "media", "generation": remote.version})
        url = f"{self._service}/download/storage/v1/{self._object_path(remote.key)}?{query}"
        response = self._get(url, byte_range(start, stop, remote.size))
        if response.status not in (200, 206):
            raise refused(response, _FAILURES, self._named(remote.key), anonymous=self._identity.is_anonymous)
        found = part(response, remote, start, stop, self._connector.stall)
        encoded = response.headers.get("Content-Encoding", "").lower() == "gzip"
        yield from _decompressed(found) if encoded and remote.key in self._compressed else found

    def _under(self, prefix: str) -> Iterator[Object]:
        token = ""
        while True:
            query = {"prefix": prefix, "fields": _FIELDS, **({"pageToken": token} if token else {})}
            bucket = quote(self._place.bucket, safe="")
            response = self._get(f"{self._service}/storage/v1/b/{bucket}/o?{urlencode(query)}")
            if response.status != 200:
                raise refused(response, _FAILURES, self._place.bucket, anonymous=self._identity.is_anonymous)
            page = answer(response, self._connector.stall, _FAILURES)
            yield from (self._object(found) for found in page.get("items", ()))
            token = page.get("nextPageToken") or ""
            if not token:
                return

    def _exactly(self, key: str) -> Object | None:
        response = self._get(f"{self._service}/storage/v1/{self._object_path(key)}")
        if response.status == 200:
            return self._object(answer(response, self._connector.stall, _FAILURES))
        error = refused(response, _FAILURES, self._named(key), anonymous=self._identity.is_anonymous)
        if isinstance(error, TransientError):
            raise error
        # Who may not list is refused what is not there. If something is wrong, the list says so.
        return None

    def _object(self, found: Mapping[str, Any]) -> Object:
        try:
            key, size, generation = str(found["name"]), int(found["size"]), str(found["generation"])
        except (KeyError, TypeError, ValueError):
            raise _FAILURES.other("its answer is no list of objects: is STORAGE_EMULATOR_HOST right?") from None
        if found.get("contentEncoding") == "gzip":
            self._compressed.add(key)
            return Object(key, None, generation)
        return Object(key, size, generation, _digest(found))

    def _get(self, url: str, headers: Mapping[str, str] | None = None) -> HTTPResponse:
        while True:
            response, _ = self._connector.get(url, headers=headers or {}, secrets=self._identity.headers())
            if response.status not in (401, 403) or not self._identity.found_another():
                return response
            response.close()

    def _object_path(self, key: str) -> str:
        return f"b/{quote(self._place.bucket, safe='')}/o/{quote(key, safe='')}"

    def _named(self, key: str) -> str:
        return f"{self._place.bucket}/{key}"


class _Identity:
    """As whom to ask. Shared by threads; a token that has expired is renewed."""

    def __init__(self, environ: Mapping[str, str], *, emulated: bool) -> None:
        self._environ = environ
        self._lock = threading.Lock()
        self._looked = emulated
        self._credentials: Any = None
        if not emulated and (environ.get("GOOGLE_APPLICATION_CREDENTIALS") or _logged_in(environ)):
            self._look(needed=True)

    @property
    def is_anonymous(self) -> bool:
        return self._credentials is None

    def headers(self) -> dict[str, str]:
        """What to show."""
        with self._lock:
            if self._credentials is None:
                return {}
            if not self._credentials.valid:
                self._refresh()
            return {"Authorization": f"Bearer {self._credentials.token}"}

    def found_another(self) -> bool:
        """After a refusal: whether there is somebody else to ask as."""
        with self._lock:
            if not self._looked:
                self._look(needed=False)
                return self._credentials is not None
            return False

    def _look(self, *, needed: bool) -> None:
        self._looked = True
        try:
            required("gcs", "gs:// with credentials", "google.auth", "requests")
        except StorageError:
            if needed:
                raise
            return
        import google.auth
        from google.auth.exceptions import DefaultCredentialsError

        file = self._environ.get("GOOGLE_APPLICATION_CREDENTIALS")
        try:
            with warnings.catch_warnings():
                # It warns of files from strangers; this one was named by the user.
                warnings.simplefilter("ignore", DeprecationWarning)
                load: Any = google.auth.load_credentials_from_file
                self._credentials, _ = load(file, scopes=_SCOPES) if file else google.auth.default(scopes=_SCOPES)
        except (DefaultCredentialsError, ValueError, OSError) as error:
            if needed:
                # The reason of a malformed file may quote it.
                why = "there is no such file" if isinstance(error, OSError) or not Path(file or "/").exists() else ""
                raise _FAILURES.authentication(why or "its file of credentials cannot be used") from None

    def _refresh(self) -> None:
        import requests
        from google.auth.exceptions import GoogleAuthError, TransportError
        from google.auth.transport.requests import Request

        with requests.Session() as session:
            session.verify = authorities(self._environ) or True
            try:
                self._credentials.refresh(Request(session))
            except TransportError:
                raise _FAILURES.unreachable("its token service") from None
            except (GoogleAuthError, ValueError):
                raise _FAILURES.authentication("the credentials were not accepted") from None


def _logged_in(environ: Mapping[str, str]) -> bool:
    """Whether ``gcloud auth application-default login`` was done here."""
    folder = environ.get("CLOUDSDK_CONFIG") or f"{environ.get('HOME', '')}/.config/gcloud"
    return Path(folder, "application_default_credentials.json").is_file()


def _digest(found: Mapping[str, Any]) -> str:
    for field, algorithm in (("md5Hash", "md5"), ("crc32c", "crc32c")):
        try:
            if found.get(field):
                return f"{algorithm}:{base64.b64decode(found[field], validate=True).hex()}"
        except (binascii.Error, TypeError):
            continue
    return ""


def _decompressed(found: Iterator[bytes]) -> Iterator[bytes]:
    unpacking = zlib.decompressobj(wbits=31)
    try:
        for chunk in found:
            yield unpacking.decompress(chunk)
    except zlib.error:
        raise StorageError("what is kept compressed is damaged") from None
    if not unpacking.eof:
        raise TransientError("the download was cut off")
