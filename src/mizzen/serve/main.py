"""Starting and ending a model server process.

Two ways in: :func:`container` is what a pod runs, forked from a zygote that has imported everything, or by
``python -m mizzen.serve``; :func:`serve` is the command line's ``mizzen serve``. Either loads first and listens after,
and says in one sentence on stderr why it could not: in a pod that sentence becomes the termination message.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import FrameType

import msgspec

from mizzen.errors import MizzenError, leave_termination_message
from mizzen.http.server import Limits
from mizzen.serve.arguments import ArgumentError, Arguments, parse
from mizzen.serve.errors import ServeError
from mizzen.serve.repository import Repository, Served
from mizzen.serve.runtimes.sklearn import SklearnModel
from mizzen.serve.scheduling import Scheduling
from mizzen.serve.server import ModelServer
from mizzen.serve.threads import raise_to, share
from mizzen.serve.tls import Certificate

logger = logging.getLogger("mizzen.serve")

BIND_ADDRESS = "MIZZEN_BIND_ADDRESS"

COLLECT_AFTER = 20_000

# For this long after SIGTERM the server still takes new requests, while those who route to it see it not ready.
NOTICE = 0.25


def container(argv: Sequence[str]) -> int:
    """Serve what the arguments say until SIGTERM. Returns the exit code: 0 after a clean end, 1 if it cannot serve."""
    signal.signal(signal.SIGTERM, _end_before_ready)
    began = time.perf_counter()
    _log_to_stderr(os.environ)
    try:
        arguments = parse(argv, os.environ)
        for warning in arguments.warnings:
            logger.warning("%s", warning)
        if arguments.model_dir is None:
            raise ArgumentError("--model_dir is missing: the folder that holds the model file")
        host = os.environ.get(BIND_ADDRESS) or arguments.host or "0.0.0.0"
        return _run(arguments, host, began, notice=NOTICE, greet=False)
    except MizzenError as error:
        return _failed(error)


def serve(directory: str | Path, *, name: str = "model", host: str | None = None, port: int = 8080) -> int:
    """Serve the model in ``directory`` until interrupted, and print how to ask it. Returns the exit code."""
    began = time.perf_counter()
    _log_to_stderr(os.environ)
    arguments = Arguments(model_dir=str(directory), model_name=name, http_port=port)
    try:
        return _run(arguments, os.environ.get(BIND_ADDRESS) or host or "127.0.0.1", began, notice=0.0, greet=True)
    except MizzenError as error:
        return _failed(error)
    except KeyboardInterrupt:
        return 130


def _failed(error: MizzenError) -> int:
    sentence = " ".join(str(error).split())
    leave_termination_message(sentence)
    print(f"mizzen: {sentence}", file=sys.stderr, flush=True)
    return 1


def _run(arguments: Arguments, host: str, began: float, *, notice: float, greet: bool) -> int:
    certificate = None
    if arguments.ssl_certfile is not None and arguments.ssl_keyfile is not None:
        certificate = Certificate(arguments.ssl_certfile, arguments.ssl_keyfile)
    threads = share(os.environ)
    repository = Repository(
        Scheduling(batching=arguments.batching), partial(raise_to, threads) if threads > 1 else None
    )
    assert arguments.model_dir is not None
    with fetched(arguments.model_dir) as folder:
        served = repository.load(SklearnModel(arguments.model_name, folder, os.environ))
    # What is loaded now stays, so the collector need not look at it again and again. Requests leave no cycles, only
    # their number makes it run: often, that is a millisecond every few batches.
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)
    server = ModelServer(repository, Limits(body=arguments.max_request_bytes, keep_alive=arguments.keep_alive))
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        return runner.run(_serve(server, served, arguments, certificate, host, began, notice, greet))


async def _serve(
    server: ModelServer,
    served: Served,
    arguments: Arguments,
    certificate: Certificate | None,
    host: str,
    began: float,
    notice: float,
    greet: bool,
) -> int:
    loop = asyncio.get_running_loop()
    ending = asyncio.Event()

    def end(number: int) -> None:
        if ending.is_set():  # somebody is impatient
            os._exit(128 + number)
        ending.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, number)
    try:
        addresses = await server.listen(host, arguments.http_port, certificate.context if certificate else None)
    except OSError as error:
        raise ServeError(_why_not(error, host, arguments.http_port)) from None
    scheme = "https" if certificate else "http"
    urls = [f"{scheme}://[{at}]:{port}" if ":" in at else f"{scheme}://{at}:{port}" for at, port in addresses]
    took = (time.perf_counter() - began) * 1000
    logger.info("model %s from %s is served at %s (%.0f ms)", served.model.name, arguments.model_dir, urls[0], took)
    if greet:
        print(greeting(served, urls[0]), flush=True)
    if share(os.environ) > 1:
        # Raising takes tens of milliseconds: not before the server answers, and not in the first request's time.
        assert served.lane is not None
        served.lane.start()
    watch = loop.create_task(certificate.watch()) if certificate else None
    await ending.wait()
    if watch is not None:
        watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watch
    finished = await server.drain(arguments.grace_period, notice)
    if not finished:
        logger.warning("requests were still under way after %g s and were cut off", arguments.grace_period)
    return 0


def greeting(served: Served, url: str) -> str:
    """Where the model answers, and a command that asks it something."""
    from mizzen.serve import example  # a pod greets nobody

    model = served.model
    inputs = [msgspec.convert(msgspec.to_builtins(one), example.Input) for one in model.inputs]
    lines = example.command(f"curl -s {url}", model.name, inputs).splitlines()
    return "\n".join([f"{model.name} listens on {url}. Try:", "", *(f"  {line}" for line in lines), ""])


@contextlib.contextmanager
def fetched(model_dir: str) -> Iterator[Path]:
    """The folder that ``--model_dir`` names; of a URI, what it was downloaded to, for as long as it is being read.

    Raises:
        StorageError: it cannot be had.
    """
    if "://" not in model_dir:
        yield Path(model_dir)
        return
    # Seldom needed: in a pod the model has been fetched by an init container.
    from mizzen.storage.download import download

    if model_dir.startswith("file://"):
        yield download(model_dir)
        return
    with tempfile.TemporaryDirectory(prefix="mizzen-model-") as folder:
        yield download(model_dir, folder)


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is taken by another process; end that one, or choose another port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine"
    if error.errno == errno.EACCES:
        return f"port {port} on {host} needs more rights than this user has; choose one above 1023"
    return f"cannot listen on {host}:{port}: {error.strerror or error}"


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # not made for this system
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _end_before_ready(number: int, frame: FrameType | None) -> None:
    """SIGTERM while the model loads: nothing is under way. (Process 1 of a namespace has no default for it.)"""
    os._exit(128 + number)


def _log_to_stderr(environ: Mapping[str, str]) -> None:
    """The log's form is KServe's, as tools that read it expect."""
    handler = logging.StreamHandler()
    form = logging.Formatter(
        "%(asctime)s.%(msecs)03d %(process)d mizzen %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S"
    )
    handler.setFormatter(form)
    level = environ.get("KSERVE_LOGLEVEL", "INFO").upper()
    root = logging.getLogger("mizzen")
    root.handlers[:] = [handler]
    root.propagate = False
    root.setLevel(level if level in logging.getLevelNamesMapping() else "INFO")
