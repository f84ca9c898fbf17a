"""Where messages leave a unit of work: into the outbox, into the log, and as the order to be remembered.

All of it in the transaction that changes the state, so what is said is what is so. What is sensitive goes into the
outbox as it is stored, encrypted where a key is configured; the sender opens it at the last moment.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

import orjson

from mizzen.acm.messages.codec import plain
from mizzen.acm.messages.dialects import Dialect, spoken
from mizzen.acm.messages.envelope import Envelope, Message
from mizzen.acm.messages.topics import Topics
from mizzen.acm.runtime.encryption import masked
from mizzen.acm.runtime.moments import now
from mizzen.acm.runtime.store import log, outbox, pending
from mizzen.acm.runtime.store.engine import Work

SENT, WAITING, APPLIED = "sent", "waiting", "applied"


class Post:
    """Args: ``owner``: the runtime that sends what is written here."""

    def __init__(self, owner: str, topics: Topics, dialect: Dialect) -> None:
        self.owner = owner
        self.topics = topics
        self._dialect = dialect

    def send(self, work: Work, message: Envelope, *, secrets: Collection[str] = (), due: int = 0) -> bytes:
        """Write a message down to be sent; returns its body.

        Args:
            secrets: values that the log masks, where they are not encrypted.
            due: not before this instant.
        """
        told = plain(spoken(message, self._dialect))
        body = orjson.dumps(told)
        self._put(work, self.topics.of(message), message.key, told, body, secrets, due)
        return body

    def order(
        self,
        work: Work,
        kind: str,
        subject: UUID,
        message: Message,
        *,
        first: bool,
        secrets: Collection[str] = (),
        due: int = 0,
    ) -> None:
        """Send an order, and remember it until it is worked off.

        Args:
            kind: of the subject: ``composition`` or ``instance``.
            first: it is a new order, and not the next message of the present one.
        """
        body = self.send(work, message, secrets=secrets, due=due)
        if first:
            pending.begin(work, kind, subject, message.message_id, body)
        else:
            pending.go_on(work, subject, message.message_id, body)

    def again(self, work: Work, body: dict[str, Any], secrets: Collection[str] = ()) -> None:
        """Send an order once more, as it was: whoever has it already knows it by its id."""
        self._put(work, self.topics.operation, body.get("partitionKey"), body, orjson.dumps(body), secrets, 0)

    def note(self, work: Work, topic: str, told: dict[str, Any], outcome: str) -> int:
        """Log what came in."""
        return self._log(work, "in", topic, told, masked(told), outcome)

    def _put(
        self,
        work: Work,
        topic: str,
        key: str | None,
        told: dict[str, Any],
        body: bytes,
        secrets: Collection[str],
        due: int,
    ) -> None:
        logged = self._log(work, "out", topic, told, masked(told, secrets), WAITING)
        outbox.add(work, self.owner, topic, key, body, due=due, logged=logged)

    def _log(
        self, work: Work, direction: str, topic: str, told: dict[str, Any], shown: dict[str, Any], outcome: str
    ) -> int:
        return log.add(
            work,
            self.owner,
            at=now(),
            direction=direction,
            topic=topic,
            type=str(told.get("messageType", "unknown")),
            outcome=outcome,
            body=shown,
            composition=_identity(told.get("compositionId")),
            instance=_identity(told.get("automationCompositionId")),
            participant=_identity(told.get("participantId") or _only(told.get("participantIdList"))),
        )


def _only(told: Any) -> Any:
    return told[0] if isinstance(told, list) and len(told) == 1 else None


def _identity(told: Any) -> str | None:
    try:
        return str(UUID(told)) if isinstance(told, str) else None
    except ValueError:
        return None
