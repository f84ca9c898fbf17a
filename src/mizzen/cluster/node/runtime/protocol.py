"""The words between a pod parent and its clients, on a Unix socket.

A message is a length (four bytes, big endian) and JSON. A client numbers its requests and gets each number back with a
result or a failure, in whatever order they are done; events carry no number and go to every client. Connections may
vanish at any time: nothing that a client asked for depends on its being there for the answer.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from mizzen.cluster.node.runtime.errors import Refused, RuntimeFailure, StartFailed, UnknownContainer
from mizzen.cluster.node.runtime.spec import Container, ProcessSpec

VERSION = 1
LONGEST_MESSAGE = 16 * 1024 * 1024

_LENGTH = struct.Struct(">I")
# sockaddr_un holds 108 bytes with the closing zero.
_LONGEST_PATH = 107


class _Operation(msgspec.Struct, tag_field="op", omit_defaults=True):
    pass


class Start(_Operation, tag="start"):
    """Answered with :class:`Container` when it runs, or with a failure."""

    spec: ProcessSpec


class Signal(_Operation, tag="signal"):
    """Answered with whether it was still there to be signalled. ``oom`` marks the exit that follows as OOMKilled."""

    id: str
    signum: int
    group: bool = True
    oom: bool = False


class Stop(_Operation, tag="stop"):
    """SIGTERM to the process group, SIGKILL after ``grace`` seconds. Answered with :class:`Exit` when it is over."""

    id: str
    grace: float


class Exec(_Operation, tag="exec"):
    """Run a command inside a container. Answered with :class:`ExecResult`."""

    id: str
    argv: list[str]
    env: dict[str, str] = {}
    timeout: float = 1.0


class List(_Operation, tag="list"):
    """Answered with the list of :class:`Container`, those that ended and were not forgotten included."""


class Forget(_Operation, tag="forget"):
    """Drop a container that ended from the list."""

    id: str


class Info(_Operation, tag="info"):
    """Answered with :class:`ParentInfo`."""


class Shutdown(_Operation, tag="shutdown"):
    """End every container as ``stop`` does and then the parent. Answered just before that."""

    grace: float


Operation = Start | Signal | Stop | Exec | List | Forget | Info | Shutdown


class Request(msgspec.Struct):
    number: int
    do: Operation


class Failure(msgspec.Struct, omit_defaults=True):
    """An error of this package on its way over the socket."""

    kind: str
    message: str
    exit_code: int = 0
    reason: str = ""

    @classmethod
    def of(cls, error: RuntimeFailure) -> Failure:
        if isinstance(error, StartFailed):
            return cls("StartFailed", str(error), error.exit_code, error.reason)
        return cls("UnknownContainer" if isinstance(error, UnknownContainer) else "Refused", str(error))

    def error(self) -> RuntimeFailure:
        if self.kind == "StartFailed":
            return StartFailed(self.message, self.exit_code, self.reason)
        return UnknownContainer(self.message) if self.kind == "UnknownContainer" else Refused(self.message)


class Started(msgspec.Struct, tag_field="event", tag="started"):
    """A container runs."""

    container: Container


class Exited(msgspec.Struct, tag_field="event", tag="exited"):
    """A container ended, and its log is complete; ``container.exit`` says how."""

    container: Container


class Lost(msgspec.Struct, tag_field="event", tag="lost"):
    """The parent itself is gone, and every container that it held is dead. The last event there is."""

    message: str


Event = Started | Exited


class Message(msgspec.Struct, omit_defaults=True):
    """From a parent to a client: the answer to request ``number``, or an event."""

    number: int = 0
    result: msgspec.Raw = msgspec.Raw(b"")
    failure: Failure | None = None
    event: Event | None = None


class StartWord(msgspec.Struct):
    """What a parent tells whoever starts it, through ``--ready-fd``: nothing wrong, or what."""

    error: str = ""
    already_running: bool = False


def frame(value: object) -> bytes:
    body = msgspec.json.encode(value)
    return _LENGTH.pack(len(body)) + body


class Frames:
    """Takes bytes as they come and gives back the messages in them."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The messages that ``data`` completes.

        Raises:
            Refused: one announces itself as longer than any message may be; the stream cannot be read on.
        """
        self._bytes += data
        while len(self._bytes) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._bytes)
            if length > LONGEST_MESSAGE:
                raise Refused(f"a message of {length} bytes was announced; the longest is {LONGEST_MESSAGE}")
            end = _LENGTH.size + length
            if len(self._bytes) < end:
                return
            message = bytes(self._bytes[_LENGTH.size : end])
            del self._bytes[:end]
            yield message


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """An address by which ``path`` can be bound or connected to, however long it is."""
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def peer(connection: socket.socket) -> tuple[int, int]:
    """The pid and the uid at the other end. For a listener's end they are those of who called ``listen``."""
    pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid, uid
