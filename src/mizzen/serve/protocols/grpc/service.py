"""The gRPC face of a model server: which method answers a call, over exchanges of HTTP/2.

A call is a request like any other to the transport; what makes it gRPC is its content type, the frames within its body
and the status at its end. Methods of one message are plain functions of it. ``ModelInfer`` is none of them: it is what
the server is there for, and answers when its model has. Streams are coroutines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

from mizzen.http.exchange import Exchange
from mizzen.serve.errors import Asleep, DeadlineExceeded, ServeError
from mizzen.serve.protocols.grpc import framing, head
from mizzen.serve.protocols.grpc.answers import Answers
from mizzen.serve.protocols.grpc.call import STANDARD, MessageLimits, Work, infer, reply
from mizzen.serve.protocols.grpc.head import Head
from mizzen.serve.protocols.grpc.health import Health
from mizzen.serve.protocols.grpc.inference import parse
from mizzen.serve.protocols.grpc.kept import Kept
from mizzen.serve.protocols.grpc.reflection import Reflection
from mizzen.serve.protocols.grpc.refusal import OK, end, ending, finish, refuse
from mizzen.serve.protocols.grpc.schema import INFERENCE, POOL, SERVICES, message
from mizzen.serve.protocols.grpc.status import code_of, trailers
from mizzen.serve.protocols.grpc.stream import Stream
from mizzen.serve.protocols.grpc.streaming import StreamInfer
from mizzen.serve.repository import Repository

# Answers a call, now or later.
Method = Callable[[Exchange, Head], Work | None]
Unary = Callable[[Any], Any]
Acting = Callable[[Any], Awaitable[Any]]
Streaming = Callable[[Stream], Coroutine[Any, Any, None]]


class UnknownMethod(ServeError):
    """No such method is served."""

    status = 501


class GrpcService:
    """Args:
    repository: the server's models.
    limits: what messages may weigh.
    """

    def __init__(self, repository: Repository, limits: MessageLimits = STANDARD) -> None:
        self._repository = repository
        self._limits = limits
        health = Health(repository)
        answers = Answers(repository)
        unary: dict[str, Unary] = {**answers.methods, **health.methods}
        streams: dict[str, Streaming] = {
            f"{INFERENCE}/ModelStreamInfer": StreamInfer(repository),
            **health.streams,
            **Reflection().streams,
        }
        self._methods: dict[bytes, Method] = {
            f"/{INFERENCE}/ModelInfer".encode(): partial(infer, repository, self._limits),
            **{f"/{name}".encode(): partial(self._answer, _request(name), ask) for name, ask in unary.items()},
            **{f"/{name}".encode(): partial(self._act, _request(name), act) for name, act in answers.acts.items()},
            **{f"/{name}".encode(): partial(self._open, ask) for name, ask in streams.items()},
        }
        self._streamed = {f"/{name}".encode() for name in streams}
        self._streams: set[Stream] = set()
        self._kept = Kept()

    @property
    def paths(self) -> list[str]:
        """Of all methods."""
        return [path.decode() for path in self._methods]

    def handles(self, exchange: Exchange) -> bool:
        """Whether a request is a gRPC call, be it a wrong one."""
        if exchange.target in self._methods:
            return True
        return exchange.version == "2" and head.is_grpc(exchange.header(b"content-type"))

    def streams(self, exchange: Exchange) -> bool:
        """Whether a call is answered while it still arrives: for the server's ``streaming``."""
        return exchange.target in self._streamed and exchange.method == b"POST"

    def handle(self, exchange: Exchange) -> None:
        """Answer a call, now or when its model has."""
        try:
            if exchange.version != "2":
                exchange.respond(505, b"gRPC is spoken over HTTP/2\n", _TEXT)
                return
            if exchange.method != b"POST":
                exchange.respond(405, b"gRPC calls are POST\n", _TEXT + b"allow: POST\r\n")
                return
            said = head.read(exchange.headers, asyncio.get_running_loop().time)
            method = self._methods.get(exchange.target)
            if method is None:
                raise _unknown(exchange.target.decode("latin-1"))
            self._ask(method, exchange, said)
        except Exception as error:
            refuse(exchange, error)

    def _ask(self, method: Method, exchange: Exchange, said: Head) -> None:
        try:
            work = method(exchange, said)
        except Asleep as asleep:
            work = partial(self._wake, asleep.name, method, exchange, said)
        if work is not None:
            # Not spawned by the exchange: when such work ends, a model may only just have been asked.
            exchange.on_disconnect = partial(_give_up, self._kept.start(_attend(work, exchange, said)))

    async def _wake(self, name: str, method: Method, exchange: Exchange, said: Head) -> None:
        """Load the model that a call is for, and put it again."""
        await self._kept.finish(self._repository.wake(name))
        work = method(exchange, said)
        if work is not None:
            await work()

    def refuse(self, exchange: Exchange, status: int, text: str) -> bool:
        """Answer what the transport found wrong before the handler, or what a handler left unanswered.

        Returns:
            whether it is a gRPC call, which this has answered.
        """
        if exchange.version != "2" or not self.handles(exchange):
            return False
        end(exchange, trailers(code_of(status), text))
        return True

    def drain(self) -> None:
        """The server is about to end: streams take nothing more, and end once they have answered what they took."""
        for stream in list(self._streams):
            stream.end()

    def _answer(self, kind: Any, ask: Unary, exchange: Exchange, said: Head) -> None:
        reply(exchange, said, ask(self._read(kind, exchange, said)).SerializeToString(), self._limits)

    def _act(self, kind: Any, act: Acting, exchange: Exchange, said: Head) -> Work:
        return partial(self._acted, act, self._read(kind, exchange, said), exchange, said)

    async def _acted(self, act: Acting, request: Any, exchange: Exchange, said: Head) -> None:
        reply(exchange, said, (await act(request)).SerializeToString(), self._limits)

    def _read(self, kind: Any, exchange: Exchange, said: Head) -> Any:
        return parse(kind, framing.single(exchange.body, said.encoding, self._limits.receive))

    def _open(self, ask: Streaming, exchange: Exchange, said: Head) -> None:
        if said.encoding is not None:
            framing.check_encoding(said.encoding)
        exchange.spawn(self._run(ask, Stream(exchange, said, self._limits)))

    async def _run(self, ask: Streaming, stream: Stream) -> None:
        exchange = stream.exchange
        self._streams.add(stream)
        fields = OK
        try:
            stream.start()
            async with asyncio.timeout_at(stream.head.deadline) as timer:
                await ask(stream)
        except Exception as error:
            if exchange.gone:
                return
            fields = tuple(ending(exchange, DeadlineExceeded() if timer.expired() else error))
        finally:
            self._streams.discard(stream)
        finish(exchange, fields)


_TEXT = b"content-type: text/plain; charset=utf-8\r\n"


async def _attend(work: Work, exchange: Exchange, said: Head) -> None:
    """Do what comes before an answer. What it raises is the answer."""
    try:
        async with asyncio.timeout_at(said.deadline) as timer:
            await work()
    except Exception as error:
        refuse(exchange, DeadlineExceeded() if timer.expired() else error)


def _give_up(task: asyncio.Task[None]) -> None:
    task.cancel()


def _request(name: str) -> Any:
    """The class of a method's request."""
    service, _, method = name.partition("/")
    return message(POOL.FindServiceByName(service).methods_by_name[method].input_type.full_name)


def _unknown(target: str) -> UnknownMethod:
    service, _, method = target[1:].partition("/")
    if service in SERVICES:
        return UnknownMethod(f"{service} has no method {method} here")
    return UnknownMethod(f"there is no service {service} here; there are {', '.join(SERVICES)}")
