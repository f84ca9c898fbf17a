"""What outlives a crash: of the agent, of a zygote, of the whole node."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

from mizzen.apis.core import CONFIG_MAP, EVENT, POD
from mizzen.cluster.node.runtime.client import PodParent
from mizzen.cluster.node.runtime.identity import is_alive
from mizzen.cluster.node.runtime.spec import read_identity, read_parent
from node_world import World, is_ready, shell, status_of, waiting, world

STAYING = "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done"
LEAVING = "while ! test -e leave; do sleep 0.02; done; exit 5"


def kill_parent(node: World, name: str) -> None:
    """Kill a pod parent as hard as it goes."""
    (folder,) = [path for path in (node.home / "run" / "parents").iterdir() if path.is_dir() and path.name == name]
    identity = read_parent(folder)
    assert identity is not None
    os.kill(identity.pid, signal.SIGKILL)


def work(node: World, pod: dict[str, object], run: int = 0) -> Path:
    return node.folder(pod) / f"containers/main/{run}/work"


async def test_containers_are_taken_over(bare: World) -> None:
    await bare.spawn()
    await bare.run("server", shell(STAYING, readinessProbe={"exec": {"command": ["true"]}}))
    before = await bare.ready("server")
    pid = bare.pid(before)
    bare.kill()
    await bare.spawn()
    # Something that the new agent does shows that it is there.
    await bare.output("other", shell("true"))
    after = await bare.ready("server")
    assert bare.pid(after) == pid
    os.kill(pid, 0)
    assert after["status"]["podIP"] == before["status"]["podIP"]
    assert status_of(after) == status_of(before)
    await bare.delete("server")
    await bare.until_gone("server")


async def test_taking_over_does_not_stop_the_traffic(bare: World) -> None:
    """A pod that is ready is ready all the while, whatever it consists of."""
    await bare.spawn()
    await bare.client.create(CONFIG_MAP, {"metadata": {"name": "settings"}, "data": {"a": "1"}}, "default")
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/mnt/v"}]}
    init = {"name": "init", "image": "busybox"} | shell("true")
    sidecar = {"name": "sidecar", "image": "busybox", "restartPolicy": "Always"} | shell(STAYING)
    probe = {"exec": {"command": ["true"]}}
    script = "trap 'exit 0' TERM; while :; do echo $(cat /mnt/v/a); sleep 0.02; done"
    await bare.run(
        "server",
        shell(script, readinessProbe=probe, startupProbe=probe, **mount),
        initContainers=[init, sidecar],
        volumes=[{"name": "v", "configMap": {"name": "settings"}}],
    )
    pod = await bare.ready("server")
    version = pod["metadata"]["resourceVersion"]
    bare.kill()
    await bare.client.patch(CONFIG_MAP, "settings", "default", {"data": {"a": "2"}})
    await bare.spawn()
    await bare.says("server", "2", container="main", tailLines="3")
    await bare.output("other", shell("true"))
    seen = []
    async with asyncio.timeout(30):
        async for event in bare.client.watch(POD, "default", resource_version=version):
            found = json.loads(bytes(event.object))
            if found["metadata"]["name"] == "server":
                seen.append(is_ready(found))
            elif found.get("status", {}).get("phase") == "Succeeded":
                break
    assert all(seen)


async def test_a_node_that_goes_down_and_comes_back(bare: World) -> None:
    """Its containers are ended and started again, at once however often, and what they have done is not done again."""
    init = {"name": "init", "image": "busybox"} | shell("echo once >> /mnt/v/runs")
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/mnt/v"}]}
    await bare.start()
    await bare.run(
        "server", shell(STAYING, **mount), initContainers=[init | mount], volumes=[{"name": "v", "emptyDir": {}}]
    )
    await bare.ready("server")
    for restarts in (1, 2, 3):
        await bare.stop()
        for socket in bare.home.glob("run/parents/*.sock"):
            await PodParent.end(socket, socket.with_suffix(""))
        assert bare.leftovers() == []
        await bare.start()
        pod = await bare.until(
            "server", lambda pod, wanted=restarts: status_of(pod)["restartCount"] == wanted and is_ready(pod)
        )
        assert status_of(pod, "init")["restartCount"] == 0
    assert (bare.folder(pod) / "volumes/v/runs").read_text() == "once\n"


async def test_an_exit_that_nobody_saw(bare: World) -> None:
    await bare.spawn()
    await bare.run("job", shell(LEAVING), restartPolicy="Never")
    await bare.run("server", shell(LEAVING))
    job, server = await bare.ready("job"), await bare.ready("server")
    bare.kill()
    for pod in (job, server):
        (work(bare, pod) / "leave").touch()
        while not (bare.folder(pod) / "containers/main/0/exit.json").exists():
            await asyncio.sleep(0.01)
    await bare.spawn()
    job = await bare.finished("job")
    assert status_of(job)["state"]["terminated"]["exitCode"] == 5
    server = await bare.until("server", lambda pod: status_of(pod)["restartCount"] == 1 and is_ready(pod))
    assert status_of(server)["lastState"]["terminated"]["exitCode"] == 5


async def test_a_pod_that_was_deleted_meanwhile(bare: World) -> None:
    await bare.spawn()
    await bare.run("asked", shell(STAYING))
    await bare.run("forced", shell(STAYING))
    asked, forced = await bare.ready("asked"), await bare.ready("forced")
    bare.kill()
    await bare.delete("asked")
    await bare.delete("forced", grace=0)
    await bare.spawn()
    await bare.until_gone("asked")
    async with asyncio.timeout(30):
        while bare.leftovers_of(forced) or bare.folder(forced).exists() or bare.folder(asked).exists():
            await asyncio.sleep(0.05)


async def test_the_agent_is_killed_in_the_middle_of_everything(bare: World) -> None:
    """Again and again, at whatever moment: in the end every pod has run exactly as often as it should."""
    await bare.spawn()
    names = [f"job{number}" for number in range(6)]
    init = {"name": "init", "image": "busybox"} | shell("echo init >> /shared/runs; sleep 0.05")
    mounts = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    main = shell("echo main >> /shared/runs; sleep 0.1; cat /shared/runs", **mounts)
    for place, name in enumerate(names):
        await bare.run(
            name,
            main,
            initContainers=[init | mounts],
            restartPolicy="Never",
            volumes=[{"name": "shared", "emptyDir": {}}],
        )
        await asyncio.sleep(0.013 * place)
        bare.kill()
        await bare.spawn()
    for name in names:
        pod = await bare.finished(name)
        assert pod["status"]["phase"] == "Succeeded", json.dumps(pod["status"], indent=1)
        assert await bare.log(name) == "init\nmain\n"


async def test_a_sidecar_that_waits_keeps_nobody_waiting(bare: World) -> None:
    await bare.spawn()
    sidecar = {"name": "sidecar", "image": "busybox", "restartPolicy": "Always"} | shell("exit 1")
    await bare.run("job", shell(LEAVING), initContainers=[sidecar], restartPolicy="Never")
    pod = await bare.until("job", lambda pod: waiting(pod, "sidecar") == "CrashLoopBackOff")
    await bare.until("job", lambda pod: "running" in status_of(pod)["state"])
    bare.kill()
    await bare.spawn()
    (work(bare, pod) / "leave").touch()
    pod = await bare.finished("job")
    assert status_of(pod)["state"]["terminated"]["exitCode"] == 5


async def test_a_back_off_goes_on_where_it_was(bare: World) -> None:
    await bare.spawn()
    await bare.run("crash", shell("exit 1"))
    await bare.until("crash", lambda pod: waiting(pod) == "CrashLoopBackOff")
    bare.kill()
    await bare.spawn()
    await bare.output("other", shell("true"))
    pod = await bare.pod("crash")
    assert pod is not None
    assert waiting(pod) == "CrashLoopBackOff"
    assert status_of(pod)["restartCount"] == 1
    assert "back-off 10s" in status_of(pod)["state"]["waiting"]["message"]


async def test_a_pod_parent_that_is_killed(node: World) -> None:
    await node.run("server", shell(STAYING))
    before = await node.ready("server")
    process = read_identity(node.folder(before) / "containers/main/0")
    kill_parent(node, "launcher")
    pod = await node.until("server", lambda pod: status_of(pod)["restartCount"] == 1 and is_ready(pod))
    ended = status_of(pod)["lastState"]["terminated"]
    assert ended["exitCode"] == 137
    assert "pod parent" in ended["message"]
    assert process is not None and not is_alive(process)
    # That was not its own failure, so it does not wait the longer the more often it happens.
    for restarts in (2, 3):
        kill_parent(node, "launcher")
        await node.until("server", lambda pod, wanted=restarts: status_of(pod)["restartCount"] == wanted)
        await node.ready("server")
    reasons = {event["reason"] for event in await node.client.list(EVENT, "default")}
    assert "Started" in reasons and "BackOff" not in reasons


async def test_everything_is_killed_at_once(bare: World) -> None:
    await bare.spawn()
    await bare.run("server", shell(STAYING))
    await bare.ready("server")
    bare.kill()
    kill_parent(bare, "launcher")
    await bare.spawn()
    pod = await bare.until("server", lambda pod: status_of(pod)["restartCount"] == 1 and is_ready(pod))
    assert status_of(pod)["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"


async def test_a_pod_that_has_ended_does_not_run_again(bare: World) -> None:
    await bare.start()
    await bare.output("job", shell("echo once"))
    await bare.stop()
    await bare.start()
    await bare.output("other", shell("true"))
    assert await bare.log("job") == "once\n"
    await bare.delete("job")
    await bare.until_gone("job")


async def test_two_nodes_side_by_side(bare: World, tmp_path: Path) -> None:
    async with world(tmp_path, bare.mode, "second") as second:
        await bare.start()
        await second.start()
        for node in (bare, second):
            await node.run("server", shell(STAYING))
        one, two = await bare.ready("server"), await second.ready("server")
        assert one["status"]["hostIP"] != two["status"]["hostIP"]
        await second.delete("server")
        await second.until_gone("server")
        assert is_ready(await bare.ready("server"))
