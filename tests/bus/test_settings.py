"""What librdkafka is told, and what a user is told who sets what cannot be set."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bus.listening import Heard
from mizzen.bus import Bus, BusError, BusSettings


def test_what_the_user_sets_wins_and_the_narrower_wins_over_the_wider() -> None:
    settings = BusSettings(
        "a:1,b:2",
        properties={"client.id": "everyone", "session.timeout.ms": "7000"},
        consumer={"session.timeout.ms": "8000"},
        producer={"linger.ms": "5"},
        quick=True,
    )
    consumer, producer = settings.for_consumer("readers"), settings.for_producer()
    assert (consumer["bootstrap.servers"], consumer["group.id"]) == ("a:1,b:2", "readers")
    assert (consumer["client.id"], consumer["session.timeout.ms"]) == ("everyone", "8000")
    assert (producer["linger.ms"], producer["partitioner"]) == ("5", "murmur2_random")
    assert settings.for_admin()["client.id"] == "everyone"


def test_short_sessions_are_for_the_embedded_broker_alone() -> None:
    assert BusSettings("a:1", quick=True).for_consumer("g")["session.timeout.ms"] == 1000
    assert "session.timeout.ms" not in BusSettings("a:1").for_consumer("g")


@pytest.mark.parametrize("key", ["enable.auto.commit", "group.id", "partitioner", "partition.assignment.strategy"])
def test_what_the_bus_stands_on_cannot_be_set(key: str) -> None:
    with pytest.raises(BusError, match=f"consumer: {key} cannot be set: "):
        BusSettings("a:1", consumer={key: "x"}).for_consumer("g")


@pytest.mark.parametrize(
    ("properties", "named"),
    [
        ({"no.such.property": "1"}, "no.such.property"),
        ({"security.protocol": "nonsense"}, "security.protocol"),
        ({"security.protocol": "SSL", "ssl.ca.location": "/nowhere/ca.pem"}, "ssl.ca.location"),
    ],
)
async def test_a_property_that_is_wrong_is_told_at_once(properties: dict[str, str], named: str) -> None:
    with pytest.raises(BusError, match=named):
        async with Bus(BusSettings("127.0.0.1:1", properties=properties)):
            pass


async def test_a_property_of_the_consumer_that_is_wrong_ends_its_listener() -> None:
    async with Bus(BusSettings("127.0.0.1:1", consumer={"no.such.property": "1"})) as bus:
        with pytest.raises(BusError, match=r"the consumer's properties are wrong: .*no\.such\.property"):
            await bus.group(["operations"], "readers", Heard()).run()


def test_without_the_client_library_the_command_is_told_that_installs_it() -> None:
    program = (
        "import sys\n"
        "sys.modules['confluent_kafka'] = None\n"
        "from mizzen.bus import Bus, BusError, BusSettings, of_java\n"
        "of_java({'max.poll.records': '1'})\n"
        "try:\n"
        "    Bus(BusSettings('127.0.0.1:1'))\n"
        "except BusError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == (
        "Kafka needs the package confluent-kafka, which is not installed: pip install 'mizzen[acm]'\n"
    ), done.stderr
