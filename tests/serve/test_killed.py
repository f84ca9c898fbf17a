"""A server alone that is killed: the one after it says at what."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from mizzen.http.client import Client
from mizzen.http.errors import HttpError
from mizzen.serve.running import crashes, crumb
from serving_process import Process, ask

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are looked at in /proc: Linux")

CODE = """
import ctypes, time
from pathlib import Path
from mizzen.serve import Model
from mizzen.serve.generation.model import Chunk, GenerativeModel

HERE = Path(__file__).parent

class Long(Model):
    def load(self):
        (HERE / "loading").touch()
        if (HERE / "slow").exists():
            time.sleep(3600)
        self.ready = True

    def predict(self, payload, headers=None):
        what = payload["instances"][0]
        if what == "long":
            (HERE / "began").touch()
            time.sleep(3600)
        if what == "crash":
            ctypes.string_at(0)
        return {"predictions": [what]}

class Talk(GenerativeModel):
    def load(self):
        pass

    async def generate(self, request):
        import asyncio
        (HERE / "began").touch()
        yield Chunk("word")
        await asyncio.sleep(3600)
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "long.py").write_text(CODE)
    return tmp_path


@pytest.fixture
def begin(start: Any, code: Path, unused_tcp_port: int) -> Any:
    """Start a server, always at the same address."""

    def begin(kind: str = "Long", **environ: str) -> Process:
        place = ["--host=127.0.0.1", f"--http_port={unused_tcp_port}"]
        return start(
            "--model_dir", f"{code}/long.py:{kind}", "--model_name=m", *place, XDG_RUNTIME_DIR=str(code), **environ
        )

    return begin


async def appears(path: Path) -> None:
    async with asyncio.timeout(60):
        while not path.exists():
            await asyncio.sleep(0.01)


def told(process: Process) -> list[str]:
    return [line.partition(" ERROR ")[2] for line in process.lines if "the server before this one" in line]


async def killed(process: Process) -> None:
    process.popen.kill()
    assert await process.ended() == -signal.SIGKILL


BEFORE = "the server before this one (process {}) was killed {}: it crashed, or took too much memory"


async def asking(url: str, what: str) -> None:
    async with Client(environ={}) as client:
        with pytest.raises(HttpError):
            await ask(client, f"{url}/v1/models/m:predict", {"instances": [what]})


async def test_one_killed_in_a_predict_is_named_by_the_next_and_by_that_alone(begin: Any, code: Path) -> None:
    first = begin()
    waiting = asyncio.create_task(asking(await first.url(), "long"))
    await appears(code / "began")
    await killed(first)
    await waiting
    second = begin()
    url = await second.url()
    assert told(second) == [BEFORE.format(first.popen.pid, "while it was at model m")]
    async with Client(environ={}) as client:
        assert (await ask(client, f"{url}/v1/models/m:predict", {"instances": ["quick"]}))[0] == 200
    second.popen.terminate()
    assert await second.ended() == 0
    third = begin()
    await third.url()
    assert told(third) == [], "the one before it has ended by itself"
    await killed(third)
    fourth = begin()
    await fourth.url()
    assert told(fourth) == [BEFORE.format(third.popen.pid, "while no model was at work")]


async def test_one_that_crashes_is_named_too(begin: Any) -> None:
    first = begin()
    await asking(await first.url(), "crash")
    assert await first.ended() == -signal.SIGSEGV
    second = begin()
    await second.url()
    assert told(second) == [BEFORE.format(first.popen.pid, "while it was at model m")]


async def test_one_killed_while_it_loads(begin: Any, code: Path) -> None:
    (code / "slow").touch()
    first = begin()
    await appears(code / "loading")
    await killed(first)
    (code / "loading").unlink()
    second = begin()
    await appears(code / "loading")
    second.popen.terminate()
    assert await second.ended() == 128 + signal.SIGTERM
    assert told(second) == [BEFORE.format(first.popen.pid, "while it was at model m (loading)")]
    (code / "slow").unlink()
    third = begin()
    await third.url()
    assert told(third) == [], "whoever is told to end while it loads was not killed"


async def test_one_killed_while_it_generates_on_the_loop(begin: Any, code: Path) -> None:
    first = begin("Talk")
    url = await first.url()

    async def generate() -> None:
        async with Client(environ={}) as client:
            with pytest.raises(HttpError):
                await ask(client, f"{url}/openai/v1/completions", {"model": "m", "prompt": "x"})

    waiting = asyncio.create_task(generate())
    await appears(code / "began")
    await killed(first)
    await waiting
    second = begin("Talk")
    await second.url()
    assert told(second) == [BEFORE.format(first.popen.pid, "while it was at model m")]


async def test_one_that_still_finishes_was_not_killed(begin: Any, code: Path) -> None:
    first = begin()
    url = await first.url()
    waiting = asyncio.create_task(asking(url, "long"))
    await appears(code / "began")
    first.popen.terminate()
    second = None
    async with asyncio.timeout(60):
        while second is None or second.popen.poll() is not None:  # until the first has let go of the port
            second = begin()
            while second.popen.poll() is None and not any("is served at" in line for line in second.lines):
                await asyncio.sleep(0.05)
    assert first.popen.poll() is None
    assert told(second) == []
    await killed(first)
    await waiting
    await killed(second)
    third = begin()
    await third.url()
    assert told(third) == [BEFORE.format(second.popen.pid, "while no model was at work")]


async def test_a_container_is_known_by_its_name_whatever_its_address(start: Any, code: Path) -> None:
    def begin(restarts: int, container: str = "server") -> Process:
        mark = f"/some/socket#{code.name}/{container}/{restarts}"
        arguments = ["--model_dir", f"{code}/long.py:Long", "--host=127.0.0.1", "--http_port=0"]
        command = [sys.executable, "-m", "mizzen.serve", *arguments]
        return Process(command, {"MIZZEN_CONTAINER": mark, "XDG_RUNTIME_DIR": str(code)})

    first = begin(0)
    await first.url()
    await killed(first)
    beside, second = begin(0, "sidecar"), begin(1)
    await beside.url()
    await second.url()
    assert told(second) == [BEFORE.format(first.popen.pid, "while no model was at work")]
    assert told(beside) == []
    for process in (beside, second):
        process.popen.terminate()
        assert await process.ended() == 0


def test_what_was_left_and_cannot_be_read_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crashes, "_board", crashes._board)
    monkeypatch.setattr(crumb, "_crumb", None)
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    assert crumb.leave("here", environ) == ""
    [path] = (tmp_path / f"mizzen-serve-{os.geteuid()}").iterdir()
    assert crumb.leave("here", environ) == "", "its server lives"
    for left in (b"", b"short", bytes(200_000), os.urandom(200_000)):
        path.unlink()
        path.write_bytes(left)
        assert crumb.leave("here", environ) == ""
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole.replace(b'"boot":"', b'"boot":"another'))
    assert crumb.leave("here", environ) == "", "the machine was started anew since"
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    assert crumb.leave("here", environ) == ""
    crumb.forget()


def test_what_nobody_came_for_is_swept_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crashes, "_board", crashes._board)
    monkeypatch.setattr(crumb, "_crumb", None)
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    folder = tmp_path / f"mizzen-serve-{os.geteuid()}"
    crumb.leave("lives", environ)
    [living] = folder.iterdir()
    for number in range(150):
        (folder / f"left-{number}").touch()
        os.utime(folder / f"left-{number}", (0, 0) if number < 20 else None)
    os.utime(living, (0, 0))
    crumb.leave("comes", environ)
    left = {path.name for path in folder.iterdir()}
    assert living.name in left and len(left) == 102
    assert not {f"left-{number}" for number in range(20)} & left


def test_a_place_of_somebody_elses_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = f"mizzen-serve-{os.geteuid()}"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / mine).symlink_to(tmp_path / "elsewhere")
    assert crumb._folder({"XDG_RUNTIME_DIR": str(tmp_path)}) != tmp_path / mine
    assert crumb._folder({"XDG_RUNTIME_DIR": str(tmp_path / "elsewhere")}) == tmp_path / "elsewhere" / mine


@pytest.mark.parametrize(
    ("mark", "port", "known"),
    [
        ("/run/x#uid/server/0", 8080, "uid/server"),
        ("/run/y#uid/server/12", 0, "uid/server"),
        ("", 8080, "127.0.0.1:8080"),
        ("", 0, ""),
        ("nonsense", 8080, "127.0.0.1:8080"),
    ],
)
def test_by_what_it_is_known(mark: str, port: int, known: str) -> None:
    assert crumb.whose("127.0.0.1", port, {"MIZZEN_CONTAINER": mark, "XDG_RUNTIME_DIR": str(code)}) == known
