"""The same over PostgreSQL, started here as an ordinary user, killed and started again."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from uuid import UUID

import pytest

from mizzen.acm.messages.orders import Deploy
from mizzen.acm.runtime.service import Page, Refused
from mizzen.acm.runtime.store import engine, schema
from mizzen.acm.runtime.store.engine import Store
from mizzen.bus import Broker
from runtime_world import World, definition, obedient, until

_FOUND = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
pytestmark = pytest.mark.skipif(not _FOUND, reason="no PostgreSQL of Debian's packages")

ONE = definition({"name": "one"})
PHASED = definition({"name": "late", "properties": {"startPhase": 1}}, {"name": "early"})


class PostgreSql:
    """A server in a folder of its own. It refuses to run as root, so root becomes somebody else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = _FOUND[-1].parent
        self.user: dict[str, Any] = {}
        if os.geteuid() == 0:
            other = pwd.getpwnam("nobody")
            os.chown(folder, other.pw_uid, other.pw_gid)
            self.user = {"user": other.pw_uid, "group": other.pw_gid, "extra_groups": []}
        self.port = _free_port()
        self.process: subprocess.Popen[bytes] | None = None
        command = [
            self.bin / "initdb",
            "-D",
            folder / "data",
            "-U",
            "policy",
            "--auth=trust",
            "-E",
            "UTF8",
            "--no-sync",
        ]
        subprocess.run(command, check=True, capture_output=True, cwd=folder, **self.user)

    @property
    def url(self) -> str:
        return f"postgresql://policy@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        self.process = subprocess.Popen(
            [self.bin / "postgres", "-D", "data", "-p", str(self.port), "-k", self.folder, "-h", "127.0.0.1"],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self.user,
        )
        deadline = monotonic() + 30
        ready = [self.bin / "pg_isready", "-h", "127.0.0.1", "-p", str(self.port), "-q"]
        while subprocess.run(ready, check=False).returncode != 0:
            assert monotonic() < deadline and self.process.poll() is None, "PostgreSQL does not start"
            sleep(0.05)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSql]:
    folder = Path(tempfile.mkdtemp(prefix="mizzen-pg-"))
    server = PostgreSql(folder)
    server.start()
    yield server
    server.kill()
    shutil.rmtree(folder)


@pytest.fixture
async def world(broker: Broker, server: PostgreSql) -> AsyncIterator[World]:
    subprocess.run(
        [server.bin / "psql", server.url, "-q", "-c", "DROP SCHEMA public CASCADE; CREATE SCHEMA public"],
        check=True,
        capture_output=True,
    )
    async with World(broker.settings, server.url) as world:
        yield world


async def test_a_life_with_phases(world: World) -> None:
    await world.start()
    await world.present()
    composition = await world.primed(PHASED)
    instance = await world.made(composition, "early", "late")
    await world.deploy(composition, instance)
    await world.instance_is(composition, instance, "DEPLOYED")
    await world.undeploy(composition, instance)
    await world.instance_is(composition, instance, "UNDEPLOYED")
    await world.instances.delete(composition, instance)

    async def listed() -> Any:
        return await world.instances.list(page=Page())

    assert await until(listed, lambda found: found == []) == []


async def test_two_runtimes_and_a_race(world: World) -> None:
    first = await world.start()
    async with world.another() as second:
        await world.present()
        composition = await world.primed(PHASED)
        for number in range(4):
            instance = await world.made(composition, "early", "late", name=f"raced-{number}")

            async def press(runtime: Any, instance: UUID = instance) -> None:
                from mizzen.acm.messages.states import DeployOrder

                await runtime.service.instances.order(composition, instance, DeployOrder.DEPLOY, None, None)

            pressed = await asyncio.gather(*(press(runtime) for runtime in (first, second) * 3), return_exceptions=True)
            assert [one for one in pressed if one is None] == [None]
            assert all(isinstance(one, Refused) and one.status == 400 for one in pressed if one is not None)
            await world.instance_is(composition, instance, "DEPLOYED")


async def test_made_twice_at_the_same_time(world: World) -> None:
    first = await world.start()
    async with world.another() as second:
        await world.present()
        composition = await world.primed(ONE)

        async def make(runtime: Any) -> Any:
            world.runtime = runtime
            return await world.post(composition, "one", name="same")

        made = await asyncio.gather(*(make(runtime) for runtime in (first, second) * 3), return_exceptions=True)
        refused = {(one.status, one.details) for one in made if isinstance(one, Refused)}
        assert refused == {(400, "same 1.0.0 already defined")}
        assert len(await first.service.instances.list(page=Page())) == 1


async def test_the_database_goes_and_comes(world: World, server: PostgreSql, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_PATIENCE", 0.5)
    await world.start()
    participant = await world.present()
    composition = await world.primed(ONE)
    instance = await world.made(composition, "one")
    participant.answer = lambda *_: None
    await world.deploy(composition, instance)
    order = await participant.hears(Deploy)
    (key,) = (await world.instances.get(composition, instance))["elements"]
    server.kill()
    with pytest.raises(Refused) as error:
        await world.made(composition, "one")
    assert error.value.status == 503
    assert error.value.details.startswith("The database cannot be used now, nothing has been changed: ")
    assert (await world.service.health())["database"]
    told = obedient(order, UUID(key), "one")
    assert told is not None
    await participant.acknowledge(order, UUID(key), told)
    await asyncio.sleep(1)
    server.start()
    await world.instance_is(composition, instance, "DEPLOYED")


async def test_the_schema_is_made_once_by_many(world: World, server: PostgreSql) -> None:
    stores = [Store(server.url) for _ in range(4)]
    await asyncio.gather(*(asyncio.to_thread(schema.upgrade, store) for store in stores))
    for store in stores:
        store.close()
