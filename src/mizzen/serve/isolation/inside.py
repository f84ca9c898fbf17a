"""The whole life of a model's process: load, tell what was loaded, answer until the other end closes."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable

from mizzen.serve.custom.servable import CustomServable
from mizzen.serve.errors import LoadError
from mizzen.serve.generation.model import Encoder, GenerativeModel
from mizzen.serve.isolation import wire
from mizzen.serve.isolation.session import Health, run
from mizzen.serve.isolation.wire import Answered, Asked, Channel, Failed, FromChild, Loaded, unwired, wired
from mizzen.serve.model import Servable, TensorModel


def answer(make: Callable[[], Servable], sock: socket.socket) -> int:
    """Live it. Returns the process's exit code.

    Args:
        make: makes the model, not loaded; what it raises is told to the server.
        sock: to the server.
    """
    # Ctrl-C is the server's, which ends this process by closing its socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = Channel(sock)
    try:
        model = _loaded(make())
    except Exception as error:
        channel.send(Failed(503, str(error) or type(error).__name__))
        return 1
    channel.send(_described(model))
    if not isinstance(model, TensorModel):
        asyncio.run(run(model, sock))
        return 0
    while True:
        try:
            asked = channel.receive()
        except EOFError:
            return 0
        assert isinstance(asked, Asked)
        channel.send(_answer(model, asked))


def _loaded(model: Servable) -> Servable:
    if isinstance(model, CustomServable):
        model.tell = Health()
    other = model.load()
    model = other if isinstance(other, Servable) else model
    if isinstance(model, TensorModel | CustomServable | GenerativeModel):
        return model
    raise LoadError(
        f"model {model.name} cannot run in a process of its own: it is none from tensors to tensors, and none that "
        "generates here"
    )


def _described(model: Servable) -> Loaded:
    found = Loaded(
        "custom",
        model.platform,
        model.inputs,
        model.outputs,
        [str(file) for file in model.files],
        reads_headers=model.reads_headers,
        explains=model.explains,
    )
    if isinstance(model, GenerativeModel):
        found.kind, found.features, found.concurrency = "generates", sorted(model.features), model.concurrency
    elif isinstance(model, TensorModel):
        found.kind, found.batchable, found.concurrency = "tensors", model.batchable, model.concurrency
        found.methods = sorted(model.methods) if isinstance(model, Encoder) else None
    return found


def _answer(model: TensorModel, asked: Asked) -> FromChild:
    try:
        outputs = model.infer([unwired(raw) for raw in asked.inputs], asked.options)
        return Answered([wired(tensor) for tensor in outputs])
    except SystemExit as error:
        return Failed(500, f"the model tried to end the process: sys.exit({error.code!r})")
    except Exception as error:
        return wire.failed(error)
