"""What is known of the broker: whether it answers, and which topics it has.

One question goes out every few seconds, and at once when any client of this process complains: describe the topics
that somebody follows. The answer is the only news of the connection that counts, so a loss is told once, however many
clients feel it, and so is the return. A topic's id tells whether it is still the same: the embedded broker keeps
nothing over a restart, and a position in the old topic means nothing in the new one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from threading import Lock
from typing import Any

import msgspec
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from mizzen.bus.errors import Trouble, is_unanswered, is_vague, trouble

log = logging.getLogger(__name__)

_NO_ID = "AAAAAAAAAAAAAAAAAAAAAA"
_SILENT = Trouble("_TIMED_OUT", "it does not answer")
_ANY = ""  # stands for the cluster while no topic is followed


class Topic(msgspec.Struct, frozen=True):
    """``id`` is empty where the broker is too old to give topics one."""

    id: str
    partitions: int


class View(msgspec.Struct, frozen=True):
    """What the last answer said, or that none came."""

    connected: bool = False
    reason: str = "no answer yet"
    topics: Mapping[str, Topic] = {}
    troubles: Mapping[str, Trouble] = {}


class Watch:
    """Keeps :attr:`view` true. :meth:`step` belongs to one thread; the rest may be called from any.

    Args:
        interval: seconds between two questions while all is well.
        patience: seconds that an answer may take.
    """

    def __init__(self, admin: AdminClient, servers: str, *, interval: float, patience: float) -> None:
        self.view = View()
        self._admin = admin
        self._servers = servers
        self._interval = interval
        self._patience = patience
        self._followed: set[str] = set()
        self._lock = Lock()
        self._asked: dict[str, Future[Any]] = {}
        self._next = 0.0
        self._hint: Trouble | None = None
        self._told: set[str] = set()
        self._topics_told: set[tuple[str, str]] = set()

    def follow(self, topics: Iterable[str]) -> None:
        """Ask for these topics too, from now on."""
        with self._lock:
            added = set(topics) - self._followed
            self._followed |= added
        if added:
            self.hurry()

    def hurry(self) -> None:
        """Ask as soon as possible: something may have changed."""
        self._next = 0.0

    def complaint(self, error: KafkaError) -> None:
        """What a client's ``error_cb`` got: a reason to ask, and perhaps the reason of what is wrong."""
        if is_unanswered(error):
            if not is_vague(error):
                self._hint = trouble(error)
            self.hurry()

    def step(self) -> None:
        """Take in an answer that has come, or ask if it is time; returns at once."""
        if self._asked:
            if all(future.done() for future in self._asked.values()):
                asked, self._asked = self._asked, {}
                self._conclude(asked)
        elif time.monotonic() >= self._next:
            self._next = time.monotonic() + self._interval
            self._ask()

    @property
    def reason(self) -> str:
        """Why the broker cannot be reached, as far as is known; empty while it can."""
        view, hint = self.view, self._hint
        return "" if view.connected else hint.text if hint else view.reason

    def _ask(self) -> None:
        with self._lock:
            topics = sorted(self._followed)
        try:
            self._asked = describe(self._admin, topics, self._patience)
        except KafkaException as error:
            self._lost(trouble(error.args[0]))

    def _conclude(self, asked: dict[str, Future[Any]]) -> None:
        topics: dict[str, Topic] = {}
        troubles: dict[str, Trouble] = {}
        for name, future in asked.items():
            found = answer(future)
            if isinstance(found, Topic):
                topics[name] = found
            elif found is not None and is_unanswered(found):
                self._lost(trouble(found) if not is_vague(found) else None)
                return
            elif found is not None:
                troubles[name] = trouble(found)
        self._back(topics, troubles)

    def _lost(self, said: Trouble | None) -> None:
        what = said or self._hint or _SILENT
        self.view = View(connected=False, reason=what.text, topics=self.view.topics)
        if what.kind not in self._told and not (what is _SILENT and self._told):
            self._told.add(what.kind)
            log.warning("the Kafka broker at %s cannot be reached: %s; trying on", self._servers, what.text)
        # The question itself waits for a broker; an error that comes at once must not be asked for without a pause.
        self._next = time.monotonic() + 0.1

    def _back(self, topics: Mapping[str, Topic], troubles: Mapping[str, Trouble]) -> None:
        if not self.view.connected:
            log.info("connected to the Kafka broker at %s", self._servers)
        self._told.clear()
        self._hint = None
        self.view = View(connected=True, reason="", topics=topics, troubles=troubles)
        for name, what in troubles.items():
            if (name, what.kind) not in self._topics_told:
                log.warning("topic %s of the Kafka broker at %s: %s; waiting", name, self._servers, what.text)
        self._topics_told = {(name, what.kind) for name, what in troubles.items()}


def describe(admin: AdminClient, topics: Iterable[str], timeout: float) -> dict[str, Future[Any]]:
    """Ask for the topics, or for the cluster if there are none; see :func:`answer`."""
    names = list(topics)
    if not names:
        return {_ANY: admin.describe_cluster(request_timeout=timeout)}
    asked: dict[str, Future[Any]] = admin.describe_topics(TopicCollection(names), request_timeout=timeout)
    return asked


def answer(future: Future[Any]) -> Topic | KafkaError | None:
    """What a finished question of :func:`describe` brought; ``None`` if it was for the cluster."""
    try:
        found = future.result()
    except KafkaException as error:
        failure: KafkaError = error.args[0]
        return failure
    if not hasattr(found, "topic_id"):
        return None
    identity = str(found.topic_id)
    return Topic("" if identity == _NO_ID else identity, len(found.partitions))
