"""The broker is away: at start, for a while, or because it was killed and has forgotten everything."""

from __future__ import annotations

import asyncio
import logging
import os
import signal

import pytest

from bus.listening import Heard, ready, running, until
from mizzen.bus import Broker, Bus, BusError, BusSettings

TOPICS = ("operations", "sync")


def patient(broker: Broker, send_timeout: float = 30.0) -> BusSettings:
    return BusSettings(broker.address, quick=True, send_timeout=send_timeout)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]


async def stopped_broker() -> Broker:
    """One whose port is known, and where nobody listens."""
    async with Broker(TOPICS) as broker:
        return broker


async def test_a_broker_that_comes_late_is_found(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mizzen.bus")
    broker = await stopped_broker()
    operations, sync = Heard(), Heard()
    async with Bus(patient(broker)) as bus:
        listeners = [bus.group(["operations"], "readers", operations), bus.tail(["sync"], sync, group="readers-1")]
        async with running(*listeners, wait=False):
            await until(lambda: told(caplog))
            await asyncio.sleep(2.5)
            assert not bus.connected and not any(listener.ready.is_set() for listener in listeners)
            assert await bus.check(0.5) == (
                f"the Kafka broker at {broker.address} cannot be reached: connection refused"
            )
            async with broker:
                await ready(*listeners)
                assert bus.connected and await bus.check() is None
                await bus.send("operations", b"1", key="k")
                await bus.send("sync", b"2", key="k")
                await operations.count(1)
                await sync.count(1)
    lost = f"the Kafka broker at {broker.address} cannot be reached: connection refused; trying on"
    # Perhaps the topics were not there yet when it answered first.
    assert [line for line in told(caplog) if "topic" not in line][:2] == [
        lost,
        f"connected to the Kafka broker at {broker.address}",
    ]


async def test_a_send_fails_in_time_and_names_the_broker() -> None:
    broker = await stopped_broker()
    async with Bus(patient(broker, send_timeout=1.0)) as bus:
        with pytest.raises(BusError) as failed:
            await bus.send("operations", b"x")
        assert str(failed.value) == (
            f"nothing could be sent to topic operations of the Kafka broker at {broker.address}: "
            "connection refused (tried for 1 s)"
        )
        with pytest.raises(BusError, match=f"topic added cannot be created .* {broker.address}: connection refused"):
            await bus.ensure_topics(["added"])


async def test_a_host_without_address_is_told() -> None:
    async with Bus(BusSettings("kafka.invalid:9092", quick=True, send_timeout=2.0)) as bus:
        with pytest.raises(BusError, match=r"kafka\.invalid:9092: the host has no address"):
            await bus.send("operations", b"x")


@pytest.mark.parametrize("pause", [0.0, 4.0], ids=["restarted at once", "away for a while"])
async def test_a_broker_that_is_killed_and_comes_back_empty(pause: float, caplog: pytest.LogCaptureFixture) -> None:
    """What is sent after its return is heard, though all positions and the group are from before."""
    caplog.set_level(logging.INFO, "mizzen.bus.watch")
    async with Broker(TOPICS) as broker, Bus(patient(broker)) as bus:
        operations, sync = Heard(), Heard()
        listeners = [bus.group(["operations"], "readers", operations), bus.tail(["sync"], sync, group="readers-1")]
        async with running(*listeners):
            for number in range(20):
                await bus.send("operations", b"old %d" % number, key="k")
                await bus.send("sync", b"old %d" % number, key="k")
            await operations.count(20)
            await sync.count(20)
            for value in (b"first of the new", b"first of the newest"):
                assert broker.pid is not None
                os.kill(broker.pid, signal.SIGKILL)
                await asyncio.wait_for(broker.died(), 30)
                await asyncio.sleep(pause)
                if pause:
                    assert not bus.connected and not any(listener.ready.is_set() for listener in listeners)
                await broker.start()
                # Before the listeners have found their way: an offset of the new broker is below the one they wait at.
                await bus.send("operations", value, key="k")
                await bus.send("sync", value, key="k")
                await operations.until(lambda values, value=value: value in values)
                await sync.until(lambda values, value=value: value in values)
            await ready(*listeners)
        assert len(sync.values) == 22
    lines = told(caplog)
    assert len(lines) <= 7, lines
    if pause:
        assert len([line for line in lines if "cannot be reached" in line]) == 2


async def test_a_broker_that_hangs_is_noticed_and_closing_does_not_hang() -> None:
    async with Broker(TOPICS) as broker, Bus(patient(broker, send_timeout=1.0)) as bus:
        heard = Heard()
        group, tail = bus.group(["operations"], "readers", heard), bus.tail(["sync"], heard, group="readers-1")
        async with running(group, tail):
            assert broker.pid is not None
            os.kill(broker.pid, signal.SIGSTOP)
            await until(lambda: not bus.connected and not group.ready.is_set() and not tail.ready.is_set())
            assert "does not answer" in str(await bus.check(0.5))
            with pytest.raises(BusError, match="does not answer"):
                await bus.send("operations", b"x")
        os.kill(broker.pid, signal.SIGCONT)


async def test_a_broker_that_hung_for_a_while_has_lost_nothing() -> None:
    async with Broker(TOPICS) as broker, Bus(patient(broker)) as bus:
        operations, sync = Heard(), Heard()
        group, tail = bus.group(["operations"], "readers", operations), bus.tail(["sync"], sync, group="readers-1")
        async with running(group, tail):
            for topic, heard in (("operations", operations), ("sync", sync)):
                await bus.send(topic, b"before", key="k")
                await heard.count(1)
            assert broker.pid is not None
            os.kill(broker.pid, signal.SIGSTOP)
            sending = [asyncio.create_task(bus.send(topic, b"meanwhile", key="k")) for topic in TOPICS]
            await until(lambda: not bus.connected)
            await asyncio.sleep(2)
            os.kill(broker.pid, signal.SIGCONT)
            await asyncio.gather(*sending)
            await operations.until(lambda values: b"meanwhile" in values)
            await sync.until(lambda values: b"meanwhile" in values)
            await ready(group, tail)
        assert sync.values[:2] == [b"before", b"meanwhile"]
