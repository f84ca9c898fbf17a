"""Opening a connection, with TLS or without: by address or by name, from the pod's own address where it has one.

Pods of the embedded cluster have an address of their own (``MIZZEN_BIND_ADDRESS``), from which their connections must
come so that others can tell pods apart. It is a loopback address, so only loopback destinations are dialled from it;
nothing else could be reached.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl as tls
from collections.abc import Callable
from typing import Any, TypeVar

from mizzen.http.errors import ConnectFailed, ConnectTimedOut

BIND_ADDRESS = "MIZZEN_BIND_ADDRESS"

# linux/in.h: choose the port at connect, by destination too; else a busy pod runs out of ports at bind.
_IP_BIND_ADDRESS_NO_PORT = 24


P = TypeVar("P", bound=asyncio.Protocol)


async def dial(
    protocol: Callable[[], P],
    host: str,
    port: int,
    *,
    source: str | None,
    timeout: float,
    ssl: tls.SSLContext | None = None,
    name: str = "",
) -> P:
    """Connect within ``timeout`` seconds, trying every address of ``host`` in turn.

    Args:
        ssl: speak TLS.
        name: whose certificate is expected then, if it is not the host's.

    Raises:
        ConnectFailed: nobody listens there, or the name is unknown.
        ConnectTimedOut: nobody answered in time.
    """
    options: dict[str, Any] = {} if ssl is None else {"ssl": ssl, "server_hostname": name or host}
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        async with asyncio.timeout(timeout):
            addresses = await _addresses(host, port)
            for last, address in enumerate(addresses, 1 - len(addresses)):
                try:
                    return await _connect(protocol, address, port, source, options)
                except OSError:
                    if not last:
                        raise
            raise OSError("the name has no address")
    except TimeoutError:
        raise ConnectTimedOut(f"no connection to {where} within {timeout:g} s") from None
    except OSError as error:
        raise ConnectFailed(f"cannot connect to {where}: {error.strerror or error}") from error


async def _addresses(host: str, port: int) -> list[str]:
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def _connect(
    protocol: Callable[[], P], address: str, port: int, source: str | None, options: dict[str, Any]
) -> P:
    loop = asyncio.get_running_loop()
    if source is None or not _same_reach(source, address):
        _, connected = await loop.create_connection(protocol, address, port, **options)
        return connected
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET:
            try:
                sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            except OSError:
                pass  # an older kernel: the port is chosen at bind, which only runs out sooner
        sock.bind((source, 0))
        await loop.sock_connect(sock, (address, port))
        _, connected = await loop.create_connection(protocol, sock=sock, **options)
        return connected
    except BaseException:
        sock.close()
        raise


def _same_reach(source: str, address: str) -> bool:
    """Whether a connection from ``source`` can get to ``address`` at all."""
    here, there = ipaddress.ip_address(source), ipaddress.ip_address(address)
    return here.version == there.version and (not here.is_loopback or there.is_loopback)
