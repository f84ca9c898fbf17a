"""What the child runs: load what standard input describes, then answer until the other end closes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import msgspec

from mizzen.serve.custom.servable import CustomServable
from mizzen.serve.errors import LoadError, describe
from mizzen.serve.generation.model import GenerativeModel
from mizzen.serve.isolation.session import Health, run
from mizzen.serve.isolation.wire import Answered, Asked, Channel, Failed, FromChild, Loaded, unwired, wired
from mizzen.serve.model import Servable, TensorModel
from mizzen.serve.running.logs import configure
from mizzen.serve.spec import ModelSpec


def main(descriptor: int, log: bool) -> int:
    # Ctrl-C is the server's, which ends this process by closing its socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if log:
        configure(os.environ, None)
    sock = socket.socket(fileno=descriptor)
    channel = Channel(sock)
    spec = msgspec.json.decode(sys.stdin.buffer.read(), type=ModelSpec, dec_hook=_path)
    # What a model prints is no message of ours, and what it reads from here is nothing.
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        model = _loaded(spec)
    except Exception as error:
        channel.send(Failed(503, str(error) or type(error).__name__))
        return 1
    if isinstance(model, CustomServable):
        channel.send(_described(model))
        asyncio.run(run(model, sock))
        return 0
    channel.send(_described(model))
    while True:
        try:
            asked = channel.receive()
        except EOFError:
            return 0
        assert isinstance(asked, Asked)
        channel.send(_answer(model, asked))


def _described(model: Servable) -> Loaded:
    tensors = model if isinstance(model, TensorModel) else None
    return Loaded(
        model.platform,
        tensors is not None and tensors.batchable,
        tensors.concurrency if tensors is not None else 1,
        model.inputs,
        model.outputs,
        [str(file) for file in model.files],
        model.reads_headers,
        model.explains,
        custom=tensors is None,
    )


def _loaded(spec: ModelSpec) -> TensorModel | CustomServable:
    from mizzen.serve.runtimes import registry

    model: Servable = registry.build(spec, os.environ)
    if isinstance(model, CustomServable):
        model.tell = Health()
    other = model.load()
    model = other if isinstance(other, Servable) else model
    if isinstance(model, TensorModel | CustomServable):
        return model
    if isinstance(model, GenerativeModel):
        raise LoadError(
            f"model {spec.name} generates, and such a model cannot run in a process of its own: leave out "
            "--isolation process; with --workers a process that it crashes is started again"
        )
    raise LoadError(f"model {spec.name} cannot run in a process of its own: it is none from tensors to tensors")


def _answer(model: TensorModel, asked: Asked) -> FromChild:
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
    sys.exit(main(int(sys.argv[1]), sys.argv[2] == "log"))
