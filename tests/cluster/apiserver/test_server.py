"""The server as a socket sees it: headers, limits, slow clients, and an orderly end."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from api_client import DEFAULT, TABLE, Api, config_map
from apiserver_fixture import Server, config_for, listening, process, serving
from mizzen.cluster.apiserver import server as server_module
from mizzen.cluster.apiserver.store import StoreError

MAPS = f"{DEFAULT}/configmaps"


async def test_answers_are_json_and_nothing_else(api: Api) -> None:
    answers = [
        await api.create(MAPS, config_map("a")),
        await api.get(f"{MAPS}/a"),
        await api.get(MAPS),
        await api.get(MAPS, Accept=TABLE),
        await api.patch(f"{MAPS}/a", {}),
        await api.get(f"{MAPS}/absent"),
        await api.delete(f"{MAPS}/a"),
        await api.get("/api"),
    ]
    for answer in answers:
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Cache-Control"] == "no-cache, private"


async def test_only_json_is_given(api: Api) -> None:
    answer = await api.get(MAPS, Accept="application/vnd.kubernetes.protobuf")
    assert (answer.code, answer.reason) == (406, "NotAcceptable")


async def test_a_binary_body_is_refused_in_words(api: Api) -> None:
    answer = await api.create(MAPS, b"k8s\x00\x0a\x02", content="application/vnd.kubernetes.protobuf")
    assert (answer.code, answer.reason) == (415, "UnsupportedMediaType")
    assert "application/json" in answer.message


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_beyond_the_limit_is_refused(api: Api, chunked: bool) -> None:
    body = json.dumps(config_map("big", {"x": "x" * (3 * 1024 * 1024)})).encode()

    async def pieces() -> Any:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    data = pieces() if chunked else body
    async with api.session.post(MAPS, data=data, headers={"Content-Type": "application/json"}) as response:
        found = json.loads(await response.text())
    assert (response.status, found["reason"]) == (413, "RequestEntityTooLarge")
    assert (await api.get(MAPS)).ok()["items"] == []


async def test_large_answers_are_compressed_for_those_who_ask(api: Api, server: Server) -> None:
    for name in ("a", "b"):
        (await api.create(MAPS, config_map(name, {"x": "x" * 200_000}))).ok()
    async with server.session(auto_decompress=False) as session:
        async with session.get(MAPS, headers={"Accept-Encoding": "gzip"}) as response:
            packed = await response.read()
            assert response.headers["Content-Encoding"] == "gzip"
        async with session.get(MAPS, headers={"Accept-Encoding": "identity"}) as response:
            plain = await response.read()
            assert "Content-Encoding" not in response.headers
        async with session.get("/api/v1/namespaces", headers={"Accept-Encoding": "gzip"}) as response:
            assert "Content-Encoding" not in response.headers
        async with session.get("/openapi/v3/api/v1", headers={"Accept-Encoding": "identity"}) as response:
            assert json.loads(await response.read())["openapi"] == "3.0.0"
    assert gzip.decompress(packed) == plain
    assert len(packed) < len(plain) / 10


async def connected(server: Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(
        "127.0.0.1", int(server.url.rpartition(":")[2]), ssl=server.ssl_context(), limit=1 << 20
    )


async def test_a_careful_client_is_told_to_continue(server: Server, api: Api) -> None:
    reader, writer = await connected(server)
    body = json.dumps(config_map("a")).encode()
    head = (
        f"POST {MAPS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.token}\r\n"
        f"Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode())
    async with asyncio.timeout(20):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await reader.readline()).startswith(b"HTTP/1.1 201")
    writer.close()
    assert (await api.get(f"{MAPS}/a")).ok()


async def test_a_body_that_never_comes_does_not_hold_a_handler_for_ever(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_BODY_SECONDS", 0.2)
    reader, writer = await connected(server)
    head = f"POST {MAPS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.token}\r\nContent-Length: 100\r\n\r\n{{"
    writer.write(head.encode())
    async with asyncio.timeout(20):
        with pytest.raises((ConnectionError, ssl.SSLError)):
            assert await reader.read() == b""
            raise ConnectionResetError
    writer.close()


async def test_a_client_that_stops_reading_is_dropped(
    server: Server, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_STALLED_SECONDS", 0.2)
    for number in range(12):
        (await api.create(MAPS, config_map(f"n{number}", {"x": "x" * 1_000_000}))).ok()
    reader, writer = await connected(server)
    transport = writer.transport
    transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(f"GET {MAPS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.token}\r\n\r\n".encode())
    await asyncio.sleep(1)
    transport.resume_reading()  # type: ignore[attr-defined]
    received = b""
    async with asyncio.timeout(20):
        try:
            while piece := await reader.read(1 << 20):
                received += piece
        except (ConnectionError, ssl.SSLError):
            pass
    writer.close()
    assert len(received) < 12_000_000
    assert (await api.get(MAPS)).ok()


@pytest.mark.parametrize(
    "text",
    [
        "GARBAGE\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /api/v1/namespaces HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        "GET /" + "a" * 100_000 + " HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_answered_and_forgotten(
    server: Server, api: Api, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await connected(server)
    writer.write(text.encode())
    async with asyncio.timeout(20):
        assert (await reader.readline()).split()[1] == b"400"
    writer.close()
    assert (await api.get(MAPS)).ok()
    assert not caplog.records


async def test_a_long_selector_is_no_problem(api: Api) -> None:
    names = ",".join(f"name-{number}" for number in range(2000))
    assert (await api.get(f"{MAPS}?labelSelector=app+in+({names})")).ok()["items"] == []


async def test_a_defect_is_an_error_with_a_status(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("mizzen.cluster.apiserver.api.list_objects", broken)
    answer = await api.get(MAPS)
    assert (answer.code, answer.reason) == (500, "InternalError")
    assert "log" in answer.message and "Zero" not in answer.message


async def test_writes_under_way_are_finished_when_the_server_ends(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    async with serving(tmp_path) as server:
        session = server.session()

        async def write(task: int) -> None:
            for step in range(10_000):
                answer = await Api(session).create(MAPS, config_map(f"n{task}-{step}"))
                if answer.code != 201:
                    return
                acknowledged.append(f"n{task}-{step}")

        writers = [asyncio.create_task(write(task)) for task in range(4)]
        while len(acknowledged) < 40:
            await asyncio.sleep(0.01)
    await asyncio.gather(*writers, return_exceptions=True)
    await session.close()
    async with serving(tmp_path) as server, server.session() as session:
        assert set(acknowledged) <= set((await Api(session).get(MAPS)).ok().names)


async def test_a_store_that_is_held_is_said_before_anything_is_served(tmp_path: Path) -> None:
    async with serving(tmp_path):
        config = config_for(tmp_path, listening())
        with pytest.raises(StoreError, match="another process holds the store"):
            await server_module.run(config, ready=lambda: pytest.fail("it was not ready"))


def test_a_server_in_a_process_of_its_own_ends_on_request(tmp_path: Path) -> None:
    with process(tmp_path) as server:
        assert server.process is not None
        script = (
            "import sys, urllib.request, ssl\n"
            "context = ssl.create_default_context(cafile=sys.argv[2])\n"
            "print(urllib.request.urlopen(sys.argv[1] + '/readyz', context=context).read().decode())"
        )
        command = [sys.executable, "-c", script, server.url, str(server.ca)]
        assert subprocess.check_output(command, text=True, env=server.environment).strip() == "ok"
        server.process.terminate()
        assert server.process.wait(30) == 0


async def test_an_idle_server_writes_nothing(server: Server, api: Api) -> None:
    """No timer writes: after a while the files are as they were."""
    await api.create(MAPS, config_map("a"))
    data = server.home / "data"

    def state() -> dict[str, tuple[int, int]]:
        return {path.name: (path.stat().st_size, path.stat().st_mtime_ns) for path in data.iterdir()}

    before = state()
    await api.get(MAPS)
    await asyncio.sleep(1)
    assert state() == before


async def test_watchers_that_hang_up_while_they_are_told_leave_no_trace(
    server: Server, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that is killed in the middle of a watch is everyday life, and no error of ours."""
    (await api.create(MAPS, config_map("a"))).ok()
    watch = f"GET {MAPS}?watch=true HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.token}\r\n\r\n".encode()
    over = asyncio.Event()

    async def change() -> None:
        number = 0
        while not over.is_set():
            number += 1
            (await api.patch(f"{MAPS}/a", {"data": {"a": str(number)}})).ok()

    async def come_and_go() -> None:
        for _ in range(30):
            reader, writer = await connected(server)
            writer.write(watch)
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writer.close()

    async with asyncio.TaskGroup() as group:
        changing = group.create_task(change())
        await asyncio.gather(*(come_and_go() for _ in range(8)))
        over.set()
        await changing
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
