"""``isolation: process``: what a model does to its process, and that nobody else feels it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import joblib
import numpy as np
import pytest

from mizzen.serve.errors import InferenceError, LoadError, ModelNotReady
from mizzen.serve.isolation import Isolated, isolated
from mizzen.serve.isolation.wire import unwired, wired
from mizzen.serve.lanes.scheduling import Scheduling
from mizzen.serve.model import NO_OPTIONS, Tensor
from mizzen.serve.repository import Repository
from mizzen.serve.spec import ModelSpec
from serving_process import ask

CODE = """
import os, signal, sys, time
import numpy as np

class Moody:
    '''Twice its input; at some numbers it does what it should not.'''
    n_features_in_ = 1

    def predict(self, rows):
        rows = np.asarray(rows)
        if (rows == 11).any():
            os.kill(os.getpid(), signal.SIGSEGV)
        if (rows == 12).any():
            sys.exit(3)
        if (rows == 13).any():
            raise ValueError("13 is not liked here")
        if (rows == 14).any():
            time.sleep(3600)
        if (rows == 15).any():
            os._exit(9)
        return rows[:, 0] * 2

class Fatal:
    def __setstate__(self, state):
        os.kill(os.getpid(), signal.SIGSEGV)
"""


@pytest.fixture
def moody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model that crashes when it is told to."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "moody_models.py").write_text(CODE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "code"))
    monkeypatch.syspath_prepend(tmp_path / "code")
    import moody_models

    (tmp_path / "model").mkdir()
    joblib.dump(moody_models.Moody(), tmp_path / "model" / "model.joblib")
    return tmp_path / "model"


def spec(folder: Path) -> ModelSpec:
    return ModelSpec(name="moody", directory=folder, isolation="process")


@pytest.fixture
def model(moody: Path):
    found = isolated(spec(moody))
    found.load()
    yield found
    found.unload()


def asked(model: Isolated, *values: float) -> list[float]:
    rows = np.array([[value] for value in values])
    return model.infer([Tensor("x", rows)], NO_OPTIONS)[0].array.tolist()


def test_it_answers_as_the_model_does(model):
    assert asked(model, 1, 2, 3) == [2, 4, 6]
    assert [one.shape for one in model.inputs] == [[-1, 1]]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (11, "was killed by SIGSEGV (it crashed)"),
        (15, "ended with exit code 9"),
    ],
)
def test_a_model_that_ends_its_process_fails_one_request(model, value, says):
    with pytest.raises(InferenceError) as caught:
        asked(model, value)
    assert says in str(caught.value)
    assert asked(model, 4) == [8], "the next request is answered by another process"


@pytest.mark.parametrize(("value", "says"), [(13, "13 is not liked here"), (12, r"sys\.exit\(3\)")])
def test_an_exception_is_the_models_own_and_costs_no_process(model, value, says):
    before = model._child.process.pid
    with pytest.raises(InferenceError, match=says):
        asked(model, value)
    assert model._child.process.pid == before


async def test_a_call_without_end_is_ended_and_the_model_goes_on(moody):
    repository = Repository(Scheduling(limit=5.0, batching=False))
    ended = []
    repository.stuck = lambda served, reason: ended.append(reason)
    model = isolated(spec(moody))
    served = repository.load(model)
    from mizzen.serve.lanes.lane import Call

    class Waiting(Call):
        __slots__ = ("answer",)

        def __init__(self, value: float) -> None:
            super().__init__([Tensor("x", np.array([[value]]))], 0.0)
            self.answer = asyncio.get_running_loop().create_future()

        def resolve(self, outputs, extras=None):
            self.answer.set_result(outputs[0].array.tolist())

        def reject(self, error):
            self.answer.set_exception(error)

    forever, after = Waiting(14.0), Waiting(5.0)
    served.submit(forever)
    served.submit(after)
    async with asyncio.timeout(60):
        with pytest.raises(ModelNotReady, match="predict has not returned for 5 s"):
            await forever.answer
        assert await after.answer == [10.0]
    assert ended == [], "no thread is stuck, so the server need not end"
    repository.close()
    model.unload()


def test_a_model_that_cannot_be_loaded_says_so(tmp_path, moody, monkeypatch):
    (tmp_path / "empty").mkdir()
    with pytest.raises(LoadError, match="there is no model file in"):
        isolated(spec(tmp_path / "empty")).load()
    import moody_models

    joblib.dump(moody_models.Moody(), moody / "model.joblib")
    (moody / "model.joblib").write_bytes(b"nothing")
    with pytest.raises(LoadError, match="is no pickle or joblib file"):
        isolated(spec(moody)).load()


def test_a_successor_that_cannot_start_is_not_ready(model, moody):
    (moody / "model.joblib").unlink()
    with pytest.raises(InferenceError):
        asked(model, 11)
    with pytest.raises(ModelNotReady, match="there is no model file in"):
        asked(model, 1)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.array([], np.int64),
        np.array(True),
        np.array([["a", "ü"], ["", "z"]], object),
        np.array([b"\xff\x00", b""], object),
        np.array([1.5, -2], np.float16),
    ],
)
def test_tensors_survive_the_way(array):
    found = unwired(wired(Tensor("x", array, {"a": 1})))
    assert (found.name, found.parameters, found.array.dtype, found.array.shape) == (
        "x",
        {"a": 1},
        array.dtype,
        array.shape,
    )
    np.testing.assert_array_equal(found.array, array)


async def test_beside_a_crash_others_are_answered(start, client, moody, tmp_path):
    process = start(
        "--model_dir",
        str(moody),
        "--http_port=0",
        "--host=127.0.0.1",
        "--isolation=process",
        "--batching=on",
        PYTHONPATH=os.environ["PYTHONPATH"],
    )
    url = await process.url()

    async def one(value: float):
        return value, await ask(client, f"{url}/v1/models/model:predict", {"instances": [[value]]})

    found = await asyncio.gather(*(one(value) for value in [1, 2, 3, 11, 4, 5, 13, 6, 7, 8]))
    for value, (status, body) in found:
        if value == 11:
            assert (status, body) == (500, {"error": "the model's process was killed by SIGSEGV (it crashed)"})
        elif value == 13:
            assert (status, body) == (500, {"error": "13 is not liked here"})
        else:
            assert (status, body) == (200, {"predictions": [value * 2]})
