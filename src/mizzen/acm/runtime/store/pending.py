"""Orders that are being worked at: the ids of their messages, and the last message itself.

By the ids an answer to an earlier order is told from one to the present one. The message is there to be sent again: a
broker may forget what it has acknowledged.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson
from msgspec import Struct
from sqlalchemy import delete, insert, select, update

from mizzen.acm.runtime.moments import now
from mizzen.acm.runtime.store.engine import Work
from mizzen.acm.runtime.store.tables import orders


class Pending(Struct, frozen=True):
    """``kind``: ``composition`` or ``instance``; ``at``: when its last message was; ``body``: as JSON has it."""

    subject: UUID
    kind: str
    at: int
    messages: frozenset[UUID]
    body: dict[str, Any]


def begin(work: Work, kind: str, subject: UUID, message: UUID, body: bytes) -> None:
    """A new order: whatever was asked before does not count any more."""
    end(work, subject)
    work.connection.execute(
        insert(orders).values(
            subject=str(subject),
            kind=kind,
            at=now(),
            messages=orjson.dumps([str(message)]).decode(),
            body=body.decode(),
        )
    )


def go_on(work: Work, subject: UUID, message: UUID, body: bytes) -> None:
    """The next message of the same order."""
    query = select(orders.c.messages).where(orders.c.subject == str(subject))
    known = orjson.loads(work.connection.execute(query).scalar_one())
    values = {"at": now(), "messages": orjson.dumps([*known, str(message)]).decode(), "body": body.decode()}
    work.connection.execute(update(orders).where(orders.c.subject == str(subject)).values(values))


def end(work: Work, subject: UUID) -> None:
    work.connection.execute(delete(orders).where(orders.c.subject == str(subject)))


def asked(work: Work, subject: UUID) -> frozenset[UUID]:
    query = select(orders.c.messages).where(orders.c.subject == str(subject))
    found = work.connection.execute(query).scalar_one_or_none()
    return frozenset(UUID(key) for key in orjson.loads(found)) if found else frozenset()


def any_at_all(work: Work) -> bool:
    return work.connection.execute(select(orders.c.subject).limit(1)).first() is not None


def some(work: Work) -> list[Pending]:
    return [
        Pending(
            UUID(row.subject),
            row.kind,
            row.at,
            frozenset(UUID(key) for key in orjson.loads(row.messages)),
            orjson.loads(row.body),
        )
        for row in work.connection.execute(select(orders).order_by(orders.c.subject))
    ]
