"""The whole of Mizzen in one minute: serve a model from a manifest, ask it, kill it, see it come back, clean up.

    make demo

Starts an installation of its own in a temporary home, so nothing that is there already is touched. Exits with 0 only if
every step held.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

MANIFEST = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: iris
spec:
  predictor:
    sklearn:
      storageUri: file://{folder}
"""
PATIENCE = 60.0


class Failed(Exception):
    """A step of the demonstration that did not hold."""


def step(title: str, work: Callable[[], T]) -> T:
    """Do one thing, and say how long it took."""
    print(f"  {title} ", end="", flush=True)
    begun = time.monotonic()
    result = work()
    print(f"{'.' * max(1, 62 - len(title))} {time.monotonic() - begun:6.2f} s", flush=True)
    return result


def mizzen(*arguments: str, **options: Any) -> str:
    """Run the command ``mizzen`` as a user would, and return what it prints."""
    command = [sys.executable, "-m", "mizzen.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise Failed(f"mizzen {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def train(folder: Path) -> Any:
    import joblib
    from sklearn.datasets import load_iris
    from sklearn.svm import SVC

    flowers = load_iris()
    model = SVC(gamma="scale").fit(flowers.data, flowers.target)
    joblib.dump(model, folder / "model.joblib")
    return model, flowers.data


def service() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(mizzen("get", "isvc", "iris", "-o", "json"))
    return found


def condition(found: dict[str, Any], kind: str) -> dict[str, Any]:
    conditions = found.get("status", {}).get("conditions", [])
    return next((condition for condition in conditions if condition["type"] == kind), {})


def wait_until_ready() -> dict[str, Any]:
    """Print each state that the service passes through, with its time, until it is ready."""
    begun = time.monotonic()
    last = ""
    while time.monotonic() - begun < PATIENCE:
        found = service()
        ready = condition(found, "Ready")
        state = (
            ready.get("message")
            or ready.get("reason")
            or found.get("status", {}).get("modelStatus", {}).get("transitionStatus", "accepted")
        )
        if ready.get("status") == "True":
            state = f"ready at {found['status']['url']}"
        if state != last:
            print(f"    {time.monotonic() - begun:6.2f} s  {state}", flush=True)
            last = state
        if ready.get("status") == "True":
            return found
        time.sleep(0.05)
    raise Failed(f"the service is not ready after {PATIENCE:.0f} s: {last}")


def ask(gateway: str, host: str, path: str, body: Any) -> tuple[int, Any]:
    """POST to the gateway with the service's host. Returns the status and the decoded answer."""
    request = urllib.request.Request(
        gateway + path, json.dumps(body).encode(), {"Host": host, "Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode("utf-8", "replace")


def server_pid(home: str) -> int:
    """The process of the model server, found by its command name among those of this installation."""
    pods = json.loads(mizzen("get", "pods", "-o", "json"))["items"]
    ip = pods[0]["status"]["podIP"]
    inode = listening_inode(ip, 8080)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(fd.readlink()) == f"socket:[{inode}]" for fd in (process / "fd").iterdir()):
                return int(process.name)
        except OSError:
            continue
    raise Failed(f"no process listens on {ip}:8080")


def listening_inode(ip: str, port: int) -> str:
    wanted = "".join(f"{int(part):02X}" for part in reversed(ip.split("."))) + f":{port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == wanted and fields[3] == "0A":
            return fields[9]
    raise Failed(f"nothing listens on {ip}:{port}")


def kill_and_see_it_return(home: str, gateway: str, host: str, body: Any) -> tuple[int, float]:
    """Kill the model server the hard way; requests meanwhile are answered with 503. Returns how many, and the time."""
    os.kill(server_pid(home), signal.SIGKILL)
    begun = time.monotonic()
    refused = 0
    while time.monotonic() - begun < PATIENCE:
        status, _ = ask(gateway, host, "/v1/models/iris:predict", body)
        if status == 200 and (refused or time.monotonic() - begun > 1):
            return refused, time.monotonic() - begun
        if status not in (200, 502, 503):
            raise Failed(f"while the server was away, the gateway answered {status}")
        refused += status != 200
        time.sleep(0.005)
    raise Failed("the model server did not come back")


def demonstrate(home: str) -> None:
    folder = Path(home, "model")
    folder.mkdir()
    model, rows = step("train a classifier on the iris flowers", lambda: train(folder))
    print(
        step("start Mizzen: API server, controllers, gateway, node", lambda: mizzen("up", "-d", *any_ports())), end=""
    )
    manifest = Path(home, "iris.yaml")
    manifest.write_text(MANIFEST.format(folder=folder))
    print("\n  the manifest\n\n    " + manifest.read_text().replace("\n", "\n    "))
    step("apply it", lambda: mizzen("apply", "-f", str(manifest)))
    found = wait_until_ready()
    gateway = json.loads(mizzen("status", "-o", "json"))["gateway"]["url"]
    host = urlsplit(found["status"]["url"]).netloc
    asked = rows[::10].tolist()
    expected = [int(label) for label in model.predict(rows[::10])]

    status, answer = step("ask over V1", lambda: ask(gateway, host, "/v1/models/iris:predict", {"instances": asked}))
    check(status == 200 and answer["predictions"] == expected, f"V1 answered {status} {answer}, not {expected}")
    tensor = {"name": "x", "shape": [len(asked), 4], "datatype": "FP64", "data": asked}
    status, answer = step("ask over V2", lambda: ask(gateway, host, "/v2/models/iris/infer", {"inputs": [tensor]}))
    check(status == 200 and answer["outputs"][0]["data"] == expected, f"V2 answered {status} {answer}, not {expected}")
    print(f"    the model itself says the same of these {len(asked)} flowers: {expected}")

    refused, seconds = step(
        "kill -9 the model server and ask on",
        lambda: kill_and_see_it_return(home, gateway, host, {"instances": asked[:1]}),
    )
    print(f"    back after {seconds:.2f} s; {refused} requests were answered 503 meanwhile, none hung")
    step("delete the service", lambda: mizzen("delete", "-f", str(manifest)))
    step("stop Mizzen", lambda: mizzen("down"))


def any_ports() -> tuple[str, ...]:
    return "--api-port", "0", "--gateway-port", "0"


def check(held: bool, otherwise: str) -> None:
    if not held:
        raise Failed(otherwise)


def main() -> int:
    home = tempfile.mkdtemp(prefix="mizzen-demo-")
    os.environ["MIZZEN_HOME"] = str(Path(home, "home"))
    os.environ.pop("KUBECONFIG", None)
    print("\nMizzen: a model from a manifest, without a cluster\n")
    try:
        demonstrate(home)
    except (Failed, KeyboardInterrupt) as error:
        print(f"\n\n  this did not hold: {error or 'interrupted'}\n  logs are in {home}/home/logs", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "mizzen.cli", "down"], check=False)
        return 1
    shutil.rmtree(home)
    binary = Path(sys.executable).parent / "mizzen"
    shown = os.path.relpath(binary) if binary.exists() else "mizzen"
    print(f"""
  All of it held. To keep one running:

    {shown} up -d                    # starts in the background, in ~/.mizzen
    {shown} apply -f your-model.yaml
    {shown} describe isvc NAME       # tells its state, and the curl line that calls it
    eval "$({shown} env)"            # from here on kubectl talks to it too: kubectl get isvc
    {shown} down
""")
    return 0


if __name__ == "__main__":
    sys.exit(main())
