"""Reading as a member of a consumer group: each record is handled by one member.

The broker remembers per partition how far the group is. Where it remembers nothing, the group has just been made, and
the end of the partition is committed before anything is read: otherwise the next rebalance would find nothing again,
and skip to a later end. Offsets are committed once records were handled, so after a loss some are handled twice and
none is left out.
"""

from __future__ import annotations

import logging
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from mizzen.bus.lanes import Place
from mizzen.bus.reader import ANSWER, Reader
from mizzen.bus.watch import View

log = logging.getLogger(__name__)

_COMMIT_EVERY = 0.1
_COMMIT_AGAIN = 1.0
_CONFIRMED_WITHIN = 5.0
_HANDED_ON_WITHIN = 2.0
_LEFT_WITHIN = 0.5  # then the handlers that are left are cancelled
_EARLIEST = {"earliest", "smallest", "beginning"}


class GroupReader(Reader):
    """A member of the group that ``group.id`` of the configuration names."""

    _member: list[Place] | None = None  # what the group gave to this member; None while it is none
    _starts: dict[Place, int] | None = None  # where to begin once the broker has confirmed the commit below
    _awaited: frozenset[tuple[str, int, int]] = frozenset()
    _confirmed = False
    _deadline = 0.0
    _next_commit = 0.0

    def begin(self, consumer: Consumer) -> None:
        self._forget()
        consumer.subscribe(
            list(self.topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def settle(self, consumer: Consumer, view: View) -> bool:
        if self._member is None:
            return False
        if self._starts is None:
            self._starts = self._find_starts(consumer, view)
            # Of the partitions that were read before a loss, the offsets are committed too: only a member can.
            if self._starts:
                self._ask(consumer, self._starts)
            else:
                self._confirmed = True
        if self._confirmed:
            starts, self._starts = self._starts, None
            if starts.keys() != self.lanes.keys():
                self.start(consumer, starts)
            for place, lane in self.lanes.items():
                lane.committed = max(lane.committed, starts[place])
            return True
        if time.monotonic() > self._deadline:
            self._starts = None
        return False

    def unsettle(self) -> None:
        self._starts = None
        super().unsettle()

    def handled(self, consumer: Consumer) -> None:
        if self.settled and time.monotonic() >= self._next_commit:
            self._commit(consumer)

    def closing(self, consumer: Consumer) -> None:
        self._let_end(_LEFT_WITHIN)
        if self.settled:
            self._commit(consumer)
        self._member = None

    def on_commit(self, error: KafkaError | None, offsets: list[TopicPartition]) -> None:
        failed = error or next((offset.error for offset in offsets if offset.error is not None), None)
        if self._starts is not None and _as_set(offsets) == self._awaited:
            if failed is None:
                self._confirmed = True
            else:
                log.debug("the group does not take this member's offsets yet: %s", failed)
                self._starts = None
            return
        if failed is None:
            return
        log.debug("offsets could not be committed: %s", failed)
        self._next_commit = time.monotonic() + _COMMIT_AGAIN
        for offset in offsets:
            lane = self.lanes.get((offset.topic, offset.partition))
            if lane is not None:
                lane.committed = min(lane.committed, offset.offset - 1)

    def _find_starts(self, consumer: Consumer, view: View) -> dict[Place, int]:
        """For each partition of this member the offset from which on nothing was handled."""
        assert self._member is not None
        places = [place for place in self._member if place[0] in view.topics]
        fresh = [place for place in places if place not in self.lanes]
        starts = {place: lane.handled for place, lane in self.lanes.items() if place in places}
        if fresh:
            for found in consumer.committed([TopicPartition(*place) for place in fresh], timeout=ANSWER):
                if found.error is not None:
                    raise KafkaException(found.error)
                place = (found.topic, found.partition)
                if found.offset >= 0:
                    starts[place] = found.offset
                else:
                    from_end = self._configuration.get("auto.offset.reset") not in _EARLIEST
                    starts[place] = self.first_offset(consumer, place, view, from_end=from_end)
        return starts

    def _ask(self, consumer: Consumer, offsets: dict[Place, int]) -> None:
        wanted = [TopicPartition(*place, offset) for place, offset in offsets.items()]
        self._awaited, self._confirmed = _as_set(wanted), False
        self._deadline = time.monotonic() + _CONFIRMED_WITHIN
        consumer.commit(offsets=wanted, asynchronous=True)

    def _commit(self, consumer: Consumer) -> None:
        ahead = [lane for lane in self.lanes.values() if lane.handled > lane.committed]
        if not ahead:
            return
        self._next_commit = time.monotonic() + _COMMIT_EVERY
        try:
            consumer.commit(offsets=[TopicPartition(*lane.place, lane.handled) for lane in ahead], asynchronous=True)
        except KafkaException as error:
            self.tell(error.args[0])
            self._next_commit = time.monotonic() + _COMMIT_AGAIN
            return
        for lane in ahead:
            lane.committed = lane.handled

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # Nothing is read until it is known from where; the membership holds meanwhile.
        consumer.assign([])
        self._forget()
        self._member = [(partition.topic, partition.partition) for partition in partitions]

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Let what is being handled come to its end, so that the next member need not begin with it again."""
        was_settled = self.settled
        self._let_end(0.0 if self.stopping else _HANDED_ON_WITHIN)
        if was_settled:
            self._commit(consumer)
        self._forget()

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._forget()

    def _let_end(self, seconds: float) -> None:
        """Begin with nothing more, and take in what is being handled as far as it ends in time."""
        for lane in self.lanes.values():
            lane.closed = True
        until = time.monotonic() + seconds
        was_stopping = self.stopping
        while any(lane.busy for lane in self.lanes.values()) and time.monotonic() < until:
            if self.stopping and not was_stopping:
                break  # whoever ends it gives its own, shorter time
            time.sleep(0.01)
        self.drain()

    def _forget(self) -> None:
        for lane in self.lanes.values():
            lane.closed = True
        self.lanes = {}
        self._member = None
        self.unsettle()


def _as_set(offsets: list[TopicPartition]) -> frozenset[tuple[str, int, int]]:
    return frozenset((offset.topic, offset.partition, offset.offset) for offset in offsets)
