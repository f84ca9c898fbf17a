"""``isolation: process``: a model in a process of its own, which it may crash, stop or leak without harm to others.

The child is started anew and not forked, because nothing forks from a process that has run a model. It is asked over a
socket, one message at a time; tensors travel as raw bytes, and nothing that comes from it is unpickled. When it dies,
the requests that it had are answered with what became of it, and the next ones by its successor.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from mizzen.serve.errors import InferenceError, LoadError, ModelNotReady
from mizzen.serve.model import Array, Options, Servable, Tensor, TensorMetadata, TensorModel
from mizzen.serve.spec import ModelSpec

logger = logging.getLogger(__name__)

_LENGTH = struct.Struct("<Q")

# How soon after its start a death counts as one that the next start will not cure.
_EARLY = 5.0
_PAUSES = (0.0, 0.1, 0.5, 2.0, 10.0)

# How long a successor may take to load, while requests wait for it.
_SUCCESSOR = 600.0

# What has closed its socket is about to end: whether by itself or by a signal is worth a moment's wait.
_LAST_WORDS = 2.0


class Raw(Struct, array_like=True):
    """A tensor on the wire: numbers as bytes, texts and bytes as they are."""

    name: str
    dtype: str
    shape: list[int]
    data: bytes
    items: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class Loaded(Struct, tag=True):
    """What the child tells of its model once it has loaded it."""

    platform: str
    batchable: bool
    concurrency: int
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class Asked(Struct, tag=True):
    inputs: list[Raw]
    options: Options


class Answered(Struct, tag=True):
    outputs: list[Raw]


class Failed(Struct, tag=True):
    """Attributes:
    kind: the exception's class.
    """

    status: int
    text: str
    kind: str = ""


Message = Loaded | Asked | Answered | Failed

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Message).decode


class Channel:
    """Messages over a socket, each with its length before it. Blocking."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def send(self, message: Message) -> None:
        data = _encode(message)
        self._sock.sendall(_LENGTH.pack(len(data)))
        self._sock.sendall(data)

    def receive(self, patience: float | None = None) -> Message:
        """Args:
            patience: seconds in which something must come; None is for ever.

        Raises:
            EOFError: the other end is gone.
            TimeoutError
        """
        self._sock.settimeout(patience)
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        message: Message = _decode(self._exactly(length))
        self._sock.settimeout(None)
        return message

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


def wired(tensor: Tensor) -> Raw:
    array = tensor.array
    if array.dtype.kind in "OUS":
        items = [value if isinstance(value, str | bytes) else str(value) for value in array.ravel().tolist()]
        return Raw(tensor.name, "O", list(array.shape), b"", items, tensor.parameters)
    return Raw(tensor.name, array.dtype.str, list(array.shape), array.tobytes(), None, tensor.parameters)


def unwired(raw: Raw) -> Tensor:
    array: Array
    if raw.items is not None:
        array = np.empty(len(raw.items), object)
        array[:] = raw.items
    else:
        array = np.frombuffer(raw.data, np.dtype(raw.dtype))
    return Tensor(raw.name, array.reshape(raw.shape), raw.parameters)


class Child:
    """The process."""

    def __init__(self, spec: ModelSpec) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mizzen.serve.isolation", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.PIPE,
            )
        assert self.process.stdin is not None
        self.process.stdin.write(msgspec.json.encode(spec, enc_hook=str))
        self.process.stdin.close()
        self.channel = Channel(ours)
        self.born = time.monotonic()

    def end(self, patience: float = 0.0) -> str:
        """Make sure that it is gone, and say what became of it: of itself, if it is so within ``patience`` seconds."""
        self.channel.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return _fate(self.process.wait(patience))
        self.process.kill()
        return _fate(self.process.wait())


def _fate(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"was killed by {name}" + {"SIGSEGV": " (it crashed)", "SIGKILL": " (perhaps for memory)"}.get(name, "")


class Isolated(TensorModel):
    """A model that another process runs."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec.name, spec.version)
        self._spec = msgspec.structs.replace(spec, isolation="thread")
        self._child: Child | None = None
        self._lock = threading.Lock()
        self._deaths = 0

    def load(self) -> None:
        loaded = self._start()
        self.platform = loaded.platform
        self.batchable = loaded.batchable
        self.inputs, self.outputs = loaded.inputs, loaded.outputs

    def unload(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.end()

    def interrupt(self) -> bool:
        """End a call that does not end. Returns whether that was possible."""
        child = self._child
        if child is not None:
            child.process.kill()
        # If there is none, one has just died and another starts, which has a limit of its own.
        return True

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        with self._lock:
            if self._child is None:
                self._again()
            assert self._child is not None
            try:
                self._child.channel.send(Asked([wired(tensor) for tensor in inputs], options))
                answer = self._child.channel.receive()
            except (EOFError, OSError):
                raise self._died() from None
        if isinstance(answer, Answered):
            return [unwired(raw) for raw in answer.outputs]
        assert isinstance(answer, Failed)
        if answer.status == 501:
            raise NotImplementedError(answer.text)
        raise InferenceError(answer.text, answer.status)

    def _start(self, patience: float | None = None) -> Loaded:
        child = Child(self._spec)
        try:
            message = child.channel.receive(patience)
        except EOFError:
            raise LoadError(f"model {self.name}: its process {child.end(_LAST_WORDS)} while it loaded") from None
        except TimeoutError:
            child.end()
            raise LoadError(f"model {self.name}: its process has not loaded it within {patience:g} s") from None
        if isinstance(message, Failed):
            child.end()
            raise LoadError(message.text)
        assert isinstance(message, Loaded)
        self._child = child
        return message

    def _died(self) -> InferenceError:
        child, self._child = self._child, None
        assert child is not None
        fate = child.end(_LAST_WORDS)
        self._deaths = self._deaths + 1 if time.monotonic() - child.born < _EARLY else 1
        logger.error("model %s: its process %d %s; the next request starts another", self.name, child.process.pid, fate)
        return InferenceError(f"the model's process {fate}")

    def _again(self) -> None:
        """Start a successor; the sooner the last ones died, the longer it waits."""
        time.sleep(_PAUSES[min(max(self._deaths - 1, 0), len(_PAUSES) - 1)])
        try:
            self._start(_SUCCESSOR)
        except LoadError as error:
            self._deaths += 1
            raise ModelNotReady(self.name, str(error)) from None


def main(descriptor: int) -> int:
    """What the child runs: load what standard input describes, then answer until the other end closes."""
    # Ctrl-C is the server's, which ends this process by closing its socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = Channel(socket.socket(fileno=descriptor))
    spec = msgspec.json.decode(sys.stdin.buffer.read(), type=ModelSpec, dec_hook=_path)
    # What a model prints is no message of ours, and what it reads from here is nothing.
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        model = _loaded(spec)
    except Exception as error:
        channel.send(Failed(503, str(error) or type(error).__name__))
        return 1
    channel.send(Loaded(model.platform, model.batchable, model.concurrency, model.inputs, model.outputs))
    while True:
        try:
            asked = channel.receive()
        except EOFError:
            return 0
        assert isinstance(asked, Asked)
        channel.send(_answer(model, asked))


def _loaded(spec: ModelSpec) -> TensorModel:
    from mizzen.serve.runtimes import registry

    model: Servable = registry.build(spec, os.environ)
    other = model.load()
    model = other if isinstance(other, Servable) else model
    if not isinstance(model, TensorModel):
        raise LoadError(f"model {spec.name} cannot run in a process of its own: it is none from tensors to tensors")
    return model


def _answer(model: TensorModel, asked: Asked) -> Message:
    from mizzen.serve.errors import describe

    try:
        outputs = model.infer([unwired(raw) for raw in asked.inputs], asked.options)
        return Answered([wired(tensor) for tensor in outputs])
    except SystemExit as error:
        return Failed(500, f"the model tried to end the process: sys.exit({error.code!r})")
    except Exception as error:
        status, text = describe(error)
        return Failed(status, text, type(error).__name__)


def _path(kind: Any, value: Any) -> Any:
    return Path(value) if kind is Path else value


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
