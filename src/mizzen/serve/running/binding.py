"""The server's sockets: bound before anything is loaded, listening only after.

A port that is taken is told at once and not after minutes of loading, processes that are forked share what is bound,
and until a model is loaded a client is refused rather than left waiting.
"""

from __future__ import annotations

import contextlib
import errno
import socket

from mizzen.serve.errors import ServeError


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to an address, not yet listening; port 0 is any.

    Raises:
        ServeError: says why it cannot be had.
    """
    family, address = _address(host, port)
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise ServeError(_why_not(error, host, port)) from None
    bound.setblocking(False)
    return bound


def _address(host: str, port: int) -> tuple[socket.AddressFamily, tuple[object, ...]]:
    """The family and address of a host; of one that is written as numbers without asking the system's resolver."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            socket.inet_pton(family, host)
            return family, (host, port)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise ServeError(f"{host} is no address: {getattr(error, 'strerror', '') or error}") from None
    return found[0][0], found[0][4]


def url(bound: socket.socket, scheme: str) -> str:
    """Where a bound socket is reached."""
    host, port = bound.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is taken by another process; end that one, or choose another port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine"
    if error.errno == errno.EACCES:
        return f"port {port} on {host} needs more rights than this user has; choose one above 1023"
    return f"cannot listen on {host}:{port}: {error.strerror or error}"
