"""A whole installation on a full disk: it serves, deletes, recovers from kills, and loses nothing it has confirmed."""

from __future__ import annotations

import pytest

from small_disk import run_on_small_disk

pytest.importorskip("sklearn", reason="scikit-learn is not installed")

_STORY = """
import json, os, signal, tempfile
from pathlib import Path
from installed import ANY_PORTS, Mizzen, iris_manifest, train, until

FLOWER = [[5.1, 3.5, 1.4, 0.2]]
disk = Path(sys.argv[1])
mizzen = Mizzen(disk / "home")
ballast = disk / "ballast"

def fill():
    with ballast.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass

def make_room(kilobytes):
    os.truncate(ballast, ballast.stat().st_size - kilobytes * 1024)

def settings(name, size=60_000):
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"x": "x" * size}})

def stored():
    return {found["metadata"]["name"] for found in mizzen.objects("cm")}

def serves(name="iris"):
    until(lambda: mizzen.predict(name, FLOWER) == (200, {"predictions": [0]}))

def kill_everything():
    while found := mizzen.processes():
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

def start_on_a_full_disk():
    # The parents of pods need a page or two for their own; without them it is said, and nothing is left behind. What is
    # to be served has to wait for room, too.
    fill()
    refused = mizzen.run("up", "-d", *ANY_PORTS)
    if refused.returncode:
        assert "No space left on device" in refused.stderr, refused.stderr
        assert "Traceback" not in refused.stderr, refused.stderr
        assert mizzen.processes() == {}
        make_room(256)
        mizzen.up()
    fill()

def story(model):
    train(model)
    mizzen.up()
    mizzen.apply(iris_manifest(model))
    mizzen.apply(iris_manifest(model, name="other"))
    mizzen.wait_ready("iris")
    mizzen.wait_ready("other")
    serves()

    fill()
    make_room(1024)
    confirmed = []
    for number in range(200):
        done = mizzen.run("apply", "-f", "-", input=settings(f"s{number}"))
        assert "Traceback" not in done.stderr, done.stderr
        if done.returncode:
            break
        confirmed.append(f"s{number}")
    assert len(confirmed) > 2, confirmed
    assert "disk full" in done.stderr and str(mizzen.home) in done.stderr, done.stderr
    assert set(confirmed) <= stored()
    serves()
    print("refused in words, and served")

    for role in ("node", "gateway", "controllers", "apiserver"):
        os.kill(mizzen.status()["roles"][role]["pid"], signal.SIGKILL)
        until(lambda: mizzen.status().get("roles", {}).get(role, {}).get("restarts") == 1, mizzen.status)
        until(lambda: mizzen.status()["ready"], mizzen.status)
    serves()
    print("roles came back")

    mizzen("delete", "isvc", "other")
    until(lambda: len(mizzen.objects("pods")) == 1, lambda: mizzen("get", "pods"))
    for name in confirmed[:1]:
        mizzen("delete", "cm", name)
    print("deletes worked")
    fill()

    mizzen("down")
    assert mizzen.processes() == {}
    start_on_a_full_disk()
    assert set(confirmed[1:]) <= stored()
    mizzen("delete", "cm", confirmed[1])
    print("down and up")

    kill_everything()
    start_on_a_full_disk()
    assert set(confirmed[2:]) <= stored()
    mizzen("delete", "cm", confirmed[2])
    print("killed and up")

    ballast.unlink()
    mizzen.apply(settings("room", 100_000))
    assert "room" in stored()
    mizzen.apply(iris_manifest(model, name="third"))
    mizzen.wait_ready("third")
    mizzen.wait_ready("iris")
    serves()
    serves("third")
    mizzen("down")
    assert mizzen.processes() == {}
    print("all well when there is room")

with tempfile.TemporaryDirectory() as folder:
    try:
        story(Path(folder))
    finally:
        kill_everything()
"""


def test_a_full_disk() -> None:
    assert run_on_small_disk(_STORY, megabytes=60, seconds=400).splitlines() == [
        "refused in words, and served",
        "roles came back",
        "deletes worked",
        "down and up",
        "killed and up",
        "all well when there is room",
    ]
