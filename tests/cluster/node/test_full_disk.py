"""A node whose disk is full: it says so, harms nothing that runs, and goes on when there is room."""

from __future__ import annotations

from small_disk import run_on_small_disk

SCRIPT = """
import asyncio, tempfile
from pathlib import Path
import uvloop
from node_world import shell, status_of, waiting, world

async def main():
    disk = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        async with world(Path(folder), "none") as node:
            await story(node, disk)

async def story(node, disk):
    await node.start(pods=disk / "pods")
    await node.run("before", shell("trap 'exit 0' TERM; while :; do sleep 0.05; done"))
    await node.ready("before")
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    await node.run("job", shell("echo hello"), restartPolicy="Never")
    pod = await node.until("job", waiting)
    print(status_of(pod)["state"]["waiting"])
    await node.ready("before")
    await node.delete("before")
    await node.until_gone("before")
    filler.unlink()
    pod = await node.finished("job")
    print(pod["status"]["phase"], await node.log("job"))

uvloop.run(main())
"""


def test_a_full_disk() -> None:
    said = run_on_small_disk(SCRIPT, megabytes=4)
    assert "No space left on device" in said
    assert "Succeeded hello" in said
