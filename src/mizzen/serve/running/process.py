"""One process that serves: it loads, listens, tells that it does, and ends so that nothing is lost.

A server has one of these, or, with ``--workers``, several that share its sockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

import msgspec

from mizzen.http.server import Limits
from mizzen.serve.arguments import Arguments
from mizzen.serve.errors import LoadError, ServeError
from mizzen.serve.forwarding import config as forwarding
from mizzen.serve.generation.model import GenerativeModel
from mizzen.serve.generation.relay import Relay
from mizzen.serve.lanes.threads import raise_to, share
from mizzen.serve.layouts.find import is_code
from mizzen.serve.model import Servable
from mizzen.serve.observing.observer import Observer
from mizzen.serve.protocols.grpc.call import MessageLimits
from mizzen.serve.repository import Repository, Source
from mizzen.serve.running import crashes, crumb
from mizzen.serve.running.binding import url
from mizzen.serve.running.peers import Peers
from mizzen.serve.running.tls import Certificate
from mizzen.serve.runtimes import registry
from mizzen.serve.served import Broken, Served
from mizzen.serve.server import ModelServer
from mizzen.serve.spec import ModelSpec

logger = logging.getLogger("mizzen.serve")

COLLECT_AFTER = 20_000

# What a server ends with that lost a model to a call without end: its supervisor is to start it again.
EXIT_STUCK = 75


@dataclass(slots=True)
class Start:
    """How a server starts, beside its arguments.

    Attributes:
        host: the address.
        began: on :func:`time.perf_counter`.
        notice: for how long those who route here are given to notice that it ends.
        second_port: another port to listen on, if it can be had.
        greet: whether a person watches, and is told how to ask.
        models: what to serve, in place of what the arguments name.
    """

    host: str
    began: float
    notice: float = 0.0
    second_port: int | None = None
    greet: bool = False
    models: Sequence[Servable] | None = None


class Process:
    """One process that serves: the only one, or one of several workers.

    Args:
        sockets: bound, not listening.
    """

    def __init__(
        self,
        arguments: Arguments,
        start: Start,
        source: Source | None,
        sockets: Sequence[socket.socket],
        certificate: Certificate | None,
    ) -> None:
        self._arguments = arguments
        self._start = start
        self._source = source
        self._sockets = sockets
        self._certificate = certificate
        self._urls = [url(sock, "https" if certificate else "http") for sock in sockets]

    def serve(self, channel: socket.socket | None = None) -> int:
        """Load, listen, serve. Returns the exit code."""
        crashes.tell()
        if channel is None:
            self._hear_of_the_last()
        elif (board := crashes.share()) is not None:
            Peers.show(channel, board)
        repository = self._repository()
        # What is loaded now stays, so the collector need not look at it again and again. Requests leave no cycles, only
        # their number makes it run: often, that is a millisecond every few batches.
        gc.freeze()
        gc.set_threshold(COLLECT_AFTER)
        arguments = self._arguments
        limits = Limits(body=arguments.max_request_bytes, keep_alive=arguments.keep_alive)
        messages = MessageLimits(arguments.grpc_max_receive_message_length, arguments.grpc_max_send_message_length)
        server = ModelServer(
            repository,
            limits,
            messages if arguments.enable_grpc else None,
            docs=bool(arguments.docs),
            observers=_observers(arguments),
            latency=arguments.enable_latency_logging,
        )
        with asyncio.Runner(loop_factory=_new_loop) as runner:
            code = runner.run(self._serve(server, channel))
        if code:
            crumb.forget()
            # A thread that is stuck in a model would keep the interpreter from ending.
            sys.stderr.flush()
            os._exit(code)
        for served in repository:
            try:
                served.model.unload()  # somebody's own code may have something to put away
            except Exception as error:
                logger.warning("model %s did not stop cleanly: %s: %s", served.model.name, type(error).__name__, error)
        return code

    def tell_ready(self, what: str, greeting: str) -> None:
        """Say, in the log and to whoever watches, that it serves."""
        arguments, start = self._arguments, self._start
        took = (time.perf_counter() - start.began) * 1000
        place = f" from {arguments.model_dir}" if arguments.model_dir else ""
        by = f" by {arguments.workers} processes" if arguments.workers > 1 else ""
        verb = "are" if what.endswith("models") else "is"
        logger.info("%s%s %s served%s at %s (%.0f ms)", what, place, verb, by, self._urls[0], took)
        if start.greet:
            print(greeting, flush=True)

    def _hear_of_the_last(self) -> None:
        """Tell what became of the server before this one, if that could not, and leave the same for the next."""
        address = self._sockets[0].getsockname()[0]
        who = crumb.whose(address, self._arguments.http_port, os.environ)
        if who and (said := crumb.leave(who, os.environ)):
            logger.error("%s", said)

    def _repository(self) -> Repository:
        arguments, start = self._arguments, self._start
        threads = share(os.environ)
        prepare = partial(raise_to, threads) if threads > 1 else None
        build = partial(make, environ=os.environ)
        repository = Repository(arguments.scheduling, prepare, self._source, build, memory=arguments.model_memory)
        if start.models is not None:
            for model in start.models:
                if isinstance(model, Broken):
                    with contextlib.suppress(LoadError):  # which its maker has told of
                        repository.load(model)
                else:
                    repository.take(model)
            return repository
        if arguments.predictor_host:
            forwarding.configure(forwarding.of_arguments(arguments))
        if not arguments.load_at_start:
            return repository
        errors = repository.load_all()
        if errors and not any(served.ready for served in repository):
            raise errors[0]
        for error in errors:
            logger.error("%s", error)
        return repository

    async def _serve(self, server: ModelServer, channel: socket.socket | None) -> int:
        loop = asyncio.get_running_loop()
        ending: asyncio.Future[int] = loop.create_future()

        def end(number: int) -> None:
            if ending.done():  # somebody is impatient
                crumb.forget()
                os._exit(128 + number)
            ending.set_result(0)
            waiting = sum(served.in_flight for served in server.repository)
            if self._start.greet and waiting:
                what = "1 request" if waiting == 1 else f"{waiting} requests"
                print(f"finishing {what}; once more to end at once", file=sys.stderr, flush=True)

        def stuck(served: Served, reason: str) -> None:
            logger.error(
                "model %s: %s, and its thread cannot be ended: the server finishes the other requests and ends",
                served.model.name,
                reason,
            )
            if not ending.done():
                ending.set_result(EXIT_STUCK)

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end, number)
        repository = server.repository
        repository.stuck = stuck
        certificate, start = self._certificate, self._start
        for sock, at in zip(self._sockets, self._urls, strict=True):
            try:
                await server.listen(sock=sock, tls=certificate.context if certificate else None)
            except OSError as error:
                raise ServeError(f"{at} is taken by another process ({error.strerror})") from None
        models = list(repository)
        what = f"model {models[0].model.name}" if len(models) == 1 else f"{len(repository.names)} models"
        hint = greeting(models, self._urls[0], bool(self._arguments.docs))
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(certificate.watch())] if certificate else []
            if channel is not None:
                server.peers = Peers(server.act, channel)
                repository.everyone = server.peers.everyone
                await server.peers.start(what, hint)
                background.append(tasks.create_task(_end_when_lost(server.peers, ending)))
            else:
                self.tell_ready(what, hint)
            if share(os.environ) > 1:
                # Raising takes tens of milliseconds: not before the server answers, and not in the first request's.
                for served in models:
                    if served.lane is not None:
                        served.lane.start()
            if self._arguments.reload and is_code(self._arguments.model_dir or ""):
                from mizzen.serve.custom import reload

                background += [
                    tasks.create_task(reload.watch(repository, name, start.began)) for name in repository.names
                ]
            code = await ending
            for task in background:
                task.cancel()
        grace = self._arguments.grace_period
        if not await server.drain(grace, start.notice):
            logger.warning("requests were still under way after %g s and were cut off", grace)
        if server.peers is not None:
            await server.peers.close()
        return code


async def _end_when_lost(peers: Peers, ending: asyncio.Future[int]) -> None:
    await peers.lost.wait()
    if not ending.done():
        ending.set_result(0)


def _observers(arguments: Arguments) -> list[Observer]:
    """Whoever is told of each request: nobody, unless it was asked for."""
    found: list[Observer] = []
    if arguments.access_log != "off":
        from mizzen.serve.observing.accesslog import AccessLog, as_json, as_kserve

        every = 1 if arguments.access_log == "full" else int(arguments.access_log)
        found.append(AccessLog(every, as_json if arguments.access_log_format == "json" else as_kserve))
    if any(name.startswith("OTEL_") for name in os.environ):
        from mizzen.serve.observing import tracing

        spans = tracing.from_environment(os.environ)
        if spans is not None:
            found.append(spans)
    return found


def make(spec: ModelSpec, environ: Mapping[str, str]) -> Servable:
    """The model of a spec, in this process or in one of its own."""
    if spec.isolation == "process":
        from mizzen.serve.isolation import isolated

        return isolated(spec)
    return registry.build(spec, environ)


def greeting(models: Sequence[Served], url: str, docs: bool = False) -> str:
    """Where the models answer, and a command that asks one something."""
    from mizzen.serve import example  # a pod greets nobody

    ready = [served.model for served in models if served.ready]
    names = list(dict.fromkeys(model.name for model in ready))
    verb = "listens" if len(names) == 1 else "listen"
    lines = [f"{', '.join(names[:8])}{', ...' if len(names) > 8 else ''} {verb} on {url}."]
    if ready:
        model = ready[0]
        if isinstance(model, GenerativeModel | Relay):
            body = f'{{"model": "{model.name}", "prompt": "Once upon a time", "max_tokens": 20}}'
            asked = [f"curl -s {url}/openai/v1/completions -d '{body}'"]
        else:
            inputs = [msgspec.convert(msgspec.to_builtins(one), example.Input) for one in model.inputs]
            asked = example.command(f"curl -s {url}", quote(model.name, safe=""), inputs).splitlines()
        lines[0] += " Try:"
        lines += ["", *(f"  {line}" for line in asked)]
    if docs:
        lines += ["", f"The API, to read and to try: {url}/docs"]
    return "\n".join([*lines, ""])


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # not made for this system
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
