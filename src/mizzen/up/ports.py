"""Binding the installation's ports, and saying who is there when that fails."""

from __future__ import annotations

import errno
import socket

from mizzen.cluster.node.runtime.ports import holder
from mizzen.up.errors import UpError

_BACKLOG = 1024


def listen(address: str, port: int, option: str) -> socket.socket:
    """A listening TCP socket that forked roles inherit. Port 0 means any that is free.

    Args:
        option: the command-line option that chooses another port, for the message.

    Raises:
        UpError: the address is not this machine's, or somebody else listens there.
    """
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((address, port))
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise UpError(_explain(error, address, port, option)) from error
    sock.setblocking(False)
    return sock


def _explain(error: OSError, address: str, port: int, option: str) -> str:
    if error.errno == errno.EADDRINUSE:
        by = holder(port, address)
        who = f" by {by}" if by else ""
        return f"port {port} of {address} is taken{who}; choose another with {option} N, or any with {option} 0"
    if error.errno == errno.EACCES:
        return f"port {port} needs privileges that this user lacks; choose one above 1023 with {option} N"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"this machine has no address {address}"
    return f"cannot listen on {address}:{port}: {error.strerror}"
