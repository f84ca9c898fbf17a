"""Reading all partitions of topics from their ends: each reader gets every record, and nobody keeps an offset.

There is no group to join and none to leave. Partitions are taken by hand, those that are added later too, and of a
topic that was made anew all is read.
"""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaError, TopicPartition

from mizzen.bus.reader import Reader
from mizzen.bus.watch import View


class TailReader(Reader):
    """Reads everything that is sent from now on."""

    def begin(self, consumer: Consumer) -> None:
        """Nothing: partitions are taken as the watch tells of them."""

    def settle(self, consumer: Consumer, view: View) -> bool:
        places = [
            (name, partition)
            for name in self.topics
            if name in view.topics
            for partition in range(view.topics[name].partitions)
        ]
        if set(places) != self.lanes.keys():
            self.start(
                consumer,
                {
                    place: self.lanes[place].fetched
                    if place in self.lanes
                    else self.first_offset(consumer, place, view)
                    for place in places
                },
            )
        return True

    def handled(self, consumer: Consumer) -> None:
        """Nothing: no offset is committed."""

    def on_commit(self, error: KafkaError | None, offsets: list[TopicPartition]) -> None:
        """Never called."""

    def closing(self, consumer: Consumer) -> None:
        """Nothing is owed to the broker."""
