"""The server's sockets: bound before anything is loaded, listening only after.

A port that is taken is told at once and not after minutes of loading, processes that are forked share what is bound,
and until a model is loaded a client is refused rather than left waiting.
"""

from __future__ import annotations

import errno
import socket

from mizzen.serve.errors import ServeError


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to an address, not yet listening; port 0 is any.

    Raises:
        ServeError: says why it cannot be had.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise ServeError(f"{host} is no address: {error.strerror}") from None
    family, kind, protocol, _, address = found[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise ServeError(_why_not(error, host, port)) from None
    bound.setblocking(False)
    return bound


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
