"""``--workers``: several processes behind one port, as if they were one."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import joblib
import pytest
from sklearn.dummy import DummyClassifier

from mizzen.http.client import Client
from mizzen.http.errors import HttpError
from serving_process import ask

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="children are found in /proc, so: Linux")

ROW = {"instances": [[5.1, 3.5, 1.4, 0.2]]}


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def constant(folder: Path, answer: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(DummyClassifier(strategy="constant", constant=answer).fit([[0], [1]], [answer, 0]), folder / "m.joblib")


@pytest.fixture
async def served(start, tmp_path):
    """A server of three workers over a folder of models, and where it is."""
    constant(tmp_path / "one", 1)
    process = start("--model_dir", str(tmp_path), "--http_port=0", "--host=127.0.0.1", "--workers=3")
    return process, await process.url()


async def eventually(condition) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.05)


async def answers(url: str, model: str, times: int = 24) -> set[object]:
    """What different connections get, each of which any worker may take."""

    async def one() -> object:
        async with Client(environ={}) as client:
            status, body = await ask(client, f"{url}/v1/models/{model}:predict", {"instances": [[1.0]]})
            return body["predictions"][0] if status == 200 else status

    return set(await asyncio.gather(*(one() for _ in range(times))))


async def test_all_answer_on_one_port_and_metrics_are_those_of_all(served, client):
    process, url = served
    assert len(children(process.popen.pid)) == 3
    assert await answers(url, "one") == {1}
    async with await client.request("GET", f"{url}/metrics") as page:
        text = (await page.read()).decode()
    [count] = re.findall(r'^request_predict_seconds_count\{model_name="one"\} (\S+)', text, re.MULTILINE)
    assert float(count) == 24
    assert text.count("# TYPE request_predict_seconds ") == 1
    assert 'mizzen_model_ready{model_name="one"} 1.0' in text


async def test_a_model_is_loaded_and_unloaded_in_all(served, client, tmp_path):
    process, url = served
    assert await answers(url, "two") == {404}
    constant(tmp_path / "two", 2)
    assert (await ask(client, f"{url}/v2/repository/models/two/load", {}))[0] == 200
    assert await answers(url, "two") == {2}
    constant(tmp_path / "two", 3)
    assert (await ask(client, f"{url}/v2/repository/models/two/load", {}))[0] == 200
    assert await answers(url, "two") == {3}
    assert (await ask(client, f"{url}/v2/repository/models/one/unload", {}))[0] == 200
    assert await answers(url, "one") == {503}
    status, body = await ask(client, f"{url}/v2/repository/models/nothing/load", {})
    assert status == 404
    assert "nothing" in body["error"]

    # One that is started later comes to the same state.
    for worker in children(process.popen.pid):
        os.kill(worker, signal.SIGKILL)

    async def back() -> bool:
        try:
            return len(children(process.popen.pid)) == 3 and {3, 503} == {
                *await answers(url, "two"),
                *await answers(url, "one"),
            }
        except (HttpError, TimeoutError):
            return False

    await eventually(back)
    assert await answers(url, "one") == {503}


async def test_one_that_dies_is_started_again_while_the_others_answer(served, client):
    process, url = served
    before = children(process.popen.pid)
    os.kill(before[0], signal.SIGKILL)
    # A connection that it has taken by then ends with it.
    await eventually(lambda: _gone(before[0]))
    assert await answers(url, "one") == {1}

    async def three() -> bool:
        return len(set(children(process.popen.pid)) - {before[0]}) == 3

    await eventually(three)
    assert any("was killed by SIGKILL; it is started again" in line for line in process.lines)


async def test_sigterm_ends_all_of_them_cleanly(served, client):
    process, _ = served
    workers = children(process.popen.pid)
    process.popen.terminate()
    assert await process.ended() == 0
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


async def test_without_its_supervisor_a_worker_ends(served):
    process, _ = served
    workers = children(process.popen.pid)
    process.popen.kill()

    async def gone() -> bool:
        return not any(_alive(worker) for worker in workers)

    await eventually(gone)


async def _gone(pid: int) -> bool:
    return not _alive(pid)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_what_keeps_one_from_starting_is_said_and_ends_all(start, tmp_path):
    (tmp_path / "model.pkl").write_text("not\na pickle")
    process = start("--model_dir", str(tmp_path), "--http_port=0", "--host=127.0.0.1", "--workers=2")
    assert await process.ended() == 1
    assert any("is no pickle or joblib file" in line for line in process.lines)
