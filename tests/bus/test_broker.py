"""The embedded broker: it starts, ends, dies and is told of, and never outlives the one who started it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from bus.listening import PATIENCE, Heard, running, until
from mizzen.bus import Broker, Bus, BusError


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


async def test_it_starts_anew_at_the_same_address_with_its_topics() -> None:
    broker = Broker(["operations"])
    addresses = []
    for _ in range(3):
        await broker.start()
        await broker.start()
        addresses.append(broker.address)
        async with Bus(broker.settings) as bus:
            await bus.send("operations", b"x")
        pid = broker.pid
        assert pid is not None and is_alive(pid)
        await broker.stop()
        assert broker.pid is None and not is_alive(pid)
    await broker.stop()
    assert len(set(addresses)) == 1 and addresses[0].startswith("127.0.0.1:")


async def test_it_ends_though_clients_are_connected() -> None:
    async with Broker(["operations"], grace=0.2) as broker:
        async with Bus(broker.settings) as bus:
            async with running(bus.group(["operations"], "readers", Heard())):
                await asyncio.wait_for(broker.stop(), PATIENCE)
                assert broker.pid is None


async def test_its_death_is_told_with_what_it_said_last(caplog: pytest.LogCaptureFixture) -> None:
    async with Broker() as broker:
        died = asyncio.create_task(broker.died())
        await asyncio.sleep(0.1)
        assert not died.done() and broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        sentence = await asyncio.wait_for(died, PATIENCE)
        assert sentence.startswith(f"the embedded Kafka broker at {broker.address} ended by SIGKILL; it said: ")
        assert "listening on: tcp://127.0.0.1:" in sentence
        assert sentence in caplog.text
        await broker.start()
        assert broker.pid is not None


async def test_a_stop_is_no_death() -> None:
    broker = Broker()
    await broker.start()
    died = asyncio.create_task(broker.died())
    await broker.stop()
    await asyncio.sleep(0.05)
    assert not died.done()
    died.cancel()


async def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BusError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            await Broker(port=port).start()


async def test_it_inherits_no_descriptor_and_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHEMA_REGISTRY", "file:///nowhere")
    monkeypatch.setenv("LISTENER_URL", "tcp://0.0.0.0:1")
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    try:
        async with Broker() as broker:
            os.close(writing)
            # Nobody else holds the other end: reading ends at once.
            assert await asyncio.wait_for(asyncio.to_thread(os.read, reading, 1), PATIENCE) == b""
            assert b"SCHEMA_REGISTRY" not in Path(f"/proc/{broker.pid}/environ").read_bytes()
    finally:
        os.close(reading)


async def test_it_does_not_outlive_a_parent_that_is_killed() -> None:
    program = (
        "import asyncio\n"
        "from mizzen.bus import Broker\n"
        "async def main():\n"
        "    async with Broker(['operations']) as broker:\n"
        "        print(broker.pid, flush=True)\n"
        "        await asyncio.sleep(3600)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(await asyncio.wait_for(parent.stdout.readline(), PATIENCE))
    assert is_alive(pid)
    parent.kill()
    await parent.wait()
    await until(lambda: not is_alive(pid))
