"""Who listens on a TCP port, so that a person who is told that it is taken is also told by whom."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_LISTEN = "0A"


class Listening(NamedTuple):
    """One line of the kernel's table of listening sockets."""

    address: str
    port: int
    inode: int


class Holder(NamedTuple):
    """A process that listens. ``pid`` is None, and ``command`` empty, when it is another user's."""

    address: str
    pid: int | None
    command: str

    def __str__(self) -> str:
        who = "another user's process" if self.pid is None else f"process {self.pid} ({self.command})"
        return f"{who}, which listens at {self.address}"


def holder(port: int, address: str | None = None) -> Holder | None:
    """Who listens on a port, at ``address`` or at all addresses; with None, at any. None if nobody does."""
    wanted = {address, "0.0.0.0", "::"}
    for table in ("tcp", "tcp6"):
        try:
            text = Path("/proc/net", table).read_text()
        except OSError:
            continue
        for line in parse(text):
            if line.port == port and (address is None or line.address in wanted):
                pid = _owner(line.inode)
                return Holder(line.address, pid, _command(pid) if pid else "")
    return None


def parse(text: str) -> Iterator[Listening]:
    """The listening sockets in the text of ``/proc/net/tcp`` or ``tcp6``."""
    for line in text.splitlines()[1:]:
        fields = line.split()
        if fields[3] == _LISTEN:
            host, _, port = fields[1].partition(":")
            yield Listening(_address(host), int(port, 16), int(fields[9]))


def _address(text: str) -> str:
    # The kernel prints each 32-bit word as the machine's own byte order has it.
    words = [int(text[start : start + 8], 16) for start in range(0, len(text), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def _owner(inode: int) -> int | None:
    link = f"socket:[{inode}]"
    for name in os.listdir("/proc"):  # noqa: PTH208 (names, not paths)
        if not name.isdecimal():
            continue
        try:
            if any(os.readlink(entry.path) == link for entry in os.scandir(f"/proc/{name}/fd")):  # noqa: PTH115
                return int(name)
        except OSError:
            # Another user's, or gone by now.
            continue
    return None


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()[:200]
    except OSError:
        return ""
