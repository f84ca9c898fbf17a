"""Probes of running containers."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from mizzen.apis.core import POD
from node_world import Object, World, condition, is_ready, status_of

SERVER = """
import http.server, os, sys, time
folder = os.getcwd()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.strip("/")
        good = not os.path.exists(f"{folder}/not-{name}")
        if name == "polite":
            good = self.headers.get("X-Word") == "please"
        self.send_response(200 if good else 503)
        self.end_headers()
    def log_message(self, *_): pass
time.sleep(float(sys.argv[1]) if len(sys.argv) > 1 else 0)
http.server.ThreadingHTTPServer((os.environ["POD_IP"], 8080), Handler).serve_forever()
"""


def server(*arguments: str, **fields: object) -> Object:
    return {
        "image": "python",
        "command": ["python", "-c", SERVER, *arguments],
        "ports": [{"name": "web", "containerPort": 8080}],
    } | fields


def get(path: str, **fields: object) -> Object:
    return {"httpGet": {"path": path, "port": "web"}, "periodSeconds": 1} | fields


def work(node: World, pod: Object, run: int = 0) -> Path:
    """Where the server finds what it is to be."""
    return node.folder(pod) / f"containers/main/{run}/work"


async def test_ready_when_the_server_answers_and_not_a_period_later(node: World) -> None:
    began = time.monotonic()
    await node.run("server", server(readinessProbe=get("/", periodSeconds=60)))
    await node.ready("server")
    assert time.monotonic() - began < 50


async def test_ready_as_the_server_says(node: World) -> None:
    await node.run("server", server(readinessProbe=get("/ready", failureThreshold=1)))
    pod = await node.ready("server")
    switch = work(node, pod) / "not-ready"
    switch.touch()
    pod = await node.until("server", lambda pod: not is_ready(pod))
    assert condition(pod, "ContainersReady") == "False"
    assert status_of(pod)["started"] and not status_of(pod)["ready"]
    assert "Readiness probe failed: HTTP probe failed with statuscode: 503" in await node.event("server", "Unhealthy")
    switch.unlink()
    pod = await node.ready("server")
    assert status_of(pod)["restartCount"] == 0


async def test_a_probe_with_headers_and_an_open_port(node: World) -> None:
    probe = {"httpGet": {"path": "/polite", "port": 8080, "httpHeaders": [{"name": "X-Word", "value": "please"}]}}
    await node.run("server", server(readinessProbe=probe, livenessProbe={"tcpSocket": {"port": "web"}}))
    await node.ready("server")


async def test_a_command_as_a_probe(node: World) -> None:
    probe = {"exec": {"command": ["sh", "-c", "test -e go"]}, "periodSeconds": 1}
    await node.run("server", server(readinessProbe=probe))
    pod = await node.until("server", lambda pod: status_of(pod).get("started"))
    assert not is_ready(pod)
    (work(node, pod) / "go").touch()
    await node.ready("server")


async def test_a_server_that_is_no_longer_alive_is_started_again(node: World) -> None:
    probe = get("/alive", failureThreshold=2, terminationGracePeriodSeconds=1)
    await node.run("server", server(livenessProbe=probe), terminationGracePeriodSeconds=600)
    pod = await node.ready("server")
    (work(node, pod) / "not-alive").touch()
    pod = await node.until("server", lambda pod: status_of(pod)["restartCount"] == 1 and is_ready(pod))
    assert "Container main failed liveness probe, will be restarted" in await node.event("server", "Killing")
    assert "Liveness probe failed" in await node.event("server", "Unhealthy")


async def test_nothing_else_is_asked_before_the_start_is_over(node: World) -> None:
    # The liveness probe alone would kill it long before it listens.
    await node.run(
        "server",
        server(
            "3",
            startupProbe=get("/", failureThreshold=60),
            livenessProbe=get("/", failureThreshold=1),
            readinessProbe=get("/"),
        ),
    )
    pod = await node.until("server", lambda pod: "running" in (status_of(pod).get("state") or {}))
    assert not status_of(pod)["started"]
    pod = await node.ready("server")
    assert status_of(pod)["started"] and status_of(pod)["restartCount"] == 0


async def test_a_start_that_takes_too_long(node: World) -> None:
    await node.run("server", server("600", startupProbe=get("/", failureThreshold=1)), restartPolicy="Never")
    await node.finished("server")
    assert "Container main failed startup probe" in await node.event("server", "Killing")


async def test_a_readiness_gate(node: World) -> None:
    gate = "example.com/approved"
    await node.run("server", server(), readinessGates=[{"conditionType": gate}])
    pod = await node.until("server", lambda pod: condition(pod, "ContainersReady") == "True")
    assert not is_ready(pod)
    status = {"status": {"conditions": [{"type": gate, "status": "True"}]}}
    await node.client.patch(POD, "server", "default", status, kind="strategic", subresource="status")
    await node.ready("server")
    # What the node writes leaves it alone.
    await asyncio.sleep(0.1)
    assert condition(await node.ready("server"), gate) == "True"
