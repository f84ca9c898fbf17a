"""Serving the models of a program, by one process or by several.

Models that the program has loaded by now must not be forked: numeric libraries that have started threads hang in the
child. So with ``--workers`` each worker runs the program again from its start, which comes to this place with the
sockets of the first, and serves. The first binds and supervises; its own models answer nothing. With
``--isolation process`` each model is such a run of the program, too: it comes here, is told which model it is, and
answers for that one alone.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from mizzen.serve import main
from mizzen.serve.arguments import Arguments
from mizzen.serve.custom.program import load
from mizzen.serve.errors import LoadError, ServeError
from mizzen.serve.isolation import inside, of_this_program
from mizzen.serve.isolation.child import MODEL
from mizzen.serve.model import Servable
from mizzen.serve.running.binding import bind
from mizzen.serve.running.logs import configure
from mizzen.serve.running.process import Process, Start
from mizzen.serve.running.tls import Certificate
from mizzen.serve.running.workers import Supervisor

logger = logging.getLogger(__name__)

# The descriptors that a worker finds: its channel to the supervisor, and the sockets.
WORKER = "MIZZEN_WORKER_DESCRIPTORS"


def serve(models: Sequence[Servable], arguments: Arguments) -> int:
    """Load what is not loaded, serve until told to end, let the models go. Returns the exit code.

    Raises:
        MizzenError: says in one sentence why it cannot.
    """
    if mine := os.environ.pop(MODEL, ""):
        return _be(models, arguments, *json.loads(mine))
    descriptors = os.environ.pop(WORKER, "")
    if arguments.isolation == "process":
        models = _isolated(models)
    if arguments.workers > 1 and not descriptors:
        return _supervise(arguments)
    if arguments.configure_logging:
        configure(os.environ, arguments.log_config_file)
    models = load(models)
    if descriptors:
        return _work(models, arguments, [int(one) for one in descriptors.split(",")])
    try:
        return main.serve_models(models, arguments)
    finally:
        for model in models:
            model.unload()


def _isolated(models: Sequence[Servable]) -> list[Servable]:
    """What stands for the models here, once each has a process of its own.

    Raises:
        ServeError: the program cannot be run again.
    """
    program = sys.modules["__main__"]
    if getattr(program, "__file__", None) in (None, "<stdin>") and "-c" not in sys.orig_argv:
        raise ServeError(
            "--isolation process runs this program again for each of its models, which cannot be done with one that "
            "was typed or came from standard input: run it from a file, or let mizzen serve file.py:Class --isolation "
            "process make the model"
        )
    return [of_this_program(model.name, model.version) for model in models]


def _be(models: Sequence[Servable], arguments: Arguments, descriptor: int, name: str, version: str | None) -> int:
    """Be one of the models, for the process that has started this one."""
    if arguments.configure_logging:
        configure(os.environ, arguments.log_config_file)

    def mine() -> Servable:
        for model in reversed(models):  # of two with one name the last is served
            if (model.name, model.version) == (name, version):
                return model
        raise LoadError(f"the program has made a model {name}, and none of that name when it was run again for it")

    return inside.answer(mine, socket.socket(fileno=descriptor))


def _supervise(arguments: Arguments) -> int:
    if arguments.configure_logging:
        configure(os.environ, arguments.log_config_file)
    start = _start(arguments)
    certificate = _certificate(arguments)
    sockets = [bind(start.host, arguments.http_port)]
    if arguments.enable_grpc:
        sockets += _second(start.host, arguments)
    process = Process(arguments, start, None, sockets, certificate)
    grace = arguments.grace_period + start.notice
    return Supervisor(arguments.workers, _again(sockets), process.tell_ready, grace).run()


def _second(host: str, arguments: Arguments) -> list[socket.socket]:
    """The port of gRPC, where it can be had; all ports speak it."""
    if arguments.grpc_port is not None:
        return [bind(host, arguments.grpc_port)]
    if not arguments.http_port:
        return []
    try:
        return [bind(host, main.GRPC_PORT)]
    except ServeError as error:
        logger.warning("%s; gRPC is spoken on port %d", error, arguments.http_port)
        return []


def _again(sockets: Sequence[socket.socket]) -> Callable[[socket.socket], int]:
    """What a worker does: the program, from its start."""

    def run(channel: socket.socket) -> NoReturn:
        handed = [channel, *sockets]
        for one in handed:
            os.set_inheritable(one.fileno(), True)
        environ = os.environ | {WORKER: ",".join(str(one.fileno()) for one in handed)}
        # What was typed, with the interpreter's own options; sys.argv has lost those.
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environ)

    return run


def _work(models: Sequence[Servable], arguments: Arguments, descriptors: Sequence[int]) -> int:
    channel, *sockets = [socket.socket(fileno=one) for one in descriptors]
    for one in (channel, *sockets):
        one.set_inheritable(False)
        one.setblocking(False)
    process = Process(arguments, _start(arguments, models), None, sockets, _certificate(arguments))
    try:
        return process.serve(channel)
    finally:
        for model in models:
            model.unload()


def _start(arguments: Arguments, models: Sequence[Servable] | None = None) -> Start:
    host = os.environ.get(main.BIND_ADDRESS) or arguments.host or "0.0.0.0"
    return Start(host, time.perf_counter(), notice=main.NOTICE, models=models)


def _certificate(arguments: Arguments) -> Certificate | None:
    if arguments.ssl_certfile is None or arguments.ssl_keyfile is None:
        return None
    return Certificate(arguments.ssl_certfile, arguments.ssl_keyfile)
