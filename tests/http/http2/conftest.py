"""A peer that speaks HTTP/2 frame by frame, well or badly, with hyperframe and hpack and no state machine."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hpack import Decoder, Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

Fields = list[tuple[str, str]]


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)
    # The kinds of the frames that it came in.
    frames: list[str] = field(default_factory=list)
    # The code it was reset with, if it was.
    reset: int | None = None
    interim: list[int] = field(default_factory=list)
    ended: bool = False


class Peer:
    """One connection. It acknowledges settings and nothing else by itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, skip: int = 0) -> None:
        self.reader = reader
        self.writer = writer
        self._skip = skip
        self.encoder = Encoder()
        self.decoder = Decoder()
        self.answers: dict[int, Answer] = {}
        self.goaways: list[GoAwayFrame] = []
        self.pongs: list[bytes] = []
        self.pings: list[bytes] = []
        self.updates: list[tuple[int, int]] = []
        self.settings: dict[int, int] = {}
        self.acknowledged = 0
        self.closed = False
        self.acks = True
        self._block: tuple[int, bool, bytes] | None = None
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._read())

    def raw(self, data: bytes) -> None:
        self.writer.write(data)

    def send(self, *frames: Frame) -> None:
        self.writer.write(b"".join(frame.serialize() for frame in frames))

    def begin(self, **settings: int) -> None:
        """The preface and SETTINGS, such as ``INITIAL_WINDOW_SIZE=100``."""
        values = {getattr(SettingsFrame, name): value for name, value in settings.items()}
        self.raw(PREFACE)
        self.send(SettingsFrame(0, settings=values))

    def request(self, stream: int, *fields: tuple[str, str], end: bool = True, **pseudo: str | None) -> None:
        """HEADERS; a pseudo field that is None is left out."""
        values = {"method": "GET" if end else "POST", "scheme": "http", "authority": "a", "path": "/"} | pseudo
        head = [(f":{name}", value) for name, value in values.items() if value is not None]
        self.headers(stream, head + list(fields), end=end)

    def headers(self, stream: int, fields: Fields, end: bool = True) -> None:
        frame = HeadersFrame(stream, data=self.encoder.encode(fields), flags=["END_HEADERS"])
        if end:
            frame.flags.add("END_STREAM")
        self.send(frame)

    def data(self, stream: int, data: bytes, end: bool = True) -> None:
        frame = DataFrame(stream, data=data)
        if end:
            frame.flags.add("END_STREAM")
        self.send(frame)

    def reset(self, stream: int, code: int = 8) -> None:
        self.send(RstStreamFrame(stream, error_code=code))

    def window(self, stream: int, size: int) -> None:
        self.send(WindowUpdateFrame(stream, window_increment=size))

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait for something that frames bring about."""
        async with asyncio.timeout(15):
            while not condition():
                self._news.clear()
                await self._news.wait()

    def of(self, stream: int) -> Answer:
        return self.answers.setdefault(stream, Answer())

    async def answer(self, stream: int) -> Answer:
        """The whole answer, or what there was of it before it was reset or the connection ended."""
        answer = self.of(stream)
        await self.until(lambda: answer.ended or answer.reset is not None or self.closed)
        return answer

    async def goaway(self) -> GoAwayFrame:
        await self.until(lambda: self.goaways or self.closed)
        assert self.goaways, "closed without GOAWAY"
        return self.goaways[-1]

    async def ended(self) -> bool:
        await self.until(lambda: self.closed)
        return True

    async def settled(self) -> None:
        """Wait until all that was sent so far has been read: a PING has come back."""
        mark = b"%08d" % len(self.pongs)
        self.send(PingFrame(0, opaque_data=mark))
        await self.until(lambda: mark in self.pongs or self.closed)

    def close(self) -> None:
        self.writer.transport.abort()

    async def stop(self) -> None:
        self.close()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        try:
            await self.reader.readexactly(self._skip)
            while True:
                head = await self.reader.readexactly(9)
                frame, size = Frame.parse_frame_header(memoryview(head))
                frame.parse_body(memoryview(await self.reader.readexactly(size)))
                self._take(frame)
                self._news.set()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            self.closed = True
            self._news.set()
            self.writer.close()

    def _take(self, frame: Frame) -> None:
        answer = self.of(frame.stream_id)
        if isinstance(frame, HeadersFrame | ContinuationFrame):
            ended = "END_STREAM" in frame.flags
            if self._block is not None:
                ended, data = self._block[1], self._block[2] + frame.data
            else:
                data = frame.data
                answer.frames.append("HEADERS")
            if "END_HEADERS" not in frame.flags:
                self._block = (frame.stream_id, ended, data)
                return
            self._block = None
            fields = dict(self.decoder.decode(data))
            if ":method" in fields:
                answer.headers = fields  # this is the server's end, and a request
            elif ":status" in fields and fields[":status"] < "200":
                answer.interim.append(int(fields[":status"]))
                return
            elif answer.status:
                answer.trailers = fields
            else:
                answer.status = int(fields.pop(":status"))
                answer.headers = fields
            answer.ended = answer.ended or ended
        elif isinstance(frame, DataFrame):
            answer.frames.append("DATA")
            answer.body += frame.data
            answer.ended = answer.ended or "END_STREAM" in frame.flags
        elif isinstance(frame, RstStreamFrame):
            answer.frames.append("RST_STREAM")
            answer.reset = frame.error_code
        elif isinstance(frame, GoAwayFrame):
            self.goaways.append(frame)
        elif isinstance(frame, PingFrame):
            (self.pongs if "ACK" in frame.flags else self.pings).append(frame.opaque_data)
            if "ACK" not in frame.flags and self.acks:
                self.send(PingFrame(0, opaque_data=frame.opaque_data, flags=["ACK"]))
        elif isinstance(frame, WindowUpdateFrame):
            self.updates.append((frame.stream_id, frame.window_increment))
        elif isinstance(frame, SettingsFrame):
            if "ACK" in frame.flags:
                self.acknowledged += 1
            else:
                self.settings.update(frame.settings)
                if self.acks:
                    self.send(SettingsFrame(0, flags=["ACK"]))


@pytest.fixture
async def upstream() -> AsyncIterator[Callable[..., Any]]:
    """``port, accepted = await upstream()``: a server whose end of each connection is a peer; it has sent SETTINGS."""
    servers: list[asyncio.Server] = []
    peers: list[Peer] = []

    async def run(**settings: int) -> tuple[int, asyncio.Queue[Peer]]:
        accepted: asyncio.Queue[Peer] = asyncio.Queue()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            made = Peer(reader, writer, skip=len(PREFACE))
            values = {getattr(SettingsFrame, name): value for name, value in settings.items()}
            made.send(SettingsFrame(0, settings=values))
            peers.append(made)
            accepted.put_nowait(made)

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        servers.append(server)
        return server.sockets[0].getsockname()[1], accepted

    yield run
    for server in servers:
        server.close()
    for made in peers:
        with contextlib.suppress(Exception):
            await made.stop()


@pytest.fixture
async def serve(start) -> Any:
    """``server, port = await serve(handler, limits=..., ...)``: a server that speaks HTTP/2 too."""

    async def run(handler: Any, limits: Any = None, **options: Any) -> Any:
        return await start(handler, limits, http2=True, **options)

    return run


@pytest.fixture
async def peer() -> AsyncIterator[Callable[..., Any]]:
    """``client = await peer(port)``; with ``begin=None`` it has sent nothing yet."""
    opened: list[Peer] = []

    async def dial(port: int, begin: dict[str, int] | None = {}, **options: Any) -> Peer:  # noqa: B006
        made = Peer(*await asyncio.open_connection("127.0.0.1", port, **options))
        opened.append(made)
        if begin is not None:
            made.begin(**begin)
        return made

    yield dial
    for made in opened:
        with contextlib.suppress(Exception):
            await made.stop()
