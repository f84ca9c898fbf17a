"""What the API server asks of the node, by HTTP on a Unix socket: the logs of containers.

Paths and parameters are those of a kubelet. Running commands and forwarding ports will stand beside them.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from aiohttp import web

from mizzen.cluster.node.podfolder import PodFolder
from mizzen.cluster.node.pods import Pods
from mizzen.cluster.node.runtime import logs
from mizzen.kube import times

_SHUTDOWN_SECONDS = 1.0


class LogQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What of a log is wanted. ``since`` is in seconds since the epoch."""

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since: float | None = None


def log_query(given: dict[str, str], now: float) -> LogQuery:
    """The parameters of a request. Raises ``ValueError`` in words."""
    seconds, moment = _number(given, "sinceSeconds", 1), given.get("sinceTime")
    if seconds is not None and moment:
        raise ValueError("at most one of `sinceTime` or `sinceSeconds` may be specified")
    since = None if seconds is None else now - seconds
    if moment:
        try:
            since = times.parse(moment).timestamp()
        except ValueError as error:
            raise ValueError(f"sinceTime: {moment!r} is no RFC 3339 time") from error
    return LogQuery(
        follow=_flag(given, "follow"),
        previous=_flag(given, "previous"),
        timestamps=_flag(given, "timestamps"),
        tail_lines=_number(given, "tailLines", 0),
        limit_bytes=_number(given, "limitBytes", 1),
        since=since,
    )


def _flag(given: dict[str, str], name: str) -> bool:
    # A parameter without a value means true, as Go's clients write it.
    return name in given and given[name].lower() not in ("false", "0", "f")


def _number(given: dict[str, str], name: str, least: int) -> int | None:
    text = given.get(name, "")
    if not text:
        return None
    if not text.isdecimal() or int(text) < least:
        raise ValueError(f"{name}: Invalid value: {text!r}: must be a whole number greater than or equal to {least}")
    return int(text)


class LogServer:
    """Answers ``GET /containerLogs/<namespace>/<pod>/<container>``."""

    def __init__(self, pods: Pods, folder: Path) -> None:
        self._pods = pods
        self._folder = folder

    @asynccontextmanager
    async def serving(self, socket: Path) -> AsyncIterator[None]:
        """Serve for as long as the context lasts."""
        app = web.Application()
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._log)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        try:
            socket.parent.mkdir(parents=True, exist_ok=True)
            # Of an agent that was killed: a socket's file stays.
            socket.unlink(missing_ok=True)
            await web.UnixSite(runner, socket).start()
            yield
        finally:
            await runner.cleanup()

    async def _log(self, request: web.Request) -> web.StreamResponse:
        where = request.match_info
        namespace, name, container = where["namespace"], where["pod"], where["container"]
        try:
            query = log_query(dict(request.query), time.time())
        except ValueError as error:
            return web.Response(status=400, text=str(error))
        found = self._pods.worker(namespace, name)
        if found is None:
            return web.Response(status=404, text=f'pod "{name}" in namespace "{namespace}" does not run on this node')
        worker, uid = found
        number = worker.run_with_log(container, previous=query.previous)
        if number is None:
            which = "previous terminated container" if query.previous else "container"
            return web.Response(status=400, text=f'{which} "{container}" in pod "{name}" not found')
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        async for chunk in logs.read(
            PodFolder(self._folder, uid).log(container, number),
            follow=query.follow,
            ended=_ended(worker.is_running, container, number),
            tail_lines=query.tail_lines,
            since=query.since,
            timestamps=query.timestamps,
            limit_bytes=query.limit_bytes,
        ):
            await response.write(chunk)
        await response.write_eof()
        return response


def _ended(is_running: Callable[[str, int], bool], container: str, number: int) -> Callable[[], bool]:
    return lambda: not is_running(container, number)
