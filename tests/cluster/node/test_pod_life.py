"""Pods from their start to their end, on a real node."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time

import pytest

from mizzen.apis.core import POD
from mizzen.cluster.node import lifecycle, machine
from node_world import World, condition, is_ready, shell, status_of, waiting

IGNORING = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
HEEDING = "trap 'echo asked; exit 7' TERM; echo ready; while :; do sleep 0.02; done"


async def test_a_pod_that_runs_to_its_end(node: World) -> None:
    await node.run("job", shell("echo hello; echo the reason > /dev/termination-log; exit 3"), restartPolicy="Never")
    pod = await node.finished("job")
    assert pod["status"]["phase"] == "Failed"
    ended = status_of(pod)["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (3, "Error", "the reason\n")
    assert ended["startedAt"] and ended["finishedAt"]
    assert await node.log("job") == "hello\n"
    assert condition(pod, "Initialized") == "True"
    assert condition(pod, "Ready") == "False"


async def test_what_its_status_says_while_it_runs(node: World) -> None:
    await node.run("server", shell(IGNORING))
    pod = await node.ready("server")
    status = pod["status"]
    assert status["phase"] == "Running"
    assert status["podIP"].startswith("127.") and status["podIPs"] == [{"ip": status["podIP"]}]
    assert status["hostIP"] == status["podIP"].rsplit(".", 2)[0] + ".0.1"
    assert {one["type"]: one["status"] for one in status["conditions"]} == {
        "PodReadyToStartContainers": "True",
        "Initialized": "True",
        "Ready": "True",
        "ContainersReady": "True",
    }
    found = status_of(pod)
    assert found["ready"] and found["started"] and found["restartCount"] == 0
    assert found["containerID"] == f"mizzen://{pod['metadata']['uid']}/main/0"
    assert "Started container main" in await node.event("server", "Started")


async def test_a_job_that_succeeds_after_a_failure(node: World) -> None:
    marked = {"volumeMounts": [{"name": "state", "mountPath": "/state"}]}
    script = "test -e /state/there && exit 0; touch /state/there; exit 1"
    volumes = [{"name": "state", "emptyDir": {}}]
    await node.run("job", shell(script, **marked), restartPolicy="OnFailure", volumes=volumes)
    pod = await node.finished("job")
    assert pod["status"]["phase"] == "Succeeded"
    found = status_of(pod)
    assert found["restartCount"] == 1
    assert found["lastState"]["terminated"]["exitCode"] == 1


async def test_a_container_that_keeps_crashing_waits_longer_and_longer(
    node: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "FIRST_DELAY", 0.5)
    await node.run("crash", shell("echo run $(basename $(dirname $PWD)); exit 4"))
    pod = await node.until("crash", lambda pod: status_of(pod).get("restartCount") == 1 and waiting(pod))
    assert waiting(pod) == "CrashLoopBackOff"
    found = status_of(pod)
    assert found["lastState"]["terminated"]["exitCode"] == 4
    assert "restarting failed container=main pod=crash_default(" in found["state"]["waiting"]["message"]
    assert pod["status"]["phase"] == "Running"
    assert "Back-off restarting failed container main" in await node.event("crash", "BackOff")
    # As it waits, the run that crashed last is the one before.
    assert await node.log("crash", previous="true") == await node.log("crash") == "run 1\n"
    pod = await node.until("crash", lambda pod: status_of(pod)["restartCount"] == 3)
    assert (await node.log("crash", previous="true")).startswith("run ")
    # Of the runs before, only the last one is kept.
    assert sorted(path.name for path in node.folder(pod).glob("containers/main/*")) == ["2", "3"]


@pytest.mark.parametrize(
    ("container", "reason", "code", "message"),
    [
        ({"command": ["no-such-program"]}, "ContainerCannotRun", 127, "'no-such-program' was not found in PATH"),
        ({"command": ["/etc/hosts"]}, "ContainerCannotRun", 126, "'/etc/hosts' cannot be executed"),
        (shell("true", workingDir="/no/such"), "ContainerCannotRun", 126, "working directory '/no/such'"),
    ],
)
async def test_a_container_that_cannot_be_started(
    node: World, container: dict[str, object], reason: str, code: int, message: str
) -> None:
    await node.run("bad", container, restartPolicy="Never")
    pod = await node.finished("bad")
    ended = status_of(pod)["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == (reason, code)
    assert message in ended["message"]


async def test_init_containers_run_one_after_another(node: World) -> None:
    mounts = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    inits = [
        {"name": name, "image": "busybox"} | shell(f"echo {name} >> /shared/order", **mounts)
        for name in ("first", "second")
    ]
    text = await node.output(
        "ordered",
        shell("cat /shared/order", **mounts),
        initContainers=inits,
        volumes=[{"name": "shared", "emptyDir": {}}],
    )
    assert text == "first\nsecond\n"


async def test_an_init_container_that_fails_for_good(node: World) -> None:
    init = {"name": "init", "image": "busybox"} | shell(
        "echo model not found; exit 9", terminationMessagePolicy="FallbackToLogsOnError"
    )
    await node.run("bad", shell("echo never"), initContainers=[init], restartPolicy="Never")
    pod = await node.finished("bad")
    ended = status_of(pod, "init")["state"]["terminated"]
    assert (ended["exitCode"], ended["message"]) == (9, "model not found\n")
    assert status_of(pod)["state"]["waiting"]["reason"] == "PodInitializing"
    assert condition(pod, "Initialized") == "False"


async def test_an_init_container_that_fails_is_tried_again(node: World) -> None:
    init = {"name": "init", "image": "busybox"} | shell("exit 9")
    await node.run("bad", shell("echo never"), initContainers=[init])
    pod = await node.until("bad", lambda pod: waiting(pod, "init") == "CrashLoopBackOff")
    assert pod["status"]["phase"] == "Pending"
    assert status_of(pod, "init")["restartCount"] == 1


async def test_the_storage_initializer_says_what_is_missing(node: World) -> None:
    init = {
        "name": "storage-initializer",
        "image": "kserve/storage-initializer:v0.15.0",
        "args": ["file:///no/such/model", "/mnt/models"],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "models", "mountPath": "/mnt/models"}],
    }
    volumes = [{"name": "models", "emptyDir": {}}]
    await node.run("bad", shell("true"), initContainers=[init], volumes=volumes, restartPolicy="Never")
    pod = await node.finished("bad")
    ended = status_of(pod, "storage-initializer")["state"]["terminated"]
    assert ended["exitCode"] == 1
    assert "/no/such/model" in ended["message"]


async def test_a_sidecar_runs_beside_the_others_and_ends_after_them(node: World) -> None:
    sidecar = {"name": "sidecar", "image": "busybox", "restartPolicy": "Always"} | shell(HEEDING)
    await node.run("job", shell("echo work; sleep 0.2"), initContainers=[sidecar], restartPolicy="Never")
    pod = await node.finished("job")
    assert pod["status"]["phase"] == "Succeeded"
    assert status_of(pod, "sidecar")["state"]["terminated"]["exitCode"] == 7
    assert "asked" in await node.log("job", container="sidecar")


async def test_a_server_that_is_killed_is_seen_at_once_and_comes_back(node: World) -> None:
    await node.run("server", shell(IGNORING, readinessProbe={"exec": {"command": ["true"]}}))
    pod = await node.ready("server")
    version = pod["metadata"]["resourceVersion"]
    os.kill(node.pid(pod), signal.SIGKILL)
    unready = False
    async with asyncio.timeout(30):
        async for event in node.client.watch(POD, "default", resource_version=version):
            pod = json.loads(bytes(event.object))
            unready = unready or not is_ready(pod)
            if unready and is_ready(pod):
                break
    found = status_of(pod)
    assert found["restartCount"] == 1
    assert found["lastState"]["terminated"]["exitCode"] == 137
    assert found["lastState"]["terminated"]["signal"] == 9


async def test_a_server_that_ends_when_asked_to(node: World) -> None:
    await node.run("server", shell(HEEDING), terminationGracePeriodSeconds=30)
    pod = await node.ready("server")
    await node.says("server", "ready")
    folder = node.folder(pod)
    await node.delete("server")
    await node.until_gone("server")
    assert node.leftovers_of(pod) == []
    async with asyncio.timeout(10):
        while folder.exists():
            await asyncio.sleep(0.01)


async def test_the_last_status_of_a_pod_that_was_deleted(node: World) -> None:
    held = {"metadata": {"finalizers": ["example.com/look"]}}
    await node.run("server", shell(HEEDING), **held)
    await node.ready("server")
    await node.says("server", "ready")
    await node.delete("server")
    pod = await node.finished("server")
    assert pod["status"]["phase"] == "Failed"
    assert status_of(pod)["state"]["terminated"]["exitCode"] == 7
    await node.client.patch(POD, "server", "default", {"metadata": {"finalizers": None}})
    await node.until_gone("server")


async def test_a_server_that_does_not_end_is_killed_after_its_grace_period(node: World) -> None:
    await node.run("server", shell(IGNORING), terminationGracePeriodSeconds=1)
    pod = await node.ready("server")
    await node.says("server", "ready")
    began = time.monotonic()
    await node.delete("server")
    await node.until_gone("server")
    assert time.monotonic() - began >= 1
    assert node.leftovers_of(pod) == []


async def test_a_second_delete_shortens_the_wait(node: World) -> None:
    await node.run("server", shell(IGNORING), terminationGracePeriodSeconds=600)
    await node.ready("server")
    await node.says("server", "ready")
    await node.delete("server")
    await node.event("server", "Killing")
    await node.delete("server", grace=1)
    await node.until_gone("server")


async def test_a_pod_that_is_removed_by_force_leaves_no_process(node: World) -> None:
    await node.run("server", shell(IGNORING), terminationGracePeriodSeconds=600)
    pod = await node.ready("server")
    await node.delete("server", grace=0)
    await node.until_gone("server")
    async with asyncio.timeout(30):
        while node.leftovers_of(pod) or node.folder(pod).exists():
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "spec",
    [
        {"containers": [{"name": "main", "image": "no/such:image"}]},
        {
            "containers": [{"name": "main", "image": "busybox"}],
            "volumes": [{"name": "v", "configMap": {"name": "nowhere"}}],
        },
        {"containers": [{"name": "main", "image": "busybox", "command": ["false"]}]},
    ],
)
async def test_a_pod_that_is_stuck_can_be_deleted(node: World, spec: dict[str, object]) -> None:
    await node.run("stuck", **spec)
    pod = await node.until("stuck", waiting)
    await node.delete("stuck")
    await node.until_gone("stuck")
    async with asyncio.timeout(30):
        while node.folder(pod).exists():
            await asyncio.sleep(0.02)


async def test_a_pod_made_again_under_its_name_is_another_pod(node: World) -> None:
    await node.run("server", shell(IGNORING))
    first = await node.ready("server")
    await node.delete("server", grace=0)
    await node.run("server", shell(IGNORING))
    second = await node.ready("server")
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    async with asyncio.timeout(30):
        while node.leftovers_of(first):
            await asyncio.sleep(0.05)
    assert is_ready(await node.ready("server"))


async def test_a_pod_that_runs_longer_than_it_may(node: World) -> None:
    await node.run("slow", shell(HEEDING), activeDeadlineSeconds=1)
    pod = await node.finished("slow")
    assert pod["status"]["phase"] == "Failed"
    assert pod["status"]["reason"] == "DeadlineExceeded"
    assert status_of(pod)["state"]["terminated"]["exitCode"] == 7
    await node.delete("slow")
    await node.until_gone("slow")


async def test_another_image_replaces_the_container(node: World) -> None:
    await node.run("server", shell(HEEDING))
    await node.ready("server")
    await node.says("server", "ready")
    patch = {"spec": {"containers": [{"name": "main", "image": "busybox:2"}]}}
    await node.client.patch(POD, "server", "default", patch, kind="strategic")
    pod = await node.until("server", lambda pod: status_of(pod)["restartCount"] == 1 and is_ready(pod))
    assert status_of(pod)["image"] == "busybox:2"
    assert status_of(pod)["lastState"]["terminated"]["exitCode"] == 7


async def test_hooks_after_the_start_and_before_the_end(node: World) -> None:
    mounts = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    lifecycle_hooks = {
        "postStart": {"exec": {"command": ["sh", "-c", "echo started >> /shared/log"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "echo stopping >> /shared/log"]}},
    }
    script = "trap 'cat /shared/log; exit 0' TERM; while :; do sleep 0.02; done"
    held = {"metadata": {"finalizers": ["example.com/look"]}}
    await node.run(
        "server",
        shell(script, lifecycle=lifecycle_hooks, **mounts),
        volumes=[{"name": "shared", "emptyDir": {}}],
        **held,
    )
    pod = await node.ready("server")
    log = node.folder(pod) / "logs" / "main" / "0.log"
    await node.delete("server")
    async with asyncio.timeout(30):
        while not (log.exists() and "stopping" in log.read_text()):
            await asyncio.sleep(0.01)
    assert "started" in log.read_text()
    await node.client.patch(POD, "server", "default", {"metadata": {"finalizers": None}})
    await node.until_gone("server")


async def test_a_hook_that_fails_ends_the_container(node: World) -> None:
    hook = {"postStart": {"exec": {"command": ["sh", "-c", "echo no database; exit 1"]}}}
    await node.run("server", shell(HEEDING, lifecycle=hook), restartPolicy="Never")
    pod = await node.finished("server")
    assert pod["status"]["phase"] == "Failed"
    assert "no database" in await node.event("server", "FailedPostStartHook")


async def test_a_memory_limit_is_held(node: World) -> None:
    script = "import time; held = bytearray(400 << 20); held[::4096] = b'x' * len(held[::4096]); time.sleep(600)"
    eater = {"image": "python", "command": ["python", "-c", script], "resources": {"limits": {"memory": "64Mi"}}}
    await node.run("eater", eater, restartPolicy="Never")
    pod = await node.finished("eater")
    ended = status_of(pod)["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


async def test_a_port_that_a_stranger_has_everywhere(node: World) -> None:
    with socket.create_server(("0.0.0.0", 0)) as stranger:
        port = stranger.getsockname()[1]
        await node.run("server", shell(IGNORING, ports=[{"containerPort": port}]))
        sentence = await node.event("server", "FailedCreatePodSandBox")
        assert f"port {port} is taken on every loopback address" in sentence
    await node.ready("server")


async def test_a_port_for_which_this_user_has_no_right(bare: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "first_port", lambda: 1024)
    await bare.start()
    await bare.run("server", shell(IGNORING, ports=[{"containerPort": 80}]))
    await bare.ready("server")
    assert "a container that listens on 80 will fail" in await bare.event("server", "PrivilegedPort")


async def test_a_pod_on_the_network_of_the_node(node: World) -> None:
    await node.run("server", shell(IGNORING), hostNetwork=True)
    pod = await node.ready("server")
    assert pod["status"]["podIP"] == pod["status"]["hostIP"]


async def test_two_pods_listen_on_the_same_port(node: World) -> None:
    script = (
        "import http.server, os; http.server.ThreadingHTTPServer((os.environ['POD_IP'], 8080), "
        "http.server.SimpleHTTPRequestHandler).serve_forever()"
    )
    server = {
        "image": "python",
        "command": ["python", "-c", script],
        "ports": [{"containerPort": 8080, "name": "web"}],
        "readinessProbe": {"httpGet": {"port": "web"}},
    }
    for name in ("one", "two"):
        await node.run(name, server)
    one, two = [await node.ready(name) for name in ("one", "two")]
    assert one["status"]["podIP"] != two["status"]["podIP"]
