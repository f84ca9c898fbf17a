"""Logs: the right container is asked for, and its text is passed on as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from api_client import DEFAULT, Api, pod
from apiserver_fixture import serving

PODS = f"{DEFAULT}/pods"


class Agent:
    """A node agent that notes what it is asked and says what it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.more = asyncio.Event()
        self.status = 200

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path, dict(request.query)))
        if self.status != 200:
            return web.Response(status=self.status, text="the agent says why")
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        await response.write(b"first\n")
        if request.query.get("follow") == "true":
            await self.more.wait()
            await response.write("zweite Zeile: ü\n".encode())
        return response


@asynccontextmanager
async def agent_at(socket: Path) -> AsyncIterator[Agent]:
    agent = Agent()
    application = web.Application()
    application.router.add_get("/containerLogs/{tail:.*}", agent.answer)
    runner = web.AppRunner(application, shutdown_timeout=1, handler_cancellation=True)
    await runner.setup()
    await web.UnixSite(runner, str(socket)).start()
    try:
        yield agent
    finally:
        await runner.cleanup()


@asynccontextmanager
async def with_agent(home: Path) -> AsyncIterator[tuple[Api, Agent]]:
    socket = home / "node.sock"
    async with agent_at(socket) as agent, serving(home, node_socket=socket) as server, server.session() as session:
        yield Api(session), agent


async def running_pod(api: Api, name: str = "p", state: Any = None, **spec: Any) -> None:
    (await api.create(PODS, pod(name, **spec))).ok()
    (await api.create(f"{PODS}/{name}/binding", {"target": {"name": "n1"}})).ok()
    statuses = [{"name": "main", "state": state or {"running": {}}}]
    (await api.patch(f"{PODS}/{name}/status", {"status": {"containerStatuses": statuses}})).ok()


async def test_the_text_of_the_only_container(tmp_path: Path) -> None:
    async with with_agent(tmp_path) as (api, agent):
        await running_pod(api)
        answer = await api.get(f"{PODS}/p/log?tailLines=5&timestamps=true&previous=false&stream=All")
        assert (answer.code, answer.text) == (200, "first\n")
        assert answer.headers["Content-Type"] == "text/plain"
        expected = {"tailLines": "5", "timestamps": "true", "previous": "false"}
        assert agent.asked == [("/containerLogs/default/p/main", expected)]


async def test_a_followed_log_comes_line_by_line(tmp_path: Path) -> None:
    async with with_agent(tmp_path) as (api, agent):
        await running_pod(api)
        async with api.session.get(f"{PODS}/p/log?follow=true") as response:
            async with asyncio.timeout(20):
                assert await response.content.readline() == b"first\n"
                agent.more.set()
                assert (await response.content.read()).decode() == "zweite Zeile: ü\n"


async def test_a_followed_log_ends_with_the_server(tmp_path: Path) -> None:
    socket = tmp_path / "node.sock"
    async with agent_at(socket):
        async with serving(tmp_path, node_socket=socket) as server:
            session = server.session()
            await running_pod(Api(session))
            response = await session.get(f"{PODS}/p/log?follow=true")
            assert await response.content.readline() == b"first\n"
            ending = asyncio.create_task(response.content.read())
            await asyncio.sleep(0)
        # Not broken off: the body was finished.
        assert await ending == b""
        await session.close()


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("", "a container name must be specified for pod p, choose one of: [main side]"),
        ("?container=other", "container other is not valid for pod p"),
    ],
)
async def test_the_container_must_be_known(tmp_path: Path, query: str, text: str) -> None:
    async with with_agent(tmp_path) as (api, agent):
        containers = [{"name": name, "image": "example.com/app:1"} for name in ("main", "side")]
        await running_pod(api, containers=containers)
        answer = await api.get(f"{PODS}/p/log{query}")
        assert answer.code == 400
        assert answer.message.startswith(text)
        assert (await api.get(f"{PODS}/p/log?container=side")).text == "first\n"
        assert agent.asked == [("/containerLogs/default/p/side", {"container": "side"})] or len(agent.asked) == 1


async def test_a_container_that_waits_has_only_its_reason(tmp_path: Path) -> None:
    async with with_agent(tmp_path) as (api, agent):
        await running_pod(api, state={"waiting": {"reason": "ErrImagePull"}})
        answer = await api.get(f"{PODS}/p/log")
        assert (answer.code, answer.message) == (
            400,
            'container "main" in pod "p" is waiting to start: ErrImagePull',
        )
        crashed = {"name": "main", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
        crashed["lastState"] = {"terminated": {"exitCode": 1}}  # type: ignore[assignment]
        await api.patch(f"{PODS}/p/status", {"status": {"containerStatuses": [crashed]}})
        assert (await api.get(f"{PODS}/p/log")).text == "first\n"
        (await api.create(PODS, pod("waiting"))).ok()
        assert "not scheduled" in (await api.get(f"{PODS}/waiting/log")).message
        assert len(agent.asked) == 1


async def test_no_pod_no_log(tmp_path: Path) -> None:
    async with with_agent(tmp_path) as (api, _):
        assert (await api.get(f"{PODS}/absent/log")).code == 404


@pytest.mark.parametrize(
    ("status", "code", "reason"), [(404, 404, "NotFound"), (400, 400, "BadRequest"), (500, 500, "InternalError")]
)
async def test_what_the_agent_refuses_is_passed_on(tmp_path: Path, status: int, code: int, reason: str) -> None:
    async with with_agent(tmp_path) as (api, agent):
        await running_pod(api)
        agent.status = status
        answer = await api.get(f"{PODS}/p/log")
        assert (answer.code, answer.reason) == (code, reason)
        assert "the agent says why" in answer.message


@pytest.mark.parametrize("socket", [None, "gone.sock"])
async def test_an_agent_that_is_away_is_said_so(tmp_path: Path, socket: str | None) -> None:
    place = tmp_path / socket if socket else None
    async with serving(tmp_path, node_socket=place) as server, server.session() as session:
        api = Api(session)
        await running_pod(api)
        answer = await api.get(f"{PODS}/p/log")
        assert (answer.code, answer.reason) == (503, "ServiceUnavailable")
        assert "log cannot be read" in answer.message
