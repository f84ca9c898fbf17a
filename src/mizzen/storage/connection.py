"""One HTTP answer, over whatever is between: a proxy, TLS with a private authority, redirects.

``http.client`` speaks the protocol. On top of it stands what decides whether a credential is sent: those of an address
go to its own host only, and never from ``https`` down to ``http``. No error of the library is passed on as text,
because some of them quote the header or the address that they complain about.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from urllib.parse import SplitResult, quote, urljoin

from mizzen import __version__
from mizzen.storage.errors import StorageError, TransientError
from mizzen.storage.proxy import Proxy, proxy_for
from mizzen.storage.settings import bundles
from mizzen.storage.uris import basic_authorization, one_line, parts_of, scheme_of, shown

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 10
_CONNECT_SECONDS = 10.0
_CHUNK = 256 << 10
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_PORTS = {"http": 80, "https": 443}
NOTHING: Mapping[str, str] = MappingProxyType({})
# What stands in a request line as it is; "%" because an address is often escaped already.
_SAFE = "!#$%&'()*+,/:;=?@[]~"


class Connector:
    """Fetches addresses as the environment says: its proxies, authorities and credentials.

    Args:
        stall: the longest silence of a server that is accepted, in seconds.
        service: what the servers are called towards people.
    """

    def __init__(self, environ: Mapping[str, str], stall: float, service: str = "HTTP") -> None:
        self._environ = environ
        self._service = service
        self.stall = stall

    def get(
        self, url: str, *, headers: Mapping[str, str] = NOTHING, secrets: Mapping[str, str] = NOTHING
    ) -> tuple[http.client.HTTPResponse, str]:
        """Send a GET, follow redirects, and return the last response and its address.

        Args:
            headers: fields for every server on the way.
            secrets: fields for the host of ``url`` alone.

        Raises:
            TransientError: there was no answer; another try may have more luck.
            StorageError: the address, a certificate, the proxy or the redirects are wrong.
        """
        began_safe = parts_of(url).scheme == "https"
        first = parts_of(url).hostname or ""
        users: dict[str, str] = {}
        for _ in range(_MAX_REDIRECTS + 1):
            parts = parts_of(url)
            host = parts.hostname or ""
            users.setdefault(host, basic_authorization(parts))
            withheld = began_safe and parts.scheme != "https"
            credentials = {} if withheld else self._credentials(host, users[host])
            if host == first and not withheld:
                credentials |= {name.lower(): value for name, value in secrets.items()}
            response = self._request(parts, {**{name.lower(): value for name, value in headers.items()}, **credentials})
            if response.status not in _REDIRECTS:
                return response, url
            location = response.headers.get("Location", "")
            response.close()
            url = _target(url, location, response.status)
        raise StorageError(f"more than {_MAX_REDIRECTS} redirects, the last of them to {shown(url)}")

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        for variable, bundle in bundles(self._environ):
            try:
                if bundle.is_dir():
                    context.load_verify_locations(capath=bundle)
                else:
                    context.load_verify_locations(cafile=bundle)
            except OSError as error:
                reason = "it is no PEM file" if isinstance(error, ssl.SSLError) else error.strerror
                raise StorageError(f"cannot read the authorities in {bundle}, set by {variable}: {reason}") from error
        return context

    def _request(self, parts: SplitResult, given: Mapping[str, str]) -> http.client.HTTPResponse:
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        proxy = proxy_for(parts.scheme, host, port, self._environ)
        target = quote(parts.path or "/", safe=_SAFE) + (f"?{quote(parts.query, safe=_SAFE)}" if parts.query else "")
        headers = {"User-Agent": f"mizzen/{__version__}", "Accept": "*/*", "Accept-Encoding": "identity"}
        headers = {name: value for name, value in headers.items() if name.lower() not in given}
        headers |= given
        if proxy and parts.scheme == "http":
            authority = f"[{host}]" if ":" in host else host
            target = f"http://{authority}{'' if port == 80 else f':{port}'}{target}"
            headers |= proxy.headers
        connection = self._connection(parts.scheme, host, port, proxy)
        where = f"'{host}:{port}'" + (f" (through the proxy {proxy.shown})" if proxy else "")
        connected = False
        try:
            connection.connect()
            connected = True
            connection.sock.settimeout(self.stall)
            connection.request("GET", target, headers={**headers, "Connection": "close"})
            return connection.getresponse()
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()
            raise _failure(error, self._service, where, connected, self.stall) from None

    def _connection(self, scheme: str, host: str, port: int, proxy: Proxy | None) -> http.client.HTTPConnection:
        at = (proxy.host, proxy.port) if proxy else (host, port)
        patience = min(_CONNECT_SECONDS, self.stall)
        if scheme == "http":
            return http.client.HTTPConnection(*at, timeout=patience)
        connection = http.client.HTTPSConnection(*at, timeout=patience, context=self._tls)
        if proxy:
            connection.set_tunnel(host, port, proxy.headers)
        return connection

    def _credentials(self, host: str, user: str) -> dict[str, str]:
        """The headers for ``host``, their names in lower case."""
        variable = f"{host}-headers"
        text = next((value for name, value in self._environ.items() if name.lower() == variable), "")
        headers = {"authorization": user} if user else {}
        if not text:
            return headers
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if not isinstance(found, dict) or not all(isinstance(value, str | int) for value in found.values()):
            # Not even a part of the value is shown: it is a credential.
            raise StorageError(f'the environment variable {variable} must be a JSON object such as {{"Name": "value"}}')
        return headers | {name.lower(): str(value).strip() for name, value in found.items()}


def _target(url: str, location: str, status: int) -> str:
    if not location:
        raise StorageError(f"the server redirects (status {status}) without saying where to")
    # The bytes of a header arrive as Latin-1, and servers write UTF-8 into it.
    location = location.encode("latin-1", "ignore").decode("utf-8", "replace")
    try:
        url = urljoin(url, location)
    except ValueError:
        raise StorageError(f"the server redirects to {shown(location)}, which is no address") from None
    if scheme_of(url) not in _PORTS:
        raise StorageError(f"the server redirects to {shown(url)}, which is not http(s)://")
    return url


def chunks(response: http.client.HTTPResponse, done: int, total: int | None, stall: float) -> Iterator[bytes]:
    """The body as it comes in, from ``done`` up to ``total`` bytes.

    Raises :class:`TransientError` when fewer come.
    """
    while total is None or done < total:
        try:
            chunk = response.read1(_CHUNK if total is None else min(_CHUNK, total - done))
        except TimeoutError:
            raise TransientError(f"the download stopped after {done} bytes: nothing came for {stall:g} s") from None
        except (OSError, http.client.HTTPException, ValueError):
            expected = f"{done} of {total}" if total else f"{done}"
            raise TransientError(f"the download was cut off after {expected} bytes") from None
        if not chunk:
            break
        done += len(chunk)
        yield chunk
    if total is not None and done < total:
        raise TransientError(f"the download was cut off after {done} of {total} bytes")


def position_of(response: http.client.HTTPResponse) -> tuple[int, int | None] | None:
    """Where the part of a file begins that came with status 206, and how large the file is, if both are told."""
    found = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    return (int(found[1]), None if found[2] == "*" else int(found[2])) if found else None


def retry_after(response: http.client.HTTPResponse) -> float:
    """How many seconds a server asks to be left in peace; 0 if it does not say, or names a date."""
    text = response.headers.get("Retry-After", "").strip()
    return float(text) if text.isdecimal() else 0.0


def _failure(error: Exception, service: str, where: str, connected: bool, stall: float) -> StorageError:
    failed = f"Failed to connect to {service} endpoint {where}"
    match error:
        case ssl.SSLCertVerificationError():
            return StorageError(
                f"{failed}: its certificate is not trusted ({error.verify_message}); authorities are added with "
                "CA_BUNDLE_CONFIGMAP_NAME or SSL_CERT_FILE"
            )
        case ssl.SSLEOFError():
            return TransientError(f"{failed}: it ended the TLS handshake")
        case ssl.SSLError():
            return StorageError(f"{failed}: TLS failed ({error.reason}); does it speak https?")
        case TimeoutError() if connected:
            return TransientError(f"{where} did not answer the request within {stall:g} s")
        case TimeoutError():
            return TransientError(f"{failed}: it does not answer")
        case socket.gaierror():
            return TransientError(f"{failed}: its name cannot be resolved ({error.strerror})")
        case http.client.RemoteDisconnected():
            return TransientError(f"{where} closed the connection without an answer")
        case http.client.HTTPException():
            return StorageError(f"{where} does not answer in HTTP ({type(error).__name__})")
        case OSError(errno=None):
            return TransientError(f"{failed}: {one_line(str(error))}")
        case OSError():
            return TransientError(f"{failed}: {error.strerror}")
        case _:
            return StorageError("the host name or a header for it has characters that HTTP does not permit")
