"""The socket of a pod parent: connections, requests, answers, events."""

from __future__ import annotations

import os
import selectors
import socket
from pathlib import Path

import msgspec

from mizzen.cluster.node.runtime.containers import Containers
from mizzen.cluster.node.runtime.errors import Refused, RuntimeFailure
from mizzen.cluster.node.runtime.loop import Loop
from mizzen.cluster.node.runtime.process import Answer
from mizzen.cluster.node.runtime.protocol import (
    Event,
    Exec,
    Failure,
    Forget,
    Frames,
    Info,
    List,
    Message,
    Operation,
    Request,
    Shutdown,
    Signal,
    Start,
    Stop,
    frame,
    peer,
    socket_address,
)
from mizzen.cluster.node.runtime.spec import ParentInfo

_BLOCK = 64 * 1024
# A client that does not read is dropped when so much waits for it; it comes back and asks for the list.
_MOST_WAITING = 8 * 1024 * 1024

_requests = msgspec.json.Decoder(Request)


def listen(path: Path) -> socket.socket:
    """A socket at ``path`` that only this user may connect to, in the place of one that a dead parent left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        with socket_address(path) as address:
            listener.bind(address)
    finally:
        os.umask(before)
    listener.listen(64)
    listener.setblocking(False)
    return listener


class Server:
    """Serves the containers of this process to the clients of a listening socket."""

    def __init__(self, loop: Loop, listener: socket.socket, info: ParentInfo, containers: Containers) -> None:
        self._loop = loop
        self._listener = listener
        self._info = info
        self._clients: set[_Client] = set()
        self._containers = containers
        containers.emit = self.emit
        loop.watch(listener, selectors.EVENT_READ, self._accept)

    def emit(self, event: Event) -> None:
        """Send an event to every client."""
        data = frame(Message(event=event))
        for client in list(self._clients):
            client.send(data)

    def close(self) -> None:
        """Send what is still to be sent, as far as clients take it at once, and hang up."""
        self._loop.unwatch(self._listener)
        self._listener.close()
        for client in list(self._clients):
            client.finish()

    def shut_down(self, grace: float, answer: Answer) -> None:
        def done() -> None:
            answer(None)
            self._loop.stop()

        self._containers.shutdown(grace, done)

    def _accept(self, _events: int) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            # Gone again, or no descriptor left for it; the next round tries anew.
            return
        if peer(connection)[1] not in (os.geteuid(), 0):
            connection.close()
            return
        connection.setblocking(False)
        self._clients.add(_Client(self, self._loop, connection))

    def gone(self, client: _Client) -> None:
        self._clients.discard(client)

    def do(self, operation: Operation, answer: Answer) -> None:
        """Carry a request out; the answer may come later.

        Raises:
            RuntimeFailure: it is refused.
        """
        match operation:
            case Start(spec):
                self._containers.start(spec, answer)
            case Signal():
                self._containers.signal(operation)
                answer(None)
            case Stop():
                self._containers.stop(operation, answer)
            case Exec():
                self._containers.exec(operation, answer)
            case List():
                answer(self._containers.list())
            case Forget(id):
                self._containers.forget(id)
                answer(None)
            case Info():
                answer(self._info)
            case Shutdown(grace):
                self.shut_down(grace, answer)


class _Client:
    def __init__(self, server: Server, loop: Loop, connection: socket.socket) -> None:
        self._server = server
        self._loop = loop
        self._connection = connection
        self._frames = Frames()
        self._waiting = bytearray()
        self._open = True
        loop.watch(connection, selectors.EVENT_READ, self._ready)

    def send(self, data: bytes) -> None:
        if not self._open:
            return
        self._waiting += data
        if len(self._waiting) > _MOST_WAITING:
            self._close()
            return
        self._write()

    def finish(self) -> None:
        if self._open:
            self._write()
            self._close()

    def _close(self) -> None:
        if self._open:
            self._open = False
            self._loop.unwatch(self._connection)
            self._connection.close()
            self._server.gone(self)

    def _ready(self, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._write()
        if events & selectors.EVENT_READ and self._open:
            self._read()

    def _write(self) -> None:
        try:
            while self._waiting:
                del self._waiting[: self._connection.send(self._waiting)]
        except BlockingIOError:
            pass
        except OSError:
            self._close()
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._waiting else 0)
        self._loop.change(self._connection, events, self._ready)

    def _read(self) -> None:
        try:
            data = self._connection.recv(_BLOCK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close()
            return
        try:
            for message in self._frames.feed(data):
                self._request(_requests.decode(message))
        except (msgspec.MsgspecError, Refused):
            # Not our protocol, or another version of it: there is no number to answer to.
            self._close()

    def _request(self, request: Request) -> None:
        def answer(result: object) -> None:
            if isinstance(result, RuntimeFailure):
                self.send(frame(Message(number=request.number, failure=Failure.of(result))))
            else:
                self.send(frame(Message(number=request.number, result=msgspec.Raw(msgspec.json.encode(result)))))

        try:
            self._server.do(request.do, answer)
        except RuntimeFailure as error:
            answer(error)
