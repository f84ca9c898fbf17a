"""A runtime in a process of its own, which a test may kill: it makes instances and deploys them one by one."""

from __future__ import annotations

import asyncio
import json
import sys

from mizzen.acm.runtime.service import Page, Refused
from mizzen.bus import BusSettings
from runtime_world import P, World, definition


async def main(broker: str, database: str, count: int) -> None:
    async with World(BusSettings(servers=broker, quick=True), database) as world:
        await world.start()
        print("started", flush=True)
        while not await _there(world):
            await asyncio.sleep(0.05)
        composition = await world.primed(definition({"name": "one"}))
        print(json.dumps({"composition": str(composition)}), flush=True)
        for number in range(count):
            instance = await world.made(composition, "one", name=f"instance-{number}")
            await world.deploy(composition, instance)
            print(json.dumps({"instance": str(instance)}), flush=True)
        await asyncio.Event().wait()


async def _there(world: World) -> bool:
    try:
        found = await world.service.participants.get(P, Page())
    except Refused:
        return False
    return bool(found["participant"]["replicas"])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
