"""Starting and ending a model server process.

Two ways in: :func:`container` is what a pod runs, forked from a zygote that has imported everything, or by
``python -m mizzen.serve``; :func:`serve` is the command line's ``mizzen serve``. Either loads first and listens after,
and says in one sentence on stderr why it could not: in a pod that sentence becomes the termination message.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

from mizzen.errors import MizzenError, leave_termination_message
from mizzen.serve.arguments import ArgumentError, Arguments, parse
from mizzen.serve.errors import ServeError
from mizzen.serve.layouts import find
from mizzen.serve.model import Servable
from mizzen.serve.repository import Source
from mizzen.serve.running import crumb
from mizzen.serve.running.binding import bind
from mizzen.serve.running.logs import configure
from mizzen.serve.running.process import Process, Start
from mizzen.serve.running.tls import Certificate
from mizzen.serve.running.workers import Supervisor

logger = logging.getLogger("mizzen.serve")

BIND_ADDRESS = "MIZZEN_BIND_ADDRESS"

# Where KServe's servers speak gRPC. Ours speak everything on every port, so it is done without if it is taken.
GRPC_PORT = 8081

# For this long after SIGTERM the server still takes new requests, while those who route to it see it not ready.
NOTICE = 0.25


def container(argv: Sequence[str], read: Callable[[Sequence[str], Mapping[str, str]], Arguments] | None = None) -> int:
    """Serve what the arguments say until SIGTERM. Returns the exit code: 0 after a clean end, 1 if it cannot serve.

    Args:
        read: makes arguments of a command line and an environment; by default they are in this server's own words.
    """
    signal.signal(signal.SIGTERM, _end_before_ready)
    began = time.perf_counter()
    try:
        arguments = (read or parse)(argv, os.environ)
        if arguments.model_dir is None:
            raise ArgumentError("--model_dir is missing: the folder that holds the model file")
        host = os.environ.get(BIND_ADDRESS) or arguments.host or "0.0.0.0"
        return run(arguments, Start(host, began, notice=NOTICE, second_port=GRPC_PORT))
    except MizzenError as error:
        return _failed(error)


def command(argv: Sequence[str]) -> int:
    """``mizzen serve``: serve until interrupted, and print how to ask. Returns the exit code."""
    began = time.perf_counter()
    try:
        arguments = parse(argv, os.environ, prog="mizzen serve", positional=True)
        host = os.environ.get(BIND_ADDRESS) or arguments.host or "127.0.0.1"
        if arguments.docs is None:
            arguments.docs = True
        arguments.reload = True
        return run(arguments, Start(host, began, notice=NOTICE, greet=True))
    except MizzenError as error:
        return _failed(error)
    except KeyboardInterrupt:
        return 130


def serve_models(models: Sequence[Servable], arguments: Arguments) -> int:
    """Serve models that a program of somebody's own has made and loaded, until SIGTERM. Returns the exit code."""
    host = os.environ.get(BIND_ADDRESS) or arguments.host or "0.0.0.0"
    return run(arguments, Start(host, time.perf_counter(), notice=NOTICE, second_port=GRPC_PORT, models=models))


def run(arguments: Arguments, start: Start) -> int:
    """Bind, load, serve, end.

    Raises:
        MizzenError: says in one sentence why it cannot.
    """
    if arguments.configure_logging:
        configure(os.environ, arguments.log_config_file)
    with contextlib.ExitStack() as kept:
        source = None
        if start.models is None:
            assert arguments.model_dir is not None
            source = kept.enter_context(found(arguments.model_dir, arguments))
        for warning in arguments.warnings:
            logger.warning("%s", warning)
        certificate = None
        if arguments.ssl_certfile is not None and arguments.ssl_keyfile is not None:
            certificate = Certificate(arguments.ssl_certfile, arguments.ssl_keyfile)
        sockets = [bind(start.host, arguments.http_port)]
        if arguments.grpc_port is not None and arguments.grpc_port != (arguments.http_port or None):
            sockets.append(bind(start.host, arguments.grpc_port))
        elif start.second_port is not None and arguments.http_port and arguments.enable_grpc:
            try:
                sockets.append(bind(start.host, start.second_port))
            except ServeError as error:
                logger.warning("%s; gRPC is spoken on port %d", error, arguments.http_port)
        process = Process(arguments, start, source, sockets, certificate)
        if arguments.workers == 1:
            try:
                return process.serve()
            finally:
                crumb.forget()  # whatever it ends with, it was not killed
        grace = arguments.grace_period + start.notice
        return Supervisor(arguments.workers, process.serve, process.tell_ready, grace).run()


def _failed(error: MizzenError) -> int:
    sentence = " ".join(str(error).split())
    leave_termination_message(sentence)
    print(f"mizzen: {sentence}", file=sys.stderr, flush=True)
    return 1


@contextlib.contextmanager
def found(model_dir: str, arguments: Arguments) -> Iterator[Source]:
    """What there is at ``--model_dir``; what an address names is downloaded, and kept as long as the server needs it.

    Raises:
        StorageError, LoadError: it cannot be had, or is nothing that can be served.
    """
    if find.is_code(model_dir):
        yield find.code(model_dir, arguments)
        return
    if "://" not in model_dir:
        yield find.source(Path(model_dir), arguments, os.environ)
        return
    # Seldom needed: in a pod the model has been fetched by an init container.
    from mizzen.storage.download import download

    if model_dir.startswith("file://"):
        yield find.source(download(model_dir), arguments, os.environ)
        return
    with tempfile.TemporaryDirectory(prefix="mizzen-model-", dir=_beside_cache()) as folder:
        yield find.source(download(model_dir, folder), arguments, os.environ)


def _beside_cache() -> Path | None:
    """A folder on the disk of the model cache, where a model that is cached need not be copied; None without one."""
    from mizzen.storage.cache import folder_of

    cache = folder_of(os.environ)
    if cache is None:
        return None
    place = cache.parent / "serving"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return place


def _end_before_ready(number: int, frame: FrameType | None) -> None:
    """SIGTERM while the model loads: nothing is under way. (Process 1 of a namespace has no default for it.)"""
    crumb.forget()
    os._exit(128 + number)
