"""Programs that serve, and models named by their file: what they say when they cannot, several processes, the end."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from custom_serving import Asker, tensor
from mizzen.serve import custom
from mizzen.serve.errors import LoadError
from mizzen.serve.spec import ModelSpec
from serving_process import Process

MODEL = """
import os
from mizzen.serve import Model, ModelServer

class MyModel(Model):
    def load(self):
        self.pid = os.getpid()

    def predict(self, payload, headers=None):
        return {"predictions": payload["instances"], "pid": os.getpid(), "loaded in": self.pid}

    def stop(self):
        open(os.environ["STOPPED"], "a").write("stopped\\n")

if __name__ == "__main__":
    ModelServer(**eval(os.environ.get("ARGUMENTS", "{}"))).start([MyModel("mine")])
"""


def program(path: Path) -> str:
    return f"import runpy, sys; sys.argv[0] = {str(path)!r}; runpy.run_path({str(path)!r}, run_name='__main__')"


@pytest.fixture
def serving_program() -> Iterator[Callable[..., Process]]:
    """``process = serving_program("file.py", "argument")``: as it is typed."""
    started: list[Process] = []

    def start(*command: str | Path, stdin: Path | None = None) -> Process:
        with contextlib.ExitStack() as kept:
            source = kept.enter_context(stdin.open()) if stdin is not None else None
            typed = [sys.executable, *map(str, command), "--http_port=0"]
            process = Process(typed, {"MIZZEN_BIND_ADDRESS": "127.0.0.1"}, stdin=source)
        started.append(process)
        return process

    yield start
    for process in started:
        process.popen.kill()
        process.popen.wait()


@pytest.fixture
def written(tmp_path: Path) -> Path:
    (tmp_path / "my_model.py").write_text(MODEL)
    return tmp_path / "my_model.py"


async def test_a_program_serves_and_lets_its_models_stop(start, written, tmp_path):
    process = start(
        code=program(written),
        ARGUMENTS="{'http_port': 0}",
        MIZZEN_BIND_ADDRESS="127.0.0.1",
        STOPPED=str(tmp_path / "stopped"),
    )
    ask = Asker(await process.url())
    assert (await ask.predict("mine", {"instances": [1]})).json["predictions"] == [1]
    await ask.client.close()
    process.popen.send_signal(signal.SIGTERM)
    assert await process.ended() == 0
    assert (tmp_path / "stopped").read_text() == "stopped\n"
    assert not [line for line in process.lines if "WARNING" in line or "ERROR" in line or "Traceback" in line]


async def test_workers_run_the_program_each_for_itself(start, written, tmp_path):
    process = start(
        code=program(written),
        ARGUMENTS="{'http_port': 0, 'workers': 2}",
        MIZZEN_BIND_ADDRESS="127.0.0.1",
        STOPPED=str(tmp_path / "stopped"),
    )
    url = await process.url()
    pids: set[int] = set()
    async with asyncio.timeout(60):
        while len(pids) < 2:
            ask = Asker(url)
            answer = (await ask.predict("mine", {"instances": [1]})).json
            assert answer["pid"] == answer["loaded in"]
            pids.add(answer["pid"])
            await ask.client.close()
    assert process.popen.pid not in pids
    process.popen.send_signal(signal.SIGTERM)
    assert await process.ended() == 0
    assert (tmp_path / "stopped").read_text() == "stopped\n" * 2


ISOLATED = """
import ctypes, os, sys
from pathlib import Path
import numpy as np
from mizzen.serve import Model, ModelServer
from mizzen.serve.generation.model import Chunk, GenerativeModel
from mizzen.serve.model import Tensor, TensorModel

HERE = Path(__file__).parent

class Mine(Model):
    def __init__(self, name, factor):
        super().__init__(name)
        self.factor = factor

    def load(self):
        (HERE / f"loaded-{self.name}-{os.getpid()}").touch()
        self.ready = True

    def predict(self, payload, headers=None):
        if payload["instances"] == ["crash"]:
            ctypes.string_at(0)
        return {"predictions": [one * self.factor for one in payload["instances"]], "pid": os.getpid()}

    def stop(self):
        (HERE / f"stopped-{self.name}").touch()

class Bad(Model):
    def load(self):
        raise OSError("disk full")

class Tensors(TensorModel):
    def load(self):
        pass

    def infer(self, inputs, options):
        return [Tensor("pid", np.array([os.getpid()]))]

class Talk(GenerativeModel):
    def load(self):
        pass

    async def generate(self, request):
        yield Chunk(str(os.getpid()))

factor = int(sys.argv[1])
server = ModelServer(**eval(os.environ.get("ARGUMENTS", "{}")))
server.register_model(Mine("inner", 10), "registered")
server.start([Mine("mine", factor), Bad("bad"), Tensors("tensors"), Talk("talk")])
"""


@pytest.mark.parametrize("workers", [1, 2])
async def test_with_isolation_each_model_is_a_run_of_the_program(serving_program, tmp_path, workers):
    (tmp_path / "isolated.py").write_text(ISOLATED)
    process = serving_program(tmp_path / "isolated.py", "3", "--isolation=process", f"--workers={workers}")
    ask = Asker(await process.url())
    first = (await ask.predict("mine", {"instances": [1, 2]})).json
    assert first["predictions"] == [3, 6]
    assert (await ask.predict("registered", {"instances": [1]})).json["predictions"] == [10]
    bad = await ask.predict("bad", {"instances": [1]})
    assert bad.status == 503 and "disk full" in bad.error
    [pid] = (await ask.infer("tensors", tensor([[1.0]]))).json["outputs"][0]["data"]
    body = {"model": "talk", "prompt": "x"}
    talk = int((await ask("POST", "/openai/v1/completions", body)).json["choices"][0]["text"])
    assert len({process.popen.pid, first["pid"], pid, talk}) == 4

    crashed = await ask.predict("mine", {"instances": ["crash"]})
    assert (crashed.status, crashed.error) == (500, "the model's process was killed by SIGSEGV (it crashed)")
    again = (await ask.predict("mine", {"instances": [1]})).json
    assert again["predictions"] == [3] and again["pid"] != first["pid"]

    loaded = {int(file.name.rpartition("-")[2]) for file in tmp_path.glob("loaded-*")}
    assert {first["pid"], again["pid"]} <= loaded and process.popen.pid not in loaded
    await ask.client.close()
    process.popen.send_signal(signal.SIGTERM)
    assert await process.ended() == 0
    assert {file.name for file in tmp_path.glob("stopped-*")} == {"stopped-mine", "stopped-registered"}


async def test_isolation_and_a_program_that_cannot_be_run_again(serving_program, written):
    process = serving_program("-", "--isolation=process", stdin=written)
    assert await process.ended() == 1
    [line] = process.lines
    assert line.startswith("mizzen: --isolation process runs this program again for each of its models")
    assert "mizzen serve file.py:Class --isolation process" in line


async def test_isolation_and_a_program_that_makes_other_models_the_second_time(serving_program, tmp_path):
    (tmp_path / "changing.py").write_text(
        "import os\nfrom mizzen.serve import Model, ModelServer\nModelServer().start([Model(f'm{os.getpid()}')])\n"
    )
    process = serving_program(tmp_path / "changing.py", "--isolation=process")
    assert await process.ended() == 1
    assert "and none of that name when it was run again for it" in process.lines[-1]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("    def load(self): raise ValueError('no file')", r"ValueError: no file \(\S+broken.py:\d+: \"def load"),
        ("    def load(self): return False", r"Model with name mine is not ready. Its load\(\) returned False"),
        ("    def load(self): import sys; sys.exit(4)", r"it called sys.exit\(4\)"),
        ("    def get_input_types(self): return [{'name': 'x'}]", r"get_input_types\(\) must return a list of"),
        ("    x = 1\n\nModel = int", r"a model must be derived from mizzen.serve.Model, which int is not"),
    ],
)
async def test_what_keeps_a_program_from_serving_is_one_sentence(start, tmp_path, body, says):
    file = tmp_path / "broken.py"
    last = "[3]" if "Model = int" in body else "[Broken('mine')]"
    file.write_text(
        f"from mizzen.serve import Model, ModelServer\n\nclass Broken(Model):\n{body}\n\n"
        f"ModelServer(http_port=0).start({last})\n"
    )
    process = start(code=program(file))
    assert await process.ended() == 1
    [line] = process.lines
    assert line.startswith("mizzen: ")
    assert re.search(says, line), line


async def test_one_broken_model_stands_beside_a_healthy_one(start, tmp_path):
    file = tmp_path / "both.py"
    file.write_text(
        "from mizzen.serve import Model, ModelServer\n"
        "class Good(Model):\n"
        "    def predict(self, payload, headers=None): return payload\n"
        "class Bad(Model):\n"
        "    def load(self): raise OSError('disk full')\n"
        "ModelServer(http_port=0).start([Good('good'), Bad('bad')])\n"
    )
    process = start(code=program(file), MIZZEN_BIND_ADDRESS="127.0.0.1")
    ask = Asker(await process.url())
    assert (await ask.predict("good", {"instances": [1]})).json == {"instances": [1]}
    assert (await ask.predict("bad", {})).status == 503
    async with asyncio.timeout(20):
        while (answer := await ask("GET", "/v2/models/bad/ready")).status == 200:
            await asyncio.sleep(0.05)
    assert "OSError: disk full" in answer.error
    await ask.client.close()


async def test_a_model_is_served_by_its_file_and_class_and_may_stop(start, written, tmp_path):
    stopped = tmp_path / "stopped"
    process = start(
        *(f"--model_dir={written}:MyModel", "--model_name=mine", "--http_port=0", "--host=127.0.0.1"),
        STOPPED=str(stopped),
    )
    ask = Asker(await process.url())
    assert (await ask.predict("mine", {"instances": [1]})).json["predictions"] == [1]
    await ask.client.close()
    process.popen.send_signal(signal.SIGTERM)
    assert await process.ended() == 0
    assert stopped.read_text() == "stopped\n"


async def test_reload_on_change(start, tmp_path):
    file, helper = tmp_path / "changing.py", tmp_path / "helper_of_changing.py"
    text = (
        "from mizzen.serve import Model\nimport helper_of_changing\n"
        "class Changing(Model):\n"
        "    def predict(self, payload, headers=None): return [1, helper_of_changing.VALUE]\n"
    )
    file.write_text(text)
    helper.write_text("VALUE = 1\n")
    code = (
        "import sys; from mizzen.serve.main import command; "
        f"sys.exit(command([{str(file) + ':Changing'!r}, '--name', 'm', '--port', '0']))"
    )
    process = start(code=code)
    ask = Asker(await process.url())

    async def answers(expected: Any) -> None:
        async with asyncio.timeout(30):
            while (answer := await ask.predict("m", {})).json != expected:
                assert answer.status == 200, "the one before goes on answering"
                await asyncio.sleep(0.05)

    async def says(part: str) -> None:
        async with asyncio.timeout(30):
            while not any(part in line for line in process.lines):
                await asyncio.sleep(0.05)

    await answers([1, 1])
    helper.write_text("VALUE = 20\n")
    await answers([1, 20])
    file.write_text(text.replace("[1,", "[300,"))
    await answers([300, 20])
    file.write_text("from mizzen.serve import Model\nclass Changing(Model:\n")
    await says("the one before goes on answering")
    await answers([300, 20])
    assert any("changing.py:2" in line and "SyntaxError" in line for line in process.lines), process.lines
    file.write_text(text.replace("[1,", "[4000,"))
    await answers([4000, 20])
    await ask.client.close()


def made(folder: Path, text: str, runtime: str = "a_model.py:Mine", **settings: Any) -> Any:
    """Build and load a model of a file's text; the model."""
    for loaded in [name for name in sys.modules if name.endswith("a_model")]:
        del sys.modules[loaded]
    (folder / "a_model.py").write_text("from mizzen.serve import Model\n" + text)
    servable = custom.build(ModelSpec(name="m", directory=folder, runtime=runtime, settings=settings), {})
    try:
        servable.load()
        return servable.model  # type: ignore[attr-defined]
    finally:
        servable.unload()


PLAIN = "class Mine(Model):\n    def load(self): pass\n"


@pytest.mark.parametrize(
    ("text", "runtime", "says"),
    [
        (PLAIN, "a_model.py:Yours", "the module has no Yours; it has Mine"),
        (PLAIN, "nothing.py:Mine", "there is no file nothing.py"),
        (PLAIN, ":Mine", "names no class"),
        (PLAIN, "no.such.module:Mine", "ModuleNotFoundError: No module named 'no'"),
        ("Mine = 3\n", "a_model.py:Mine", "is no class"),
        ("class Mine: pass\n", "a_model.py:Mine", "is no model; derive the class from mizzen.serve.Model"),
        ("x = 1\n", "a_model.py", "holds no model"),
        (PLAIN + "class Other(Model): pass\n", "a_model.py", r"several models \(Mine, Other\)"),
        ("import kserve_is_not_here\n", "a_model.py:Mine", r"a_model.py:2: \"import kserve_is_not_here\""),
        ("1 / 0\n", "a_model.py:Mine", r"ZeroDivisionError: division by zero \(\S+a_model.py:2: \"1 / 0\"\)"),
        ("class Mine(Model)\n", "a_model.py:Mine", r"SyntaxError: expected ':' \(\S+a_model.py:2"),
        ("import sys; sys.exit()\n", "a_model.py:Mine", r"it called sys.exit\(None\)"),
        (PLAIN + "    def __init__(self, name, size): pass\n", "a_model.py:Mine", "wants 'size': give it a default"),
        (
            "class Mine(Model):\n    def __init__(self, name): self.x = y\n",
            "a_model.py:Mine",
            r"a_model.py:3: \"def __init__",
        ),
    ],
)
def test_what_is_wrong_with_a_models_code_is_said_with_its_line(tmp_path, text, runtime, says):
    with pytest.raises(LoadError, match=says):
        made(tmp_path, text, runtime)


def test_a_class_is_called_with_what_it_asks_for(tmp_path):
    text = (
        "class Mine(Model):\n"
        "    def __init__(self, name, model_dir, threshold=0.5, other=None):\n"
        "        super().__init__(name)\n"
        "        self.got = (name, model_dir, threshold, other)\n"
    )
    assert made(tmp_path, text, threshold=0.75, unknown=1).got == ("m", str(tmp_path), 0.75, None)


def test_a_class_that_names_itself_is_called_as_it_is_served(tmp_path):
    assert made(tmp_path, "class Mine(Model):\n    def __init__(self): super().__init__('hard-wired')\n").name == "m"


def test_a_model_that_its_constructor_has_loaded_is_not_loaded_again(tmp_path):
    text = (
        "class Mine(Model):\n"
        "    loads = 0\n"
        "    def __init__(self, name):\n        super().__init__(name)\n        self.load()\n"
        "    def load(self):\n        self.loads += 1\n        self.ready = True\n"
    )
    assert made(tmp_path, text).loads == 1


def test_only_one_class_need_not_be_named(tmp_path):
    assert type(made(tmp_path, PLAIN, "a_model.py")).__name__ == "Mine"


def test_what_stands_beside_the_file_can_be_imported_and_pickled(tmp_path):
    (tmp_path / "beside_the_model.py").write_text("class Weights:\n    value = 7\n")
    text = "from beside_the_model import Weights\nclass Mine(Model):\n    weights = Weights()\n"
    model = made(tmp_path, text)
    assert model.weights.value == 7
    assert sys.modules["beside_the_model"].Weights is type(model.weights)
    assert sys.modules["a_model"].Mine is type(model)


def test_importing_the_package_is_free_of_cost():
    import subprocess

    code = (
        "import sys, mizzen.serve; print([name for name in sys.modules if name.split('.')[0] in ('numpy', 'msgspec')])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_every_name_that_is_offered_is_there():
    import mizzen.serve
    from mizzen.serve import kserve

    for name in mizzen.serve.__all__:
        assert getattr(mizzen.serve, name) is not None
        assert getattr(kserve, name) is not None
    with pytest.raises(AttributeError, match="has what custom models use"):
        _ = kserve.KServeClient
    with pytest.raises(ImportError, match="no FastAPI application"):
        from mizzen.serve.kserve.model_server import app  # noqa: F401


async def test_it_is_asked_over_v2_too(start, tmp_path):
    file = tmp_path / "v2.py"
    file.write_text(
        "from mizzen.serve import Model, get_predict_input, get_predict_response\n"
        "class Half(Model):\n"
        "    def predict(self, request, headers=None):\n"
        "        return get_predict_response(request, get_predict_input(request) / 2, self.name)\n"
    )
    process = start(f"--model_dir={file}:Half", "--http_port=0", "--host=127.0.0.1")
    ask = Asker(await process.url())
    assert (await ask.infer("model", tensor([4.0]))).json["outputs"][0]["data"] == [2.0]
    await ask.client.close()


def test_plain_loading_may_run_a_loop_of_its_own(tmp_path):
    text = (
        "import asyncio\n"
        "async def fetched(): return 7\n"
        "class Mine(Model):\n"
        "    def load(self): self.value = asyncio.run(fetched())\n"
    )
    assert made(tmp_path, text).value == 7


def test_a_constructor_that_forgets_its_base_is_told_so(tmp_path):
    with pytest.raises(LoadError, match=r"the __init__ of Mine must call super\(\).__init__\(name\)"):
        made(tmp_path, "class Mine(Model):\n    def __init__(self, name): self.x = 1\n")


def test_what_cannot_be_loaded_leaves_no_thread_behind(tmp_path):
    import threading
    import time

    before = threading.active_count()
    for _ in range(20):
        with pytest.raises(LoadError):
            made(tmp_path, "class Mine(Model):\n    def load(self): 1 / 0\n")
    deadline = time.monotonic() + 20
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.02)
    assert threading.active_count() <= before
