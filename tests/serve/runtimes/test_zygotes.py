"""A zygote imports a framework and forks its servers, which load and predict: for each framework, in real processes.

What must not be is that a process which has loaded or run a model forks: that hangs in most of these libraries. So a
zygote imports and does nothing else, and importing starts no thread, since threads do not survive a fork.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris

FEATURES, LABELS = load_iris(return_X_y=True)

# Two servers one after the other, each with the processors of its pod: the second forks after the first has run.
ZYGOTE = """
import importlib, json, os, sys, threading
runtime, folder = sys.argv[1:]
module = importlib.import_module(f"mizzen.serve.runtimes.{runtime}")
for name in module.PRELOAD:
    importlib.import_module(name)
tasks = len(os.listdir("/proc/self/task"))
found = []
for _ in range(2):
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        from pathlib import Path
        import numpy as np
        from mizzen.serve.model import NO_OPTIONS, Tensor
        from mizzen.serve.runtimes import registry
        from mizzen.serve.spec import ModelSpec
        from mizzen.serve.lanes.threads import raise_to, share
        try:
            model = registry.build(ModelSpec(name="m", directory=Path(folder)), os.environ)
            model.load()
            rows = np.load(os.path.join(folder, "rows.npy"))
            raise_to(share(os.environ))
            answers = []
            # On the thread that loaded it and on one of its own, few rows and as many as are shared out among threads.
            def ask():
                for some in (rows[:1], np.tile(rows, (50, 1))):
                    [output] = model.infer([Tensor("x", some)], NO_OPTIONS)
                    answers.append(np.asarray(output.array)[: len(rows)].ravel().astype(float).tolist())
            ask()
            thread = threading.Thread(target=ask)
            thread.start()
            thread.join()
            said = json.dumps(answers)
        except BaseException as error:
            said = json.dumps(repr(error))
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as pipe:
        found.append(json.load(pipe))
    found[-1] = found[-1] if os.waitpid(child, 0)[1] == 0 else "the server died"
print(json.dumps({"tasks": tasks, "servers": found}))
"""


def sklearn(folder: Path) -> Any:
    import joblib
    from sklearn.ensemble import HistGradientBoostingRegressor

    fitted = HistGradientBoostingRegressor(max_iter=20).fit(FEATURES, LABELS)
    joblib.dump(fitted, folder / "model.joblib")
    return fitted.predict(FEATURES)


def xgboost(folder: Path) -> Any:
    library = pytest.importorskip("xgboost", reason="xgboost is not installed")
    booster = library.train({"nthread": 1}, library.DMatrix(FEATURES, LABELS), 50)
    booster.save_model(folder / "model.ubj")
    return booster.inplace_predict(FEATURES)


def lightgbm(folder: Path) -> Any:
    library = pytest.importorskip("lightgbm", reason="lightgbm is not installed")
    booster = library.train({"num_threads": 1, "verbose": -1}, library.Dataset(FEATURES, LABELS), 50)
    booster.save_model(folder / "model.bst")
    return booster.predict(FEATURES)


def catboost(folder: Path) -> Any:
    library = pytest.importorskip("catboost", reason="catboost is not installed")
    fitted = library.CatBoostRegressor(iterations=50, verbose=0, thread_count=1, allow_writing_files=False)
    fitted.fit(FEATURES, LABELS).save_model(folder / "model.cbm")
    return fitted.predict(FEATURES)


def mlflow(folder: Path) -> Any:
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    pytest.importorskip("mlflow.pyfunc", reason="mlflow is not installed")
    import mlflow.sklearn
    from sklearn.linear_model import LinearRegression

    fitted = LinearRegression().fit(FEATURES, LABELS)
    mlflow.sklearn.save_model(fitted, folder / "m", serialization_format="cloudpickle", pip_requirements=[])
    for file in (folder / "m").iterdir():
        file.rename(folder / file.name)
    return fitted.predict(FEATURES)


@pytest.mark.parametrize("train", [sklearn, xgboost, lightgbm, catboost, mlflow], ids=lambda train: train.__name__)
def test_import_fork_load_predict(folder: Path, train: Callable[[Path], Any]) -> None:
    expected = train(folder)
    np.save(folder / "rows.npy", FEATURES)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("CI", "PYTEST", "GITHUB"))}
    environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MIZZEN_CPU": "2"}
    done = subprocess.run(
        [sys.executable, "-c", ZYGOTE, train.__name__, str(folder)],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["tasks"] == 1, "importing it starts a thread, which a fork would lose"
    for answers in told["servers"]:
        assert isinstance(answers, list), answers
        for answer in answers:
            np.testing.assert_allclose(answer, np.ravel(expected)[: len(answer)], rtol=1e-6, atol=1e-9)
        assert [len(answer) for answer in answers] == [1, 150, 1, 150]
