"""What the child runs: load what standard input describes, then answer until the other end closes."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from pathlib import Path
from typing import Any

import msgspec

from mizzen.serve.isolation import inside
from mizzen.serve.model import Servable
from mizzen.serve.running.logs import configure
from mizzen.serve.spec import ModelSpec


def main(descriptor: int, log: bool) -> int:
    if log:
        configure(os.environ, None)
    spec = msgspec.json.decode(sys.stdin.buffer.read(), type=ModelSpec, dec_hook=_path)
    # What a model prints is no message of ours, and what it reads from here is nothing.
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)

    def make() -> Servable:
        from mizzen.serve.runtimes import registry

        return registry.build(spec, os.environ)

    return inside.answer(make, socket.socket(fileno=descriptor))


def _path(kind: Any, value: Any) -> Any:
    return Path(value) if kind is Path else value


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2] == "log"))
