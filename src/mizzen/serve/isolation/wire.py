"""What the server and the process of a model say to each other: structs in MessagePack, each with its length before it.

Answers and payloads that are JSON travel as JSON, encoded once where they are made, so that a client is sent the same
bytes as by a model in the server's own process.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import Struct

from mizzen.serve.errors import DeadlineExceeded, InferenceError, ModelNotReady, ServeError, describe
from mizzen.serve.generation.model import Chunk, InvalidRequest, Prompt, Sampling
from mizzen.serve.lanes.payloads import Verb
from mizzen.serve.lanes.scheduling import Scheduling
from mizzen.serve.model import Array, Options, Tensor, TensorMetadata

LENGTH = struct.Struct("<Q")


class Raw(Struct, array_like=True):
    """A tensor on the wire: numbers as bytes, texts and bytes as they are."""

    name: str
    dtype: str
    shape: list[int]
    data: bytes
    items: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class Loaded(Struct, tag=True):
    """What the child tells of its model once it has loaded it.

    Attributes:
        kind: a model from ``tensors`` to tensors is asked one thing at a time; a user's own (``custom``) and one that
            ``generates`` are asked by messages with numbers.
        methods: of one that turns texts into vectors or scores; None is of any other.
        features: of one that generates.
    """

    kind: Literal["tensors", "custom", "generates"]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    files: list[str] = []
    concurrency: int = 1
    batchable: bool = False
    methods: list[str] | None = None
    reads_headers: bool = False
    explains: bool = False
    features: list[str] = []


class Asked(Struct, tag=True):
    inputs: list[Raw]
    options: Options


class Answered(Struct, tag=True):
    outputs: list[Raw]


class Failed(Struct, tag=True):
    """Attributes:
    kind: the exception's class.
    blame: of a generative request that cannot be done: the field that is to blame, and a word for programs.
    """

    status: int
    text: str
    kind: str = ""
    blame: tuple[str | None, str | None] | None = None


class Opened(Struct, tag=True):
    """How a user's own model is to be asked; the first that it is told."""

    scheduling: Scheduling


class Request(Struct, tag=True):
    """A request with tensors to a user's own model."""

    number: int
    inputs: list[Raw]
    options: Options
    identifier: str | None
    streams: bool


class Posted(Struct, tag=True):
    """A request with a payload.

    Attributes:
        json: whether ``body`` is a JSON value, and not bytes as the client sent them.
    """

    number: int
    body: bytes
    json: bool
    headers: dict[str, str]
    verb: Verb
    identifier: str | None


class Generate(Struct, tag=True):
    """A request to a model that generates; see :class:`~mizzen.serve.generation.model.GenerationRequest`.

    Attributes:
        left: seconds that whoever asks still waits; None is for ever.
    """

    number: int
    prompt: Prompt
    sampling: Sampling
    n: int
    max_tokens: int | None
    min_tokens: int
    stop: tuple[str, ...]
    stop_tokens: tuple[int, ...]
    ignore_eos: bool
    logprobs: int | None
    echo: bool
    left: float | None


class Cancelled(Struct, tag=True):
    """Nobody waits for it any more."""

    number: int


class Took(Struct, tag=True):
    """The client has taken a piece of a stream: there is room for another."""

    number: int


class Ping(Struct, tag=True):
    """The child is to give a sign of life."""


class Pong(Struct, tag=True):
    pass


class Reply(Struct, tag=True):
    number: int
    outputs: list[Raw]
    parameters: dict[str, Any] | None
    headers: dict[str, str] | None
    identifier: str | None


class Said(Struct, tag=True):
    """The answer to a payload."""

    number: int
    body: bytes
    json: bool
    headers: dict[str, str] | None
    identifier: str | None


class Streams(Struct, tag=True):
    """The answer comes in pieces."""

    number: int
    headers: dict[str, str] | None


class Piece(Struct, tag=True):
    number: int
    body: bytes
    json: bool


class Partial(Struct, tag=True):
    """One answer of several to a request with tensors."""

    number: int
    outputs: list[Raw]
    parameters: dict[str, Any] | None


class Generated(Struct, tag=True):
    """A piece of what a model generates."""

    number: int
    chunk: Chunk


class Ended(Struct, tag=True):
    """A stream has ended, by an error if there is one."""

    number: int
    error: Failed | None


class Refused(Struct, tag=True):
    number: int
    error: Failed


class Noted(Struct, tag=True):
    """What the model's numbers have become.

    Attributes:
        observed: by histogram: what was observed, how often.
        counted: by counter: what was added.
    """

    observed: list[tuple[str, float, int]]
    counted: dict[str, int]
    batching: bool


class Told(Struct, tag=True):
    """Why the model cannot answer for now; with no reason, it can."""

    reason: str


class Lost(Struct, tag=True):
    """The model will not answer any more."""

    reason: str


ToChild = Asked | Opened | Request | Posted | Generate | Cancelled | Took | Ping
# What is said to one request; and what is the last of it.
Last = Reply | Said | Ended | Refused
ToRequest = Last | Streams | Piece | Partial | Generated
FromChild = Loaded | Answered | Failed | ToRequest | Noted | Told | Lost | Pong
Message = ToChild | FromChild

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Message).decode


class Channel:
    """Messages over a socket, each with its length before it. Blocking."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def send(self, message: Message) -> None:
        self.write(encode(message))

    def write(self, data: bytes) -> None:
        """Send an encoded message."""
        self._sock.sendall(LENGTH.pack(len(data)))
        self._sock.sendall(data)

    def receive(self, patience: float | None = None) -> Message:
        """Args:
            patience: seconds in which something must come; None is for ever.

        Raises:
            EOFError: the other end is gone.
            TimeoutError
        """
        self._sock.settimeout(patience)
        (length,) = LENGTH.unpack(self._exactly(LENGTH.size))
        message: Message = decode(self._exactly(length))
        self._sock.settimeout(None)
        return message

    def finish(self) -> None:
        """There is nothing more to send; the other end may still have something to say."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._sock.close()

    def _exactly(self, length: int) -> bytearray:
        data = bytearray(length)
        view = memoryview(data)
        while view:
            try:
                count = self._sock.recv_into(view)
            except ConnectionError:
                count = 0
            if not count:
                raise EOFError
            view = view[count:]
        return data


class NotReady(ModelNotReady):
    """The child's model is not ready, in its own words."""

    def __init__(self, text: str) -> None:
        ServeError.__init__(self, text)


def failed(error: BaseException) -> Failed:
    status, text = describe(error)
    blame = (error.param, error.code) if isinstance(error, InvalidRequest) else None
    return Failed(status, text.encode("utf-8", "replace").decode(), type(error).__name__, blame)


def raised(failure: Failed) -> Exception:
    """What the child's model raised, as far as it matters to whoever is answered with it."""
    if failure.blame is not None:
        return InvalidRequest(failure.text, *failure.blame)
    if failure.status == 501:
        return NotImplementedError(failure.text)
    if failure.kind == DeadlineExceeded.__name__:
        return DeadlineExceeded()
    if failure.kind == ModelNotReady.__name__:
        return NotReady(failure.text)
    return InferenceError(failure.text, failure.status)


def wired(tensor: Tensor) -> Raw:
    array = tensor.array
    if array.dtype.kind in "OUS":
        # Lists are a text's token ids.
        items = [value if isinstance(value, str | bytes | list) else str(value) for value in array.ravel().tolist()]
        return Raw(tensor.name, "O", list(array.shape), b"", items, tensor.parameters)
    return Raw(tensor.name, array.dtype.str, list(array.shape), array.tobytes(), None, tensor.parameters)


def unwired(raw: Raw) -> Tensor:
    array: Array
    if raw.items is not None:
        array = np.empty(len(raw.items), object)
        for at, item in enumerate(raw.items):
            array[at] = item
    else:
        array = np.frombuffer(raw.data, np.dtype(raw.dtype))
    return Tensor(raw.name, array.reshape(raw.shape), raw.parameters)
