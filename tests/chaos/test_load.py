"""kill -9 under load: clients that never pause see answers or 503, in order, and never wait in vain."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from installed import Mizzen, installation, iris_manifest, train, until

PATIENCE = 20
CLIENTS = 16
BODY = json.dumps({"instances": [[5.1, 3.5, 1.4, 0.2]]}).encode()
REQUEST = (
    b"POST /v1/models/iris:predict HTTP/1.1\r\nHost: iris-default.example.com\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)


@pytest.fixture
def serving(tmp_path):
    train(tmp_path)
    with installation() as mizzen:
        mizzen.apply(iris_manifest(tmp_path))
        mizzen.wait_ready("iris")
        until(lambda: mizzen.predict("iris", [[5.1, 3.5, 1.4, 0.2]])[0] == 200)
        yield mizzen


class Load:
    """Clients that ask one request after the other, each on a connection that it keeps."""

    def __init__(self, mizzen: Mizzen) -> None:
        address = urlsplit(mizzen.status()["gateway"]["url"])
        self._address = address.hostname, address.port
        self.statuses: Counter[int] = Counter()
        self.broken: list[str] = []
        self.wrong: list[Any] = []
        self.done = asyncio.Event()

    async def client(self) -> None:
        reader, writer = await asyncio.open_connection(*self._address)
        while not self.done.is_set():
            try:
                async with asyncio.timeout(PATIENCE):
                    writer.write(REQUEST)
                    status, closes, body = await _read(reader)
            except TimeoutError:
                self.broken.append("a request hung")
                return
            except (OSError, asyncio.IncompleteReadError) as error:
                self.broken.append(repr(error))
                closes = True
            else:
                self.statuses[status] += 1
                if status == 200 and body != b'{"predictions":[0]}':
                    self.wrong.append(body)
                if status == 503:
                    await asyncio.sleep(0.005)
            if closes:
                writer.close()
                reader, writer = await asyncio.open_connection(*self._address)
        writer.close()

    async def while_(self, trouble: Callable[[], None]) -> None:
        """Ask without a pause before, during and after something happens."""
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self.client())
            await self._answers(100)
            await asyncio.to_thread(trouble)
            await self._answers(100)
            self.done.set()

    async def _answers(self, count: int) -> None:
        async with asyncio.timeout(60):
            goal = self.statuses[200] + count
            while self.statuses[200] < goal and not self.broken:
                await asyncio.sleep(0.005)


async def _read(reader: asyncio.StreamReader) -> tuple[int, bool, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
    return int(head.split()[1]), b"connection: close" in head, await reader.readexactly(length)


async def test_the_model_server(serving):
    load = Load(serving)
    before = serving.server_pid("iris")

    def trouble() -> None:
        os.kill(before, signal.SIGKILL)
        until(lambda: serving.server_pid("iris") != before)
        serving.wait_ready("iris")

    await load.while_(trouble)
    assert (load.broken, load.wrong) == ([], [])
    assert set(load.statuses) <= {200, 503}, load.statuses
    events = serving("describe", "isvc", "iris")
    assert "because of: PredictorReady, Ready\n" in events or "no longer Ready" not in events


async def test_the_model_server_again_and_again(serving):
    """Also while it is coming back; the back-off grows, and requests are told, not left to wait."""
    load = Load(serving)

    def trouble() -> None:
        for _ in range(2):
            pid = serving.server_pid("iris")
            os.kill(pid, signal.SIGKILL)
            until(lambda pid=pid: serving.server_pid("iris") != pid)

    await load.while_(trouble)
    assert (load.broken, load.wrong) == ([], [])
    assert set(load.statuses) <= {200, 503}, load.statuses


async def test_the_zygote_and_its_models(serving):
    load = Load(serving)

    def trouble() -> None:
        before = serving.server_pid("iris")
        # What is forked has the command line of the zygote, and a later pid.
        os.kill(min(pid for pid, command in serving.processes().items() if "--name sklearn" in command), signal.SIGKILL)
        until(lambda: serving.server_pid("iris") != before)
        serving.wait_ready("iris")

    await load.while_(trouble)
    assert (load.broken, load.wrong) == ([], [])
    assert set(load.statuses) <= {200, 503}, load.statuses


@pytest.mark.parametrize("role", ["apiserver", "node", "controllers"])
async def test_a_role_that_no_request_passes_through(serving, role):
    load = Load(serving)

    def trouble() -> None:
        os.kill(serving.status()["roles"][role]["pid"], signal.SIGKILL)
        until(lambda: serving.status()["roles"][role]["restarts"] == 1)
        until(lambda: serving.status()["ready"])

    await load.while_(trouble)
    assert (load.broken, load.wrong) == ([], [])
    assert set(load.statuses) == {200}


async def test_the_gateway(serving):
    """Its connections break, as they must; new ones wait in the kernel, and none of them is refused or hangs."""
    load = Load(serving)

    def trouble() -> None:
        os.kill(serving.status()["roles"]["gateway"]["pid"], signal.SIGKILL)
        until(lambda: serving.status()["roles"]["gateway"]["restarts"] == 1)
        until(lambda: serving.status()["ready"])

    async with asyncio.timeout(120):
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(load.client())
            while load.statuses[200] < 100:
                await asyncio.sleep(0.005)
            await asyncio.to_thread(trouble)
            goal = load.statuses[200] + 100
            while load.statuses[200] < goal:
                await asyncio.sleep(0.005)
            load.done.set()
    assert load.wrong == []
    assert "a request hung" not in load.broken
    assert not [words for words in load.broken if "Refused" in words], load.broken
    assert set(load.statuses) <= {200, 503}, load.statuses


async def test_a_rolling_update_loses_no_request(serving, tmp_path):
    """Nothing is killed here: the old server finishes what it has begun while the new one takes over."""
    load = Load(serving)
    other = tmp_path / "other"
    train(other)

    def trouble() -> None:
        before = serving.server_pid("iris")
        serving.apply(iris_manifest(other))
        until(lambda: len(serving.objects("pods")) == 1 and serving.server_pid("iris") != before)

    await load.while_(trouble)
    assert (load.broken, load.wrong) == ([], [])
    assert set(load.statuses) == {200}, load.statuses
