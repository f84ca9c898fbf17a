"""kill -9 anywhere: whatever dies, the installation finds back to what its objects say."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from installed import ANY_PORTS, Mizzen, installation, iris_manifest, new_home, train, until

FLOWER = [[5.1, 3.5, 1.4, 0.2]]
ANSWER = (200, {"predictions": [0]})
ROLES = ["apiserver", "node", "controllers", "gateway"]


@pytest.fixture
def model(tmp_path):
    train(tmp_path)
    return tmp_path


@pytest.fixture
def serving(model):
    with installation() as mizzen:
        mizzen.apply(iris_manifest(model))
        mizzen.wait_ready("iris")
        until(lambda: mizzen.predict("iris", FLOWER) == ANSWER)
        yield mizzen


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def test_a_model_server_that_is_killed_comes_back_and_no_request_hangs(serving):
    gateway = serving.status()["gateway"]["url"]
    before = serving.server_pid("iris")
    kill(before)
    seen = set()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        begun = time.monotonic()
        status, answer = serving_post(gateway)
        assert time.monotonic() - begun < 5, "a request hung"
        seen.add(status)
        if status == 200 and serving.server_pid("iris") != before:
            break
        time.sleep(0.002)
    assert answer == ANSWER[1]
    assert seen <= {200, 502, 503}
    pod = serving.objects("pods")[0]
    status = pod["status"]["containerStatuses"][0]
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["exitCode"] == 137
    serving.wait_ready("iris")


def serving_post(gateway: str) -> tuple[int, object]:
    from installed import post

    return post(gateway, "iris-default.example.com", "/v1/models/iris:predict", {"instances": FLOWER}, timeout=5)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_that_is_killed_is_started_again_and_nothing_else_is(serving, role, model):
    server = serving.server_pid("iris")
    before = serving.status()["roles"]
    kill(before[role]["pid"])
    until(lambda: serving.status()["roles"][role]["restarts"] == 1, serving.status)
    until(lambda: serving.status()["ready"], serving.status)
    after = serving.status()["roles"]
    assert {name for name in ROLES if after[name]["pid"] != before[name]["pid"]} == {role}
    assert serving.predict("iris", FLOWER) == ANSWER
    assert serving.server_pid("iris") == server, "the model server was not touched"
    serving.apply(iris_manifest(model, name="second"))
    serving.wait_ready("second")
    until(lambda: serving.predict("second", FLOWER) == ANSWER)


def test_the_gateway_keeps_its_port_while_it_is_away(serving):
    """Connections that arrive meanwhile wait in the kernel and are answered by the next one."""
    gateway = serving.status()["gateway"]["url"]
    kill(serving.status()["roles"]["gateway"]["pid"])
    assert serving_post(gateway) == ANSWER


def test_a_killed_supervisor_leaves_the_models_and_the_next_adopts_them(model):
    with new_home() as mizzen:
        mizzen.up()
        mizzen.apply(iris_manifest(model))
        mizzen.wait_ready("iris")
        server = mizzen.server_pid("iris")
        roles = [role["pid"] for role in mizzen.status()["roles"].values()]
        kill(mizzen.status()["pid"])
        until(lambda: not any(Path(f"/proc/{pid}").exists() and not zombie(pid) for pid in roles))
        assert Path(f"/proc/{server}").exists(), "a pod outlives the installation"
        assert mizzen.run("status").returncode == 1
        mizzen.up()
        mizzen.wait_ready("iris")
        until(lambda: mizzen.predict("iris", FLOWER) == ANSWER)
        assert mizzen.server_pid("iris") == server
        assert mizzen.objects("pods")[0]["status"]["containerStatuses"][0]["restartCount"] == 0
        mizzen("down")
        assert mizzen.processes() == {}


def zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_down_ends_what_a_killed_supervisor_left(model):
    with new_home() as mizzen:
        mizzen.up()
        mizzen.apply(iris_manifest(model))
        mizzen.wait_ready("iris")
        kill(mizzen.status()["pid"])
        until(lambda: mizzen.run("status").returncode == 1)
        mizzen("down")
        until(lambda: mizzen.processes() == {}, mizzen.processes)


@pytest.mark.parametrize("name", ["launcher", "sklearn"])
def test_a_killed_pod_parent_takes_its_pods_and_comes_back_when_it_is_needed(serving, name, model):
    parent = next(pid for pid, command in serving.processes().items() if f"--name {name}" in command)
    kill(parent)
    serving.apply(iris_manifest(model, name="second"))
    until(lambda: any(f"--name {name}" in c and p != parent for p, c in serving.processes().items()))
    for service in ("iris", "second"):
        serving.wait_ready(service)
        until(lambda service=service: serving.predict(service, FLOWER) == ANSWER)


@pytest.mark.parametrize("after", [0.0, 0.02, 0.05, 0.1, 0.2, 0.3])
def test_killed_at_any_moment_of_an_apply_the_next_reaches_the_same_state(model, after):
    """The supervisor is killed while a service is being brought up; what the API had acknowledged is kept."""
    with new_home() as mizzen:
        mizzen.up()
        pid = mizzen.status()["pid"]
        killer = threading.Timer(after, kill, (pid,))
        applied = mizzen.run("apply", "-f", "-", input=iris_manifest(model)) if after == 0.0 else None
        killer.start()
        if applied is None:
            applied = mizzen.run("apply", "-f", "-", input=iris_manifest(model))
        killer.join()
        until(lambda: mizzen.run("status").returncode == 1)
        mizzen.up()
        known = [found["metadata"]["name"] for found in mizzen.objects("isvc")]
        if applied.returncode == 0:
            assert known == ["iris"], "what was acknowledged is there"
        mizzen.apply(iris_manifest(model))
        mizzen.wait_ready("iris")
        until(lambda: mizzen.predict("iris", FLOWER) == ANSWER)
        until(lambda: len(mizzen.objects("pods")) == 1)


def test_killed_while_starting(model):
    with new_home() as mizzen:
        for pause in (0.05, 0.15, 0.3):
            process = mizzen.start("up", *ANY_PORTS)
            time.sleep(pause)
            process.kill()
            process.wait()
        mizzen.up()
        mizzen.apply(iris_manifest(model))
        mizzen.wait_ready("iris")


def test_a_role_that_dies_again_and_again_is_told_of_and_the_rest_goes_on(serving: Mizzen):
    for _ in range(3):
        before = serving.status()["roles"]["controllers"]["restarts"]
        kill(serving.status()["roles"]["controllers"]["pid"])
        until(lambda before=before: serving.status()["roles"]["controllers"]["restarts"] > before)
        until(lambda: serving.status()["roles"]["controllers"]["ready"])
    assert "controllers" in (serving.home / "logs/up.log").read_text()
    assert serving.predict("iris", FLOWER) == ANSWER
