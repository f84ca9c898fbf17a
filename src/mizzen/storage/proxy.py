"""Which proxy stands before an address, by the environment variables that curl, Go and requests read.

``<scheme>_proxy`` and ``all_proxy``, in lower case before upper case, name it; ``no_proxy`` lists what is reached
without: ``*``, a host, a domain with or without a leading dot, an address, a network such as ``10.0.0.0/8``, each
optionally with a port. As in Go, this machine's own addresses never go through a proxy, which could not reach them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from mizzen.storage.errors import StorageError
from mizzen.storage.uris import basic_authorization, shown


class Proxy(NamedTuple):
    """A proxy that speaks HTTP. ``headers`` hold its credentials, ``shown`` is its address without them."""

    host: str
    port: int
    headers: dict[str, str]
    shown: str


def proxy_for(scheme: str, host: str, port: int, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy for an address, or ``None`` for the direct way.

    Raises:
        StorageError: the variable does not name a proxy that speaks HTTP.
    """
    names = [name for stem in (f"{scheme}_proxy", "all_proxy") for name in (stem, stem.upper())]
    variable = next((name for name in names if environ.get(name)), None)
    if variable is None or _is_local(host):
        return None
    if _is_exempt(host, port, environ.get("no_proxy") or environ.get("NO_PROXY") or ""):
        return None
    text = environ[variable] if "://" in environ[variable] else f"http://{environ[variable]}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port or 80
    except ValueError:
        host = ""
    if not host or parts.scheme != "http":
        raise StorageError(f"{variable} must be http://HOST:PORT, the address of a proxy that speaks HTTP")
    authorization = basic_authorization(parts)
    return Proxy(host, port, {"Proxy-Authorization": authorization} if authorization else {}, shown(text))


def _is_local(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or host.endswith(".localhost") or (address is not None and address.is_loopback)


def _is_exempt(host: str, port: int, no_proxy: str) -> bool:
    return any(_matches(entry.strip().lower(), host.lower(), port) for entry in no_proxy.split(",") if entry.strip())


def _matches(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    address = _address(host)
    if address is not None:
        try:
            return address in ipaddress.ip_network(entry.strip("[]"), strict=False)
        except ValueError:
            pass  # A name, or an address with a port.
    name, colon, wanted = entry.rpartition(":")
    if colon and wanted.isdigit():
        if int(wanted) != port:
            return False
        entry = name.strip("[]")
    domain = entry.removeprefix("*").removeprefix(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
