"""A whole installation for tests: the command as users run it, in a home of its own, on any free ports.

    with installation() as mizzen:
        mizzen("apply", "-f", "model.yaml")
        mizzen.wait_ready("iris")

The home lies in a short temporary folder, because the paths of Unix sockets may not be long.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 60.0
ANY_PORTS = ("--api-port", "0", "--gateway-port", "0")


class Mizzen:
    """One home, and the command that works on it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        hidden = ("KUBECONFIG", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE")
        hidden += ("MIZZEN_MODEL_CACHE",)  # the home has one of its own
        self.environment = {key: value for key, value in os.environ.items() if key not in hidden}
        self.environment |= {"MIZZEN_HOME": str(home), "PYTHONUNBUFFERED": "1"}

        self.prefix: list[str] = []  # a program that runs the command in other surroundings

    @property
    def command(self) -> list[str]:
        return [*self.prefix, sys.executable, "-m", "mizzen.cli"]

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command; the caller looks at its exit code."""
        options = {"capture_output": True, "text": True, "timeout": PATIENCE, "env": self.environment} | options
        return subprocess.run([*self.command, *arguments], check=False, **options)

    def __call__(self, *arguments: str, **options: Any) -> str:
        """Run a command that must succeed, and return what it prints."""
        done = self.run(*arguments, **options)
        assert done.returncode == 0, f"mizzen {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Run a command that goes on."""
        return subprocess.Popen(
            [*self.command, *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def up(self) -> None:
        self("up", "-d", *ANY_PORTS)

    def status(self) -> dict[str, Any]:
        return json.loads(self.run("status", "-o", "json").stdout)

    def object(self, kind: str, name: str, namespace: str = "default") -> dict[str, Any]:
        return json.loads(self("get", kind, name, "-n", namespace, "-o", "json"))

    def objects(self, kind: str, *options: str) -> list[dict[str, Any]]:
        return json.loads(self("get", kind, "-o", "json", *options))["items"]

    def apply(self, text: str) -> None:
        self("apply", "-f", "-", input=text)

    def condition(self, name: str, kind: str = "Ready") -> dict[str, Any]:
        conditions = self.object("isvc", name).get("status", {}).get("conditions", [])
        return next((found for found in conditions if found["type"] == kind), {})

    def wait_ready(self, name: str, patience: float = PATIENCE) -> dict[str, Any]:
        """The service once it is ready."""
        until(lambda: self.condition(name).get("status") == "True", lambda: f"{self.condition(name)}", patience)
        return self.object("isvc", name)

    def post(self, host: str, path: str, body: Any, timeout: float = 10.0) -> tuple[int, Any]:
        """POST to the gateway as a client of ``host``. Returns the status and the decoded answer."""
        url = self.status()["gateway"]["url"]
        return post(url, host, path, body, timeout)

    def predict(self, name: str, rows: list[list[float]]) -> tuple[int, Any]:
        return self.post(f"{name}-default.example.com", f"/v1/models/{name}:predict", {"instances": rows})

    def server_pid(self, name: str) -> int:
        """The process of a service's model server."""
        pod = next(pod for pod in self.objects("pods") if pod["metadata"]["name"].startswith(f"{name}-predictor"))
        return self.pid_of(pod, "kserve-container")

    def pid_of(self, pod: dict[str, Any], container: str) -> int:
        """The process of a running container, from what its parent wrote down."""
        files = (self.home / "pods").rglob("pid.json")
        uid = pod["metadata"]["uid"]
        found = [path for path in files if uid in str(path) and container in path.parts]
        assert found, f"no pid.json of {container} in {pod['metadata']['name']}"
        newest = max(found, key=lambda path: path.stat().st_mtime)
        return int(json.loads(newest.read_text())["pid"])

    def processes(self) -> dict[int, str]:
        """The processes that were started for this home, those apart that only wait to be reaped."""
        marked = f"MIZZEN_HOME={self.home}".encode()
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if int(folder.name) == os.getpid() or folder.joinpath("stat").read_text().rpartition(")")[2][1] == "Z":
                    continue
                command = folder.joinpath("cmdline").read_bytes()
                environment = folder.joinpath("environ").read_bytes()
            except OSError:
                continue
            if marked in environment.split(b"\0") or str(self.home).encode() in command:
                found[int(folder.name)] = command.replace(b"\0", b" ").decode(errors="replace")
        return found


def until(holds: Any, tells: Any = lambda: "", patience: float = PATIENCE) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, f"still not so after {patience:.0f} s: {tells()}"
        time.sleep(0.05)


def post(url: str, host: str, path: str, body: Any, timeout: float = 10.0) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Host": host, "Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        text = error.read().decode()
        try:
            return error.code, json.loads(text)
        except json.JSONDecodeError:
            return error.code, text


@contextmanager
def new_home() -> Iterator[Mizzen]:
    """A home in which nothing runs yet; whatever runs in it at the end is ended."""
    root = Path(tempfile.mkdtemp(prefix="mz-"))
    mizzen = Mizzen(root / "home")
    try:
        yield mizzen
    finally:
        mizzen.run("down")
        for pid in mizzen.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def installation() -> Iterator[Mizzen]:
    """A running installation."""
    with new_home() as mizzen:
        mizzen.up()
        yield mizzen


def iris_manifest(folder: Path, name: str = "iris", **predictor: Any) -> str:
    """A service for the model in a folder."""
    spec = {"sklearn": {"storageUri": f"file://{folder}"}} | predictor
    return json.dumps(
        {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": name},
            "spec": {"predictor": spec},
        }
    )


def train(folder: Path) -> Any:
    """A real classifier of the iris flowers, saved in ``folder``. Returns the model and the flowers."""
    joblib = pytest.importorskip("joblib")
    datasets = pytest.importorskip("sklearn.datasets")
    svm = pytest.importorskip("sklearn.svm")
    flowers = datasets.load_iris()
    model = svm.SVC(gamma="scale").fit(flowers.data, flowers.target)
    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(model, folder / "model.joblib")
    return model, flowers.data


def kubectl_versions() -> list[Path]:
    """kubectl binaries with a version in their name, beside the ``kubectl`` on the path, or else that one."""
    found = shutil.which("kubectl")
    if found is None:
        return []
    real = Path(found).resolve()
    versioned = [path for path in real.parent.glob("kubectl.1.*") if "1.28" <= path.name[8:] <= "1.33"]
    return sorted(versioned) or [real]
