"""Messages that are decided and not yet sent.

A message is written here in the transaction that changes the state it tells of, so neither exists without the other. A
row goes when a broker has acknowledged the record. What has the same key is sent in the order in which it was decided,
whichever runtime decided it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update

from mizzen.acm.runtime.store.engine import Work
from mizzen.acm.runtime.store.tables import outbox


def add(work: Work, owner: str, topic: str, key: str | None, body: bytes, *, due: int, logged: int) -> None:
    values = {"owner": owner, "topic": topic, "key": key, "body": body.decode(), "due": due, "logged": logged}
    work.connection.execute(insert(outbox).values(values))
    work.sends = True


def waiting(work: Work, most: int) -> list[Row[Any]]:
    """The oldest of them, whosever they are."""
    return list(work.connection.execute(select(outbox).order_by(outbox.c.number).limit(most)).all())


def remove(work: Work, numbers: Iterable[int]) -> None:
    work.connection.execute(delete(outbox).where(outbox.c.number.in_(list(numbers))))


def owners(work: Work) -> set[str]:
    return set(work.connection.execute(select(outbox.c.owner).distinct()).scalars())


def adopt(work: Work, owner: str, orphans: Iterable[str]) -> None:
    """Take over what runtimes that are gone had still to send."""
    work.connection.execute(update(outbox).where(outbox.c.owner.in_(list(orphans))).values(owner=owner))
    work.sends = True


def count(work: Work) -> int:
    return work.connection.execute(select(func.count()).select_from(outbox)).scalar_one()
