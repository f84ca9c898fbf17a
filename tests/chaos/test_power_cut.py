"""Everything killed at once, as when the machine goes down: the next ``up`` finds what was acknowledged, and serves."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from contextlib import suppress

import pytest

from installed import Mizzen, iris_manifest, new_home, train, until

FLOWER = [[5.1, 3.5, 1.4, 0.2]]
ANSWER = (200, {"predictions": [0]})


@pytest.fixture
def model(tmp_path):
    train(tmp_path)
    return tmp_path


def kill_everything(mizzen: Mizzen) -> None:
    """No process of the installation is spared, nor any that is being born meanwhile."""
    while found := mizzen.processes():
        for pid in sorted(found):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def settings(name: str) -> str:
    return json.dumps(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": name * 100}}
    )


def test_what_served_serves_again(model):
    with new_home() as mizzen:
        mizzen.up()
        for name in ("one", "two"):
            mizzen.apply(iris_manifest(model, name=name))
        for name in ("one", "two"):
            mizzen.wait_ready(name)
        before = {found["metadata"]["name"]: found["metadata"]["uid"] for found in mizzen.objects("isvc")}
        old = {name: mizzen.server_pid(name) for name in before}
        kill_everything(mizzen)
        assert mizzen.run("status").returncode == 1
        mizzen.up()
        assert {found["metadata"]["name"]: found["metadata"]["uid"] for found in mizzen.objects("isvc")} == before
        for name in before:
            until(lambda name=name: mizzen.predict(name, FLOWER) == ANSWER)
            mizzen.wait_ready(name)
            assert mizzen.server_pid(name) != old[name]
        until(lambda: len(mizzen.objects("pods")) == 2)
        mizzen("delete", "isvc", "one", "two")
        until(lambda: mizzen.objects("pods") == [])
        mizzen("down")
        assert mizzen.processes() == {}


@pytest.mark.parametrize("after", [0.05, 0.2, 0.5, 1.0])
def test_nothing_acknowledged_is_lost_at_any_moment(model, after):
    """Objects are written in a row until the lights go out; those that were confirmed are all there afterwards."""
    with new_home() as mizzen:
        mizzen.up()
        mizzen.apply(iris_manifest(model))
        confirmed: list[str] = []
        writing = threading.Event()

        def write() -> None:
            for number in range(1000):
                text = "\n---\n".join(settings(f"s{number}-{part}") for part in range(20))
                done = mizzen.run("apply", "-f", "-", input=text)
                confirmed.extend(line.split()[0].partition("/")[2] for line in done.stdout.splitlines())
                writing.set()
                if done.returncode:
                    return

        writer = threading.Thread(target=write)
        writer.start()
        writing.wait()
        time.sleep(after)
        kill_everything(mizzen)
        writer.join()
        mizzen.up()
        stored = {found["metadata"]["name"]: found for found in mizzen.objects("cm")}
        assert set(confirmed) <= set(stored)
        assert all(stored[name]["data"] == {"value": name * 100} for name in confirmed)
        mizzen.wait_ready("iris")
        until(lambda: mizzen.predict("iris", FLOWER) == ANSWER)
        until(lambda: len(mizzen.objects("pods")) == 1)


def test_again_and_again(model):
    """Each start finds what the one before had no time to finish."""
    with new_home() as mizzen:
        mizzen.up()
        mizzen.apply(iris_manifest(model))
        for pause in (0.0, 0.1, 0.3, 0.6):
            time.sleep(pause)
            kill_everything(mizzen)
            mizzen.up()
        mizzen.wait_ready("iris")
        until(lambda: mizzen.predict("iris", FLOWER) == ANSWER)
        until(lambda: len(mizzen.objects("pods")) == 1)
