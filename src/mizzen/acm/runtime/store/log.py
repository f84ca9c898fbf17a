"""The log of messages: what came, what went, and what came of it. Bounded, and masked before it gets here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from sqlalchemy import delete, func, insert, select, update

from mizzen.acm.runtime.moments import iso
from mizzen.acm.runtime.service import Logged
from mizzen.acm.runtime.store.engine import Work
from mizzen.acm.runtime.store.tables import log

# A body that is longer is told by its length.
_LONGEST = 64 * 1024


def add(
    work: Work,
    owner: str,
    *,
    at: int,
    direction: str,
    topic: str,
    type: str,
    outcome: str,
    body: dict[str, Any],
    composition: object = None,
    instance: object = None,
    participant: object = None,
) -> int:
    """Returns its number."""
    text = orjson.dumps(body)
    if len(text) > _LONGEST:
        text = orjson.dumps({"messageType": type, "omitted": f"{len(text)} bytes"})
    values = {
        "at": at,
        "owner": owner,
        "direction": direction,
        "topic": topic,
        "type": type,
        "composition_id": _text(composition),
        "instance_id": _text(instance),
        "participant_id": _text(participant),
        "outcome": outcome,
        "body": text.decode(),
    }
    key = work.connection.execute(insert(log).values(values)).inserted_primary_key
    assert key is not None
    work.changed("message", key[0])
    return int(key[0])


def set_outcome(work: Work, numbers: Iterable[int], outcome: str) -> None:
    numbers = list(numbers)
    work.connection.execute(update(log).where(log.c.number.in_(numbers)).values(outcome=outcome))
    for number in numbers:
        work.changed("message", number)


def some(
    work: Work,
    *,
    type: str | None,
    composition: str | None,
    instance: str | None,
    participant: str | None,
    direction: str | None,
    before: int | None,
    limit: int,
) -> list[Logged]:
    """The newest first."""
    query = select(log).order_by(log.c.number.desc()).limit(limit)
    for column, value in (
        (log.c.type, type),
        (log.c.composition_id, composition),
        (log.c.instance_id, instance),
        (log.c.participant_id, participant),
        (log.c.direction, direction),
    ):
        if value is not None:
            query = query.where(column == value)
    if before is not None:
        query = query.where(log.c.number < before)
    return [
        Logged(
            number=row.number,
            at=iso(row.at),
            direction=row.direction,
            topic=row.topic,
            type=row.type,
            composition_id=row.composition_id,
            instance_id=row.instance_id,
            participant_id=row.participant_id,
            outcome=row.outcome,
            body=orjson.loads(row.body),
        )
        for row in work.connection.execute(query)
    ]


def newest(work: Work) -> int:
    return work.connection.execute(select(func.max(log.c.number))).scalar_one() or 0


def foreign(work: Work, after: int, owner: str) -> list[Any]:
    """What other runtimes have logged since."""
    columns = (log.c.number, log.c.composition_id, log.c.instance_id, log.c.participant_id)
    query = select(*columns).where(log.c.number > after, log.c.owner != owner).order_by(log.c.number).limit(1000)
    return list(work.connection.execute(query).all())


def trim(work: Work, keep: int) -> None:
    """Keep only the newest."""
    work.connection.execute(delete(log).where(log.c.number <= newest(work) - keep))


def _text(value: object) -> str | None:
    return None if value is None else str(value)
