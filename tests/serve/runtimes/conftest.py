"""Models built as the server builds them, and one story for all tabular frameworks: the library's own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mizzen.serve.model import Options, Servable, Tensor
from mizzen.serve.runtimes import registry
from mizzen.serve.spec import ModelSpec

REQUESTS = 24


def loaded(folder: Path, runtime: str = "", environ: dict[str, str] | None = None, **settings: Any) -> Servable:
    """The model in a folder, as a server would have it."""
    model = registry.build(ModelSpec(name="m", directory=folder, runtime=runtime, settings=settings), environ or {})
    model.load()
    return model


def answer(model: Any, *inputs: Any, **options: Any) -> Any:
    """The only output for arrays, or for tensors."""
    tensors = [one if isinstance(one, Tensor) else Tensor("x", np.asarray(one)) for one in inputs]
    [output] = model.infer(tensors, Options(**options))
    return output.array


def jsonable(rows: Any) -> Any:
    """Rows as JSON has them: NaN is null."""
    return [
        [None if isinstance(value, float) and np.isnan(value) else value for value in row]
        for row in np.asarray(rows).tolist()
    ]


async def compare(serving: Any, model: Any, rows: Any, expected: Any, close: Callable[[Any, Any], None]) -> Any:
    """Serve a model and ask it the same rows in every way there is.

    Args:
        rows: numbers, of shape [rows, columns]; NaN is asked for as null.
        expected: the library's own answer.
        close: fails where two answers are not the same.
    """
    ask = await serving(model)
    rows, expected = np.asarray(rows), np.asarray(expected)
    close((await ask.predict(model.name, jsonable(rows))).json["predictions"], expected.tolist())
    for datatype in ("FP64", "FP32") if rows.dtype.kind == "f" else ("INT64", "FP64", "INT32"):
        data = [value for row in jsonable(rows) for value in row]
        tensor = {"name": "whatever", "shape": list(rows.shape), "datatype": datatype, "data": data}
        answered = (await ask.infer(model.name, tensor)).json["outputs"]
        assert [one["name"] for one in answered] == ["output-0"]
        assert answered[0]["shape"] == list(expected.shape)
        close(np.reshape(np.array(answered[0]["data"], object), expected.shape).tolist(), expected.tolist())
    # Many at once, each with rows of its own: none may get another's answer.
    for _ in range(12):
        at = np.arange(REQUESTS) % len(rows)
        inputs = [
            {"name": "x", "shape": [1, rows.shape[1]], "datatype": "FP64", "data": jsonable(rows[[one]])[0]}
            for one in at
        ]
        answers = await asyncio.gather(*(ask.infer(model.name, one) for one in inputs))
        got = [
            np.reshape(np.array(one.json["outputs"][0]["data"], object), expected.shape[1:]).tolist() for one in answers
        ]
        close(got, expected[at].tolist())
    [served] = ask.server.repository
    assert served.lane.batching, "requests share no calls any more"
    assert served.metrics.checked >= 8
    assert sum(served.metrics.batch.counts) < 12 * REQUESTS, "no batch has formed, so this shows nothing"
    return ask


@pytest.fixture(name="loaded")
def loaded_fixture() -> Callable[..., Any]:
    return loaded


@pytest.fixture(name="answer")
def answer_fixture() -> Callable[..., Any]:
    return answer


@pytest.fixture(name="compare")
def compare_fixture(serving: Any) -> Callable[..., Any]:
    async def bound(model: Any, rows: Any, expected: Any, close: Callable[[Any, Any], None]) -> Any:
        return await compare(serving, model, rows, expected, close)

    return bound


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty one, for a model."""
    found = tmp_path / "model"
    found.mkdir()
    return found


def close_to(tolerance: float) -> Callable[[Any, Any], None]:
    """Floats within so much of the largest magnitude."""

    def close(a: Any, b: Any) -> None:
        mine, other = np.array(a, float), np.array(b, float)
        np.testing.assert_allclose(mine, other, rtol=0, atol=tolerance * max(np.abs(other).max(initial=0), 1e-12))

    return close


@pytest.fixture(name="single")
def single_fixture() -> Callable[[Any, Any], None]:
    """Equal in single precision."""
    return close_to(1e-5)


@pytest.fixture(name="double")
def double_fixture() -> Callable[[Any, Any], None]:
    return close_to(1e-9)


@pytest.fixture(name="equal")
def equal_fixture() -> Callable[[Any, Any], None]:
    def equal(a: Any, b: Any) -> None:
        assert a == b

    return equal
