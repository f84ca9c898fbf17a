"""Participants, what they take, and which of their processes are there."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import delete, insert, select, update

from mizzen.acm.runtime.model import Participant, SupportedType
from mizzen.acm.runtime.store.engine import Work
from mizzen.acm.runtime.store.tables import participants, replicas, types


def get(work: Work, key: UUID, *, lock: bool = False) -> Participant | None:
    query = select(participants.c.id).where(participants.c.id == str(key))
    if work.connection.execute(query.with_for_update() if lock else query).one_or_none() is None:
        return None
    return _whole(work, [str(key)])[0]


def some(work: Work, page: tuple[int, int] | None = None) -> list[Participant]:
    query = select(participants.c.id).order_by(participants.c.id)
    if page is not None:
        query = query.offset(page[0] * page[1]).limit(page[1])
    return _whole(work, list(work.connection.execute(query).scalars()))


def takers(work: Work) -> dict[tuple[str, str], UUID]:
    """Who takes a type of element, by the type's name and version."""
    return {(row.name, row.version): UUID(row.participant_id) for row in work.connection.execute(select(types))}


def offline(work: Work, keys: Iterable[UUID]) -> UUID | None:
    """The first of the participants that has no process."""
    keys = list(keys)
    query = select(replicas.c.participant_id).where(replicas.c.participant_id.in_([str(key) for key in keys]))
    there = set(work.connection.execute(query.distinct()).scalars())
    return next((key for key in keys if str(key) not in there), None)


def add(work: Work, key: UUID) -> None:
    work.connection.execute(insert(participants).values(id=str(key)))
    work.changed("participant", key)


def set_types(work: Work, key: UUID, told: Iterable[SupportedType]) -> None:
    work.connection.execute(delete(types).where(types.c.participant_id == str(key)))
    rows = {
        (one.name, one.version): {
            "participant_id": str(key),
            "id": str(one.id),
            "name": one.name,
            "version": one.version,
        }
        for one in told
    }
    if rows:
        work.connection.execute(insert(types), list(rows.values()))
    work.changed("participant", key)


def seen(work: Work, key: UUID, replica: UUID, now: int) -> bool:
    """A process of a participant was heard of; whether it is a new one."""
    values = {"participant_id": str(key), "last": now}
    known = work.connection.execute(update(replicas).where(replicas.c.id == str(replica)).values(values))
    if known.rowcount == 0:
        work.connection.execute(insert(replicas).values(id=str(replica), **values))
    work.changed("participant", key)
    return known.rowcount == 0


def leave(work: Work, replica: UUID) -> UUID | None:
    """A process ends; returns whose it was."""
    query = select(replicas.c.participant_id).where(replicas.c.id == str(replica))
    key = work.connection.execute(query).scalar_one_or_none()
    if key is None:
        return None
    work.connection.execute(delete(replicas).where(replicas.c.id == str(replica)))
    work.changed("participant", key)
    return UUID(key)


def expire(work: Work, before: int) -> dict[UUID, UUID]:
    """Forget the processes that were heard of last before an instant; returns them, and whose each was."""
    query = select(replicas.c.id).where(replicas.c.last < before)
    silent = [UUID(key) for key in work.connection.execute(query).scalars()]
    return {replica: participant for replica in silent if (participant := leave(work, replica)) is not None}


def silent(work: Work, before: int) -> bool:
    """Whether there is anything to expire."""
    query = select(replicas.c.id).where(replicas.c.last < before).limit(1)
    return work.connection.execute(query).first() is not None


def _whole(work: Work, keys: list[str]) -> list[Participant]:
    found = {key: Participant(id=UUID(key)) for key in keys}
    for row in work.connection.execute(select(types).where(types.c.participant_id.in_(keys))):
        told = SupportedType(id=UUID(row.id), name=row.name, version=row.version)
        found[row.participant_id].types.append(told)
    below = select(replicas).where(replicas.c.participant_id.in_(keys)).order_by(replicas.c.id)
    for row in work.connection.execute(below):
        found[row.participant_id].replicas[UUID(row.id)] = row.last
    return list(found.values())
