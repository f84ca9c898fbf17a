"""Binding the installation's ports, and saying who is there when that fails."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

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
        holder = _holder(port)
        who = f"by {holder}" if holder else "by a process that this user may not see"
        return f"port {port} of {address} is taken {who}; choose another with {option} N, or any with {option} 0"
    if error.errno == errno.EACCES:
        return f"port {port} needs privileges that this user lacks; choose one above 1023 with {option} N"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"this machine has no address {address}"
    return f"cannot listen on {address}:{port}: {error.strerror}"


def _holder(port: int) -> str:
    """The process that listens on a port, as ``pid 123 (nginx)``; empty where it cannot be known."""
    inodes = _listening_inodes(port)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            links = [os.readlink(fd) for fd in (process / "fd").iterdir()]
            name = (process / "comm").read_text().strip()
        except OSError:
            continue  # it has ended, or belongs to another user
        if any(link in inodes for link in links):
            return f"pid {process.name} ({name})"
    return ""


def _listening_inodes(port: int) -> set[str]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            listening = fields[3] == "0A"
            if listening and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return found
