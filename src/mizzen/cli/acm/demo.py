"""``mizzen acm demo``: the whole life of an automation composition, with a real model that answers at the end of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import click
import orjson
import yaml

from mizzen.errors import MizzenError

T = TypeVar("T")

_FLOWERS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]


class DemoFailed(MizzenError):
    """A step that did not hold."""


@click.command(short_help="Show the whole flow, with a model that answers.")
def demo() -> None:
    """Show the whole flow in a minute: a definition is commissioned and primed, an instance of it deployed, its model
    asked, and all of it taken back.

    Runs in a temporary home of its own, on ports of its own, and leaves nothing.
    """
    folder = Path(tempfile.mkdtemp(prefix="mizzen-acm-"))
    shell = _Shell(folder / "home")
    click.echo("\nMizzen: a model deployed as an automation composition\n")
    try:
        _demonstrate(shell, folder)
    except (DemoFailed, KeyboardInterrupt) as error:
        shell.end()
        raise DemoFailed(f"this did not hold: {str(error) or 'interrupted'}\nlogs are in {folder}/home") from None
    shutil.rmtree(folder, ignore_errors=True)
    click.echo(
        "\n  All of it held. To do it by hand:\n\n"
        "    mizzen up -d && mizzen acm up -d     # the cluster, and the set beside it; prints the page's address\n"
        "    mizzen acm commission FILE           # docs/acm.md goes on from here\n"
    )


class _Shell:
    """The command ``mizzen``, as a user of that home would type it."""

    def __init__(self, home: Path) -> None:
        hidden = {"KUBECONFIG", "MIZZEN_ACM_URL", "MIZZEN_ACM_USER", "MIZZEN_ACM_PASSWORD"}
        self._environ = {name: value for name, value in os.environ.items() if name not in hidden}
        self._environ["MIZZEN_HOME"] = str(home)

    def mizzen(self, *words: str) -> str:
        """What a command prints.

        Raises:
            DemoFailed: it failed.
        """
        command = [sys.executable, "-m", "mizzen.cli", *words]
        done = subprocess.run(command, env=self._environ, capture_output=True, text=True, check=False)
        if done.returncode:
            raise DemoFailed(f"mizzen {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def end(self) -> None:
        for words in (("acm", "down"), ("down",)):
            subprocess.run([sys.executable, "-m", "mizzen.cli", *words], env=self._environ, check=False)


def _demonstrate(shell: _Shell, folder: Path) -> None:
    samples = resources.files("mizzen.acm") / "samples"
    definition, instance = folder / "definition.yaml", folder / "instance.yaml"
    definition.write_bytes((samples / "kserve-composition.yaml").read_bytes())
    expected = _step("train a classifier on the iris flowers", lambda: _train(folder))
    described = yaml.safe_load((samples / "kserve-instance.yaml").read_bytes())
    name = _point_to(described, f"file://{folder}/model.joblib")
    instance.write_text(yaml.safe_dump(described, sort_keys=False))

    _step("start Mizzen", lambda: shell.mizzen("up", "-d", "--api-port", "0", "--gateway-port", "0"))
    _step("start broker, runtime and participant", lambda: shell.mizzen("acm", "up", "-d", "--rest-port", "0"))
    composition = _step("commission the definition", lambda: shell.mizzen("acm", "commission", str(definition)).strip())
    _step("prime it", lambda: shell.mizzen("acm", "prime", composition, "--wait"))
    identifier = _step(
        "make an instance of it", lambda: shell.mizzen("acm", "instantiate", composition, str(instance)).strip()
    )
    told = _step("deploy it", lambda: shell.mizzen("acm", "deploy", identifier, "--wait"))
    click.echo("\n".join(f"    {line.strip()}" for line in told.splitlines()))
    request = orjson.dumps({"instances": _FLOWERS}).decode()
    answer = _step("ask the model", lambda: orjson.loads(shell.mizzen("predict", name, "-d", request)))
    if answer.get("predictions") != expected:
        raise DemoFailed(f"the model answers {answer}, and {expected} is what it says by itself")
    click.echo(f"    {orjson.dumps(answer).decode()}")
    _step("undeploy it", lambda: shell.mizzen("acm", "undeploy", identifier, "--wait"))
    if "No resources" not in (left := shell.mizzen("get", "isvc", "--all-namespaces")) and name in left:
        raise DemoFailed(f"the InferenceService is still there:\n{left}")
    _step("delete the instance", lambda: shell.mizzen("acm", "delete", identifier, "--wait"))
    _step("deprime and delete the definition", lambda: _take_back(shell, composition))
    _step("end it all", lambda: (shell.mizzen("acm", "down"), shell.mizzen("down")))


def _take_back(shell: _Shell, composition: str) -> None:
    shell.mizzen("acm", "deprime", composition, "--wait")
    shell.mizzen("acm", "delete", composition)


def _step(title: str, work: Callable[[], T]) -> T:
    """Do one thing, and say how long it took."""
    click.echo(f"  {title} ", nl=False)
    begun = time.monotonic()
    result = work()
    click.echo(f"{'.' * max(1, 62 - len(title))} {time.monotonic() - begun:6.2f} s")
    return result


def _train(folder: Path) -> list[int]:
    """A model in a file, and what it says itself.

    Raises:
        DemoFailed: scikit-learn is not installed.
    """
    try:
        import joblib
        from sklearn.datasets import load_iris
        from sklearn.svm import SVC
    except ModuleNotFoundError as error:
        raise DemoFailed(f"{error}; the demonstration needs scikit-learn: pip install 'mizzen[sklearn,acm]'") from None
    flowers = load_iris()
    model = SVC(gamma="scale").fit(flowers.data, flowers.target)
    joblib.dump(model, folder / "model.joblib")
    found: list[int] = model.predict(_FLOWERS).tolist()
    return found


def _point_to(instance: dict[str, Any], uri: str) -> str:
    """Have an instance's one model come from a place; returns the InferenceService's name."""
    (element,) = instance["elements"].values()
    (entity,) = element["properties"]["kserveInferenceEntities"]
    payload = entity["payload"] if isinstance(entity["payload"], dict) else yaml.safe_load(entity["payload"])
    payload["spec"]["predictor"]["model"]["storageUri"] = uri
    entity["payload"] = orjson.dumps(payload).decode()
    return str(entity["name"])
