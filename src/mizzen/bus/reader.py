"""The thread that reads: it polls a consumer for as long as the listener runs, whatever becomes of the broker.

What all reading has in common is here: handing records over, pausing full partitions, noticing through the watch that
the broker went and came back or that a topic was made anew, and ending soon when told to. Which partitions are read
from which offsets is for the two kinds of readers to say: a member of a group (:mod:`mizzen.bus.group`) and one who
takes all partitions (:mod:`mizzen.bus.tail`).
"""

from __future__ import annotations

import abc
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from mizzen.bus.errors import BusError, is_missing, is_unanswered, trouble
from mizzen.bus.lanes import Lane, Lanes, Place
from mizzen.bus.record import Record
from mizzen.bus.settings import Configuration
from mizzen.bus.watch import Topic, View, Watch

log = logging.getLogger(__name__)

Call = Callable[..., None]  # runs a function on the loop, soon

_BATCH = 500
_IDLE = 0.1
_HURRIED = 0.02
_AGAIN = 0.3
_AFTER_DEFECT = 1.0
_LEAVE = 0.5
ANSWER = 1.0  # seconds that a question of the thread may take: it answers to nobody meanwhile


class Reader(abc.ABC):
    """Reads ``topics`` into ``lanes`` until :meth:`stop`.

    Args:
        on_loop: runs a function on the listener's loop.
        on_ready: told on the loop when partitions are read, and when they are no longer.
    """

    def __init__(
        self,
        topics: Sequence[str],
        configuration: Configuration,
        watch: Watch,
        lanes: Lanes,
        on_loop: Call,
        on_ready: Callable[[bool], None],
    ) -> None:
        self.topics = tuple(topics)
        self.watch = watch
        self.lanes: dict[Place, Lane] = {}
        self.settled = False
        self._configuration = configuration
        self._crossing = lanes
        self._on_loop = on_loop
        self._on_ready = on_ready
        self._ready = False
        self._stop = threading.Event()
        self._known: dict[str, Topic] = {}
        self._seen: object = None
        self._again = 0.0
        self._told: set[str] = set()

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    def stop(self) -> None:
        self._stop.set()

    def run(self) -> None:
        """Read until told to stop.

        Raises:
            BusError: the consumer's properties are wrong. Nothing else ends it before its time.
        """
        self.watch.follow(self.topics)
        consumer = self._made()
        while True:
            try:
                self._read(consumer)
            except KafkaException as error:
                self.tell(error.args[0])
            finally:
                self._set_ready(False)
                self.closing(consumer)
                self._close(consumer)
                del consumer
            if self._stop.wait(_AFTER_DEFECT):
                return
            self.lanes, self.settled, self._seen = {}, False, None
            consumer = self._made()

    @abc.abstractmethod
    def begin(self, consumer: Consumer) -> None:
        """Called once for each consumer."""

    @abc.abstractmethod
    def settle(self, consumer: Consumer, view: View) -> bool:
        """Bring about that the right partitions are read from the right offsets; whether that is so now.

        Called while the broker answers, until it returns ``True``, and again after a loss or a change.
        """

    @abc.abstractmethod
    def handled(self, consumer: Consumer) -> None:
        """Called in every round: commit what was handled, if that is wanted."""

    @abc.abstractmethod
    def on_commit(self, error: KafkaError | None, offsets: list[TopicPartition]) -> None:
        """What became of an asynchronous commit."""

    @abc.abstractmethod
    def closing(self, consumer: Consumer) -> None:
        """Called before the consumer is closed."""

    def unsettle(self) -> None:
        self.settled = False
        self._again = 0.0
        self._set_ready(False)

    def drain(self) -> None:
        """Take in what handlers have done."""
        done = self._crossing.done
        while done:
            lane, record = done.popleft()
            lane.did(record)

    def first_offset(self, consumer: Consumer, place: Place, view: View, *, from_end: bool = True) -> int:
        """Where to begin with a partition of which no offset is known.

        What was made after this reader began (an added partition, a topic made anew) holds nothing but what is still
        to be read, and is read from its beginning whatever ``from_end`` says.
        """
        name, partition = place
        known, topic = self._known.get(name), view.topics[name]
        is_new = known is not None and (known.id != topic.id or partition >= known.partitions)
        low, high = consumer.get_watermark_offsets(TopicPartition(name, partition), timeout=ANSWER)
        return int(high if from_end and not is_new else low)

    def start(self, consumer: Consumer, starts: dict[Place, int]) -> None:
        """Read these partitions and no others; those that are read already go on where they are."""
        kept = {place: self.lanes[place] for place in starts if place in self.lanes}
        self.lanes = {place: kept.get(place) or Lane(place, start) for place, start in starts.items()}
        consumer.assign([TopicPartition(*place, lane.fetched) for place, lane in self.lanes.items()])
        for lane in self.lanes.values():
            if lane.paused:
                lane.paused = False
                consumer.resume([TopicPartition(*lane.place)])

    def tell(self, error: KafkaError) -> None:
        """Log what the broker says about this reader, once while it lasts."""
        if is_unanswered(error):
            self.watch.complaint(error)
            return
        if is_missing(error):
            return  # the watch tells it, for all who wait for the topic
        what = trouble(error)
        if what.kind not in self._told:
            self._told.add(what.kind)
            log.warning("reading %s: %s; trying on", ", ".join(self.topics), what.text)

    def _made(self) -> Consumer:
        try:
            consumer = Consumer({**self._configuration, "error_cb": self.watch.complaint, "on_commit": self.on_commit})
        except KafkaException as error:
            raise BusError(f"the consumer's properties are wrong: {error.args[0].str()}") from error
        self.begin(consumer)
        return consumer

    def _close(self, consumer: Consumer) -> None:
        """Take leave of a broker that answers.

        Of one that hangs nobody can: closing would wait for as long as a session lasts. A consumer that is merely
        dropped leaves the group when its session ends.
        """
        with contextlib.suppress(KafkaException):
            consumer.list_topics(self.topics[0], timeout=_LEAVE)
            consumer.close()

    def _read(self, consumer: Consumer) -> None:
        while not self._stop.is_set():
            self.drain()
            self._look(consumer)
            self._regulate(consumer)
            self.handled(consumer)
            busy = not self.settled or any(lane.paused for lane in self.lanes.values())
            first = consumer.poll(_HURRIED if busy else _IDLE)
            if first is not None:
                self._hand_over([first, *consumer.consume(_BATCH, 0)])

    def _look(self, consumer: Consumer) -> None:
        view = self.watch.view
        mine = (view.connected, [view.topics.get(name) for name in self.topics])
        if mine != self._seen:
            self._seen = mine
            renewed = {
                name for name, topic in view.topics.items() if name in self._known and self._known[name].id != topic.id
            }
            # A lane of the old topic may go on to handle what it has, and says nothing about the new one.
            self.lanes = {place: lane for place, lane in self.lanes.items() if place[0] not in renewed}
            self.unsettle()
        if self.settled or not view.connected or time.monotonic() < self._again:
            return
        try:
            self.settled = self.settle(consumer, view)
        except KafkaException as error:
            self.tell(error.args[0])
        self._again = time.monotonic() + _AGAIN
        if self.settled:
            self._told.clear()
            self._known |= {name: topic for name, topic in view.topics.items() if name in self.topics}
            self._set_ready(all(name in view.topics for name in self.topics))

    def _regulate(self, consumer: Consumer) -> None:
        for lane in self.lanes.values():
            if lane.paused and lane.is_half_empty:
                self._turn(consumer.resume, lane, False)
            elif lane.is_full and not lane.paused:
                self._turn(consumer.pause, lane, True)

    def _turn(self, verb: Callable[[list[TopicPartition]], None], lane: Lane, paused: bool) -> None:
        # A partition may have been taken away since; then there is nothing to pause.
        with contextlib.suppress(KafkaException):
            verb([TopicPartition(*lane.place)])
            lane.paused = paused

    def _hand_over(self, messages: Iterable[Message[Any, Any]]) -> None:
        batch: list[tuple[Lane, Record]] = []
        for message in messages:
            error = message.error()
            if error is not None:
                if error.fatal():
                    raise KafkaException(error)
                self.tell(error)
                continue
            record = _record(message)
            lane = self.lanes.get((record.topic, record.partition))
            if lane is not None and record.offset >= lane.fetched:
                lane.took(record)
                batch.append((lane, record))
        if batch:
            self._on_loop(self._crossing.take, batch)

    def _set_ready(self, ready: bool) -> None:
        if ready != self._ready:
            self._ready = ready
            self._on_loop(self._on_ready, ready)


def _record(message: Message[Any, Any]) -> Record:
    kind, milliseconds = message.timestamp()
    key = message.key()
    return Record(
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        key=key if key is None else key.decode("utf-8", "replace"),
        value=message.value() or b"",
        timestamp=milliseconds / 1000 if kind else None,
        headers=_headers(message.headers()),
    )


def _headers(headers: Any) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, value or b"") for name, value in headers or ())
