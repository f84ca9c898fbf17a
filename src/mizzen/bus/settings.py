"""What a client is told about its Kafka, and what librdkafka is told in turn.

Three layers: what is good for everybody, what the embedded broker can do with, and what the user wrote, which wins. A
few properties are not for the user, because the bus stands on them: it commits an offset when the record was handled,
and it decides itself where reading begins.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from mizzen.bus.errors import BusError

_OWN = {
    "enable.auto.commit": "an offset is committed when its record has been handled",
    "enable.auto.offset.store": "an offset is committed when its record has been handled",
    "partition.assignment.strategy": "partitions are given up together and assigned anew",
    "group.id": "the group is named where it is read",
    "group.protocol": "the classic protocol is spoken",
    "bootstrap.servers": "brokers are named apart",
    "metadata.broker.list": "brokers are named apart",
    "partitioner": "a key's partition is the one that Java clients choose",
}

_COMMON: dict[str, str | int | bool] = {
    "client.id": "mizzen",
    # What it would write to standard error, twenty times a second while no broker answers, is told once by the watch.
    "log_level": 2,
    "reconnect.backoff.ms": 100,
    "reconnect.backoff.max.ms": 5000,
    "topic.metadata.refresh.interval.ms": 30_000,
}
_CONSUMER: dict[str, str | int | bool] = {
    # What is prefetched waits in this process's memory.
    "queued.min.messages": 2000,
    "queued.max.messages.kbytes": 16_384,
    "auto.offset.reset": "latest",
}
_PRODUCER: dict[str, str | int | bool] = {
    "acks": "all",
    "linger.ms": 0,
    # A retried batch must not overtake the next: a key promises its order.
    "max.in.flight.requests.per.connection": 1,
    # A topic that a producer brings about has the broker's default number of partitions, not the one meant for it.
    "allow.auto.create.topics": False,
}

# Measured against the embedded broker: a join takes 1 s instead of 23, a hop some 10 ms instead of 250. Apache Kafka
# refuses sessions under 6 s.
_QUICK: dict[str, str | int | bool] = {
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 500,
    "topic.metadata.refresh.interval.ms": 2000,
}
_QUICK_CONSUMER: dict[str, str | int | bool] = {
    # By names, as before topics had ids: librdkafka dies of the answer to an id that the broker has forgotten.
    "api.version.request": False,
    "broker.version.fallback": "0.10.2.0",
    "session.timeout.ms": 1000,
    "heartbeat.interval.ms": 300,
    "fetch.wait.max.ms": 50,
}
_QUICK_PRODUCER: dict[str, str | int | bool] = {"message.max.bytes": 16 * 1024 * 1024}

Configuration = dict[str, str | int | bool]


class BusSettings(msgspec.Struct, frozen=True):
    """Where the broker is and how it is spoken to.

    Attributes:
        servers: ``host:port``, several with commas between.
        properties: for all clients, by librdkafka's names (:func:`mizzen.bus.of_java` translates Java's).
        consumer: for those that read; wins over ``properties``.
        producer: for the one that sends; wins over ``properties``.
        quick: the short sessions of the embedded broker; never for Apache Kafka.
        send_timeout: seconds after which a record that nobody acknowledged counts as not sent.
    """

    servers: str
    properties: dict[str, str] = {}
    consumer: dict[str, str] = {}
    producer: dict[str, str] = {}
    quick: bool = False
    send_timeout: float = 10.0

    def for_consumer(self, group: str) -> Configuration:
        """What librdkafka is told for a consumer of ``group``.

        Raises:
            BusError: a property is set that is the bus's own.
        """
        quick = _QUICK_CONSUMER if self.quick else {}
        return (
            self._common()
            | _CONSUMER
            | quick
            | self._layer("properties")
            | self._layer("consumer")
            | {
                "group.id": group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "partition.assignment.strategy": "range,roundrobin",
            }
        )

    def for_producer(self) -> Configuration:
        """What librdkafka is told for the producer; raises BusError as :meth:`for_consumer` does."""
        quick = _QUICK_PRODUCER if self.quick else {}
        timeout: Configuration = {"message.timeout.ms": max(1, int(self.send_timeout * 1000))}
        return (
            self._common()
            | _PRODUCER
            | timeout
            | quick
            | self._layer("properties")
            | self._layer("producer")
            | {"partitioner": "murmur2_random"}
        )

    def for_admin(self) -> Configuration:
        """What librdkafka is told for questions about topics; raises BusError as :meth:`for_consumer` does."""
        return self._common() | self._layer("properties")

    def _common(self) -> Configuration:
        return {"bootstrap.servers": self.servers} | _COMMON | (_QUICK if self.quick else {})

    def _layer(self, name: str) -> Configuration:
        given: Mapping[str, str] = getattr(self, name)
        for key in given:
            if key in _OWN:
                raise BusError(f"{name}: {key} cannot be set: {_OWN[key]}")
        return dict(given)
