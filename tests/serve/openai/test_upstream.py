"""Models that another server runs. That server is a stand-in (``stand_in.py``), a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mizzen.serve.errors import LoadError
from mizzen.serve.lanes.scheduling import Scheduling
from mizzen.serve.runtimes import upstream
from mizzen.serve.spec import ModelSpec
from serve.openai.conftest import Running, Start, eventually

STAND_IN = Path(__file__).parent / "stand_in.py"
COMMAND = [sys.executable, str(STAND_IN), "{port}"]


def model(name: str = "m", **settings: Any) -> upstream.Upstream:
    return upstream.build(ModelSpec(name=name, directory=Path("/nowhere"), settings=settings), os.environ)


@pytest.fixture
async def server(running: Start) -> Any:
    made = model(upstream_command=COMMAND, upstream_startup=20.0, upstream_timeout=20.0)
    started = await running(made)
    yield started
    await asyncio.to_thread(made.unload)


def health(server: Running) -> str:
    lane = server.server.repository.get("m").lane
    assert lane is not None
    base = server.server.repository.get("m").model._base  # type: ignore[attr-defined]
    return str(base).removesuffix("/v1")


async def written(server: Running) -> int:
    async with await server.http.request("GET", f"{health(server)}/written") as response:
        return int(json.loads(await response.read())["written"])


async def test_a_request_passes_whole_and_so_does_its_answer(server: Running) -> None:
    answer = await server.client().completions.create(model="m", prompt="hi", extra_body={"guided_regex": "a+"})
    said = json.loads(answer.choices[0].text)
    assert said["asked"] == {"model": "m", "prompt": "hi", "guided_regex": "a+"}
    assert (said["path"], said["authorization"]) == ("/v1/completions", "Bearer none")
    for path in ("chat/completions", "embeddings", "rerank"):
        asked = await server.ask(path, {"model": "m", "messages": "x", "input": "x"})
        assert json.loads(asked.json["choices"][0]["text"])["path"] == f"/v1/{path}"
    assert [one.id for one in (await server.client().models.list()).data] == ["m"]


async def test_a_stream_passes_as_it_comes(server: Running) -> None:
    stream = await server.client().completions.create(model="m", prompt="three", stream=True)
    assert [part.choices[0].text async for part in stream] == ["0 ", "1 ", "2 "]
    raw = await server.ask("completions", {"model": "m", "prompt": "three", "stream": True})
    assert raw.events[-1] == "[DONE]"


async def test_a_disconnect_ends_the_request_there_too(server: Running) -> None:
    stream = await server.client().completions.create(model="m", prompt="for ever", stream=True)
    parts = aiter(stream)
    # It is unbuffered: the first parts are here while the stand-in has written only a few.
    for _ in range(3):
        await anext(parts)
    assert await written(server) < 100
    await stream.close()
    served = server.server.repository.get("m")
    await eventually(lambda: served.in_flight == 0)
    before = -1
    while (now := await written(server)) != before:
        before = now
        await asyncio.sleep(0.1)
    assert now < 200


@pytest.mark.parametrize(
    ("prompt", "status", "kind", "text"),
    [
        ("refuse", 400, "BadRequestError", "not that"),
        ("busy", 429, None, "busy"),
        ("break", 502, "BadGateway", "Received invalid response from upstream: status 500, '<html>sorry</html>'"),
        ("hang up", 503, "ServiceUnavailableError", "Failed to communicate with upstream"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_errors_are_as_kserves_proxy_has_them(
    server: Running, prompt: str, status: int, kind: str | None, text: str, stream: bool
) -> None:
    answer = await server.ask("completions", {"model": "m", "prompt": prompt, "stream": stream})
    error = answer.json["error"]
    assert (answer.status, error.get("type")) == (status, kind)
    assert text in error["message"]
    assert answer.headers.get("retry-after") == ("7" if prompt == "busy" else None)


async def test_an_answer_that_does_not_begin_is_504(running: Start) -> None:
    made = model(upstream_command=COMMAND, upstream_timeout=0.1)
    server = await running(made)
    answer = await server.ask("completions", {"model": "m", "prompt": "sleep"})
    assert (answer.status, answer.error["type"]) == (504, "GatewayTimeout")
    await asyncio.to_thread(made.unload)


async def test_a_stream_that_breaks_off_is_an_event_and_the_end(server: Running) -> None:
    answer = await server.ask("completions", {"model": "m", "prompt": "cut", "stream": True})
    *parts, last = answer.events
    assert len(parts) == 3
    assert last["error"]["type"] == "ServiceUnavailableError"


async def test_nobody_there_is_503(running: Start) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        server = await running(model(upstream=f"http://127.0.0.1:{sock.getsockname()[1]}/v1"))
        answer = await server.ask("completions", {"model": "m", "prompt": "x"})
    assert (answer.status, answer.error["type"]) == (503, "ServiceUnavailableError")


async def test_its_own_name_and_key(running: Start, server: Running) -> None:
    made = model("other", upstream=f"{health(server)}/v1/", upstream_model="real", upstream_api_key="secret")
    answer = await (await running(made)).ask("completions", {"model": "other", "prompt": "x", "n": 3})
    said = json.loads(answer.json["choices"][0]["text"])
    assert said["asked"] == {"model": "real", "prompt": "x", "n": 3}
    assert said["authorization"] == "Bearer secret"


async def test_a_bound_on_requests_under_way(running: Start) -> None:
    made = model(upstream_command=COMMAND)
    server = await running(made, scheduling=Scheduling(queue=1))
    stream = await server.client().completions.create(model="m", prompt="for ever", stream=True)
    answer = await server.ask("completions", {"model": "m", "prompt": "x"})
    assert (answer.status, answer.error["code"], answer.headers["retry-after"]) == (503, "queue_full", "1")
    await stream.close()
    await asyncio.to_thread(made.unload)


async def test_it_takes_no_tensors(server: Running) -> None:
    answer = await server.ask("m:predict", {"instances": ["x"]}, prefix="/v1/models/")
    assert (answer.status, "/openai/v1" in answer.json["error"]) == (400, True)


async def test_when_its_process_dies_the_model_is_not_ready_and_says_why(server: Running) -> None:
    answer = await server.ask("completions", {"model": "m", "prompt": "die"})
    assert answer.status == 503
    served = server.server.repository.get("m")
    await eventually(lambda: not served.ready)
    assert "exit code 3" in served.reason
    assert "out of memory" in served.reason


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"upstream_command": ["/no/such/program"]}, "cannot be started: No such file"),
        ({"upstream_command": [sys.executable, "-c", "raise SystemExit('no GPU')"]}, "exit code 1: no GPU"),
        (
            {"upstream_command": [sys.executable, "-c", "import time; time.sleep(60)"], "upstream_startup": 0.2},
            "does not answer /health nor /v1/models after 0.2 s",
        ),
        ({"upstream": "localhost:8000"}, "must be an address such as"),
        ({"upstream": "ftp://x/v1"}, "must be an address such as"),
        ({}, "must be an address such as"),
        ({"upstream": "http://x/v1", "upstream_command": "x"}, "only one of them"),
        ({"upstream": "http://x/v1", "upstream_timeout": "soon"}, "upstream_timeout"),
    ],
)
def test_what_cannot_be_loaded_is_said(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(LoadError, match=text):
        model(**settings).load()


def test_the_command_ends_with_the_server_however_that_ends(tmp_path: Path) -> None:
    """Even where it is killed, and the command has children of its own."""
    marker = tmp_path / "pids"
    program = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(marker)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "time.sleep(600)\n"
    )
    server = (
        "import os, time\n"
        "from mizzen.serve.runtimes.upstream import Child\n"
        f"Child([{sys.executable!r}, '-c', {program!r}], os.environ)\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", server])
    try:
        asyncio.run(eventually(lambda: marker.exists() and len(marker.read_text().split()) == 2))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    pids = [int(pid) for pid in marker.read_text().split()]
    asyncio.run(eventually(lambda: not any(_lives(pid) for pid in pids)))


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
