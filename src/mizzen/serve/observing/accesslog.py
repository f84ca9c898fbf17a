"""The access log: a line on standard output for each request, or for one in so many.

It is off unless asked for: a line costs as much as a small request. Lines are handed to a thread that writes them, so
that a reader of the output who has stopped reading cannot stop the server; if too many wait, they are dropped, counted,
and the count is a line.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import TextIO

import msgspec
from msgspec import UNSET, Struct, UnsetType

from mizzen.http.headers import Headers
from mizzen.serve.observing.observer import Record

# Lines that may wait for the thread that writes them.
WAITING = 10_000

_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_encode = msgspec.json.Encoder().encode


class Line(Struct, omit_defaults=True):
    """A line in JSON.

    Attributes:
        time: of the request's arrival, ISO 8601, in UTC.
        ms: from its arrival to the end of its answer.
        bytes: of the answer's body.
        grpc_status: where it was a gRPC call.
        trace_id: of the W3C trace context, where it came with one.
    """

    time: str
    client: str
    method: str
    path: str
    http: str
    status: int
    bytes: int
    ms: float
    model: str | UnsetType = UNSET
    request_id: str | UnsetType = UNSET
    grpc_status: int | UnsetType = UNSET
    trace_id: str | UnsetType = UNSET


def as_json(record: Record) -> str:
    exchange = record.exchange
    parent = (record.field(b"traceparent") or "").split("-")
    line = Line(
        time=_moment(record.arrived, "%Y-%m-%dT%H:%M:%S") + "Z",
        client=exchange.peer,
        method=exchange.method.decode("latin-1"),
        path=exchange.target.decode("latin-1"),
        http=exchange.version,
        status=record.status,
        bytes=record.size,
        ms=round(record.seconds * 1000, 3),
        model=record.model or UNSET,
        request_id=record.field(b"x-request-id") or UNSET,
        grpc_status=UNSET if record.grpc is None else record.grpc,
        trace_id=parent[1] if len(parent) > 2 else UNSET,
    )
    return _encode(line).decode()


def as_kserve(record: Record) -> str:
    """A line in the form of KServe's servers, with what it lacks after it."""
    exchange = record.exchange
    phrase = _PHRASES.get(record.status, "")
    request = f"{exchange.method.decode('latin-1')} {exchange.target.decode('latin-1')} HTTP/{exchange.version}"
    more = [f"{record.seconds * 1000:.3f}ms"]
    if record.grpc is not None:
        more.append(f"grpc-status={record.grpc}")
    if (given := record.field(b"x-request-id")) is not None:
        more.append(f"request-id={_printable(given)}")
    pid, moment = os.getpid(), _moment(record.arrived, "%Y-%m-%d %H:%M:%S")
    return (
        f"{moment} {pid} mizzen.access INFO: {exchange.peer} {pid} - "
        f'"{_printable(request)}" {record.status} {phrase} {" ".join(more)}'
    )


def _moment(seconds: float, form: str) -> str:
    return f"{time.strftime(form, time.gmtime(seconds))}.{int(seconds % 1 * 1000):03}"


def _printable(text: str) -> str:
    """Whatever a client sends, a line stays one line."""
    return "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text)


class AccessLog:
    """Args:
    every: a line for one request in so many.
    form: makes the line.
    output: where lines go; standard output unless told.
    """

    def __init__(self, every: int = 1, form: Callable[[Record], str] = as_kserve, output: TextIO | None = None) -> None:
        self._every = every
        self._form = form
        self._output = output
        self._seen = 0
        self._dropped = 0
        self._lines: queue.Queue[str | None] = queue.Queue(WAITING)
        self._thread: threading.Thread | None = None

    def began(self, record: Record) -> Headers | None:
        return None

    def ended(self, record: Record) -> None:
        self._seen += 1
        if self._seen % self._every:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="access log", daemon=True)
            self._thread.start()
        try:
            self._lines.put_nowait(self._form(record))
        except queue.Full:
            self._dropped += 1

    def close(self) -> None:
        """Write what waits, and end. Waits a second for a reader of the output that has stopped reading."""
        if self._thread is not None:
            try:
                self._lines.put(None, timeout=1)
                self._thread.join(1)
            except queue.Full:
                pass
            self._thread = None

    def _write(self) -> None:
        output = self._output or sys.stdout
        ended = False
        told = 0
        while not ended:
            line = self._lines.get()
            lines = []
            while True:
                if line is None:
                    ended = True
                    break
                lines.append(line)
                try:
                    line = self._lines.get_nowait()
                except queue.Empty:
                    break
            dropped = self._dropped
            if dropped > told:
                lines.append(f"{dropped - told} lines of the access log were dropped: its reader is too slow")
                told = dropped
            if lines:
                try:
                    output.write("\n".join(lines) + "\n")
                    output.flush()
                except (OSError, ValueError):
                    return  # the output is closed; nobody reads it
