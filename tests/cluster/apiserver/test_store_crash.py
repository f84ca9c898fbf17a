"""Killed at any moment, the store comes back consistent, with everything that was acknowledged."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from apiserver_fixture import Server, process
from mizzen.cluster.apiserver.store import Key, Store
from small_disk import run_on_small_disk

_SHELF = "configmaps"

# Writes, overwrites and deletes from many tasks, and says on a line of its own what has been acknowledged.
_WRITER = """
import asyncio, os, sys
from pathlib import Path
from mizzen.cluster.apiserver.store import Key, Store

async def write(store, task):
    for step in range(1_000_000):
        key = Key("configmaps", "default", f"n{task}-{step % 5}")
        async with store.exclusive(key) as turn:
            if step % 7 == 6 and turn.current is not None:
                entry = await turn.delete(turn.current.decode())
                said = f"{key.name} {entry.revision} gone"
            else:
                metadata = {"name": key.name, "namespace": "default"}
                value = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"step": str(step)}}
                entry = await turn.put(value | {"pad": "x" * (step % 3000)})
                said = f"{key.name} {entry.revision} {step}"
        os.write(1, (said + "\\n").encode())

async def main():
    async with Store.open(Path(sys.argv[1]), history_seconds=0.05) as store:
        async with asyncio.TaskGroup() as tasks:
            for task in range(8):
                tasks.create_task(write(store, task))

asyncio.run(main())
"""


def killed_while_writing(path: Path, seconds: float) -> dict[str, tuple[int, str]]:
    """Run a writer, kill it, and return what it had acknowledged last for each name."""
    with (path.parent / "said").open("wb+") as said:
        child = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=said)
        try:
            patience = time.monotonic() + 60
            while said.seek(0, os.SEEK_END) == 0 and time.monotonic() < patience:
                time.sleep(0.005)
            time.sleep(seconds)
        finally:
            child.send_signal(signal.SIGKILL)
            assert child.wait(60) == -signal.SIGKILL
        said.seek(0)
        lines = said.read().decode().splitlines()
    found: dict[str, tuple[int, str]] = {}
    for line in lines:
        name, revision, what = line.split()
        if int(revision) > found.get(name, (0, ""))[0]:
            found[name] = int(revision), what
    return found


async def test_nothing_acknowledged_is_lost_however_often_it_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    dice = random.Random(4)
    for _ in range(6):
        acknowledged = killed_while_writing(path, dice.uniform(0.0, 0.25))
        assert acknowledged
        async with Store.open(path) as store:
            for name, (revision, what) in acknowledged.items():
                entry = store.get(Key(_SHELF, "default", name))
                if entry is None:
                    # Gone, or deleted by a write whose acknowledgement was cut off.
                    assert what == "gone" or store.revision > revision
                elif what == "gone" or entry.revision != revision:
                    assert entry.revision > revision
                else:
                    assert entry.decode()["data"] == {"step": what}
            newest = store.shelf(_SHELF).newest()
            assert store.revision >= max(revision for revision, _ in acknowledged.values())
            assert all(str(entry.revision) == entry.decode()["metadata"]["resourceVersion"] for entry in newest)
            changes = await store.restored(store.shelf(_SHELF).since(store.floor))
            assert [c.revision for c in changes] == sorted({c.revision for c in changes})
            for change in changes:
                assert change.before is None or change.before.data, "a change without the state before it"


def test_a_killed_server_comes_back_with_what_it_answered(tmp_path: Path) -> None:
    async def fill(server: Server) -> list[str]:
        acknowledged: list[str] = []
        async with server.session() as session:

            async def write(task: int) -> None:
                for step in range(100_000):
                    name = f"n{task}-{step}"
                    body = {"metadata": {"name": name}, "data": {"a": "b"}}
                    async with session.post("/api/v1/namespaces/default/configmaps", json=body) as response:
                        assert response.status == 201
                        acknowledged.append((await response.json())["metadata"]["name"])
                    if len(acknowledged) == 200:
                        assert server.process is not None
                        server.process.kill()

            await asyncio.gather(*(write(task) for task in range(8)), return_exceptions=True)
        return acknowledged

    with process(tmp_path) as server:
        acknowledged = asyncio.run(fill(server))
        assert len(acknowledged) >= 200

    async def listed(server: Server) -> set[str]:
        async with server.session() as session:
            async with session.get("/api/v1/namespaces/default/configmaps") as response:
                return {item["metadata"]["name"] for item in json.loads(await response.text())["items"]}

    with process(tmp_path) as server:
        assert set(acknowledged) <= asyncio.run(listed(server))


_FULL_DISK = """
import asyncio, sys
from pathlib import Path
from mizzen.cluster.apiserver.store import DiskFull, Key, Store

def value(name, size):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"x": "x" * size}}

async def put(store, name, size=50_000):
    async with store.exclusive(Key("configmaps", "default", name)) as turn:
        await turn.put(value(name, size))

async def delete(store, name):
    async with store.exclusive(Key("configmaps", "default", name)) as turn:
        await turn.delete(turn.current.decode())

async def main():
    path, ballast = Path(sys.argv[1]) / "store.db", Path(sys.argv[1]) / "ballast"
    ballast.write_bytes(b"x" * 6 * 1024 * 1024)
    stored = []
    async with Store.open(path) as store:
        try:
            for number in range(10_000):
                await put(store, f"n{number}")
                stored.append(f"n{number}")
        except DiskFull as error:
            assert str(path) in str(error) and "delete" in str(error), error
        assert len(stored) > 20, len(stored)
        for number in range(5):
            try:
                await put(store, f"late{number}")
                raise AssertionError("there was space after all")
            except DiskFull:
                pass
        held = {entry.key.name for entry in store.shelf("configmaps").newest()}
        assert held == set(stored), held ^ set(stored)
        # One write of a group that has no space takes nobody else with it: deletes go through.
        doomed = stored[:10]
        results = await asyncio.gather(
            *(delete(store, name) for name in doomed), put(store, "never"), return_exceptions=True
        )
        assert [type(result) for result in results] == [type(None)] * 10 + [DiskFull], results
        kept = stored[10:]
    async with Store.open(path) as store:
        assert {entry.key.name for entry in store.shelf("configmaps").newest()} == set(kept)
        for name in kept[:20]:
            await delete(store, name)
        kept = kept[20:]
        # Somebody makes room.
        ballast.unlink()
        await put(store, "again")
        kept.append("again")
    async with Store.open(path) as store:
        assert {entry.key.name for entry in store.shelf("configmaps").newest()} == set(kept)
    print("held")

asyncio.run(main())
"""


def test_a_full_disk_refuses_writes_and_lets_deletes_through() -> None:
    assert run_on_small_disk(_FULL_DISK, megabytes=32).strip() == "held"
