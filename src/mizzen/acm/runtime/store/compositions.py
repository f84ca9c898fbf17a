"""Compositions in the database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Row, delete, insert, select, update

from mizzen.acm.messages.concepts import Identifier
from mizzen.acm.messages.states import AcTypeState, StateChangeResult
from mizzen.acm.runtime.model import Composition, NodeState
from mizzen.acm.runtime.store.engine import Work
from mizzen.acm.runtime.store.tables import compositions, nodes


def get(work: Work, key: UUID, *, lock: bool = False) -> Composition | None:
    """A composition; ``lock``: nobody else may change it, or take it for what it is, before this unit is over."""
    query = select(compositions).where(compositions.c.id == str(key))
    row = work.connection.execute(query.with_for_update() if lock else query).one_or_none()
    return next(iter(_whole(work, [row])), None) if row else None


def some(
    work: Work,
    *,
    name: str | None = None,
    version: str | None = None,
    participant: UUID | None = None,
    page: tuple[int, int] | None = None,
) -> list[Composition]:
    """``page``: its number, counted from 0, and its size."""
    query = select(compositions).order_by(compositions.c.last, compositions.c.id)
    if name is not None:
        query = query.where(compositions.c.name == name)
    if version is not None:
        query = query.where(compositions.c.version == version)
    if participant is not None:
        query = query.where(
            compositions.c.id.in_(select(nodes.c.composition_id).where(nodes.c.participant_id == str(participant)))
        )
    if page is not None:
        query = query.offset(page[0] * page[1]).limit(page[1])
    return _whole(work, work.connection.execute(query).all())


def overdue(work: Work, now: int) -> list[UUID]:
    found = work.connection.execute(select(compositions.c.id).where(compositions.c.deadline <= now))
    return [UUID(key) for key in found.scalars()]


def add(work: Work, composition: Composition) -> None:
    work.connection.execute(insert(compositions).values(_row(composition)))
    _add_nodes(work, composition)
    work.changed("composition", composition.id)


def save(work: Work, composition: Composition) -> None:
    row = _row(composition)
    work.connection.execute(update(compositions).where(compositions.c.id == row["id"]).values(row))
    for position, node in enumerate(composition.nodes.values()):
        told = _node_row(composition, position, node)
        if work.read.get(node.id) != told:
            work.connection.execute(update(nodes).where(nodes.c.id == told["id"]).values(told))
    work.changed("composition", composition.id)


def replace(work: Work, composition: Composition) -> None:
    """Save it with other nodes than it had."""
    work.connection.execute(delete(nodes).where(nodes.c.composition_id == str(composition.id)))
    row = _row(composition)
    work.connection.execute(update(compositions).where(compositions.c.id == row["id"]).values(row))
    _add_nodes(work, composition)
    work.changed("composition", composition.id)


def remove(work: Work, key: UUID) -> None:
    work.connection.execute(delete(compositions).where(compositions.c.id == str(key)))
    work.changed("composition", key)


def _add_nodes(work: Work, composition: Composition) -> None:
    rows = [_node_row(composition, position, node) for position, node in enumerate(composition.nodes.values())]
    if rows:
        work.connection.execute(insert(nodes), rows)


def _whole(work: Work, rows: Iterable[Row[Any]]) -> list[Composition]:
    found = {row.id: _composition(row) for row in rows}
    below = select(nodes).where(nodes.c.composition_id.in_(found)).order_by(nodes.c.composition_id, nodes.c.position)
    for row in work.connection.execute(below).all():
        node = NodeState(
            id=UUID(row.id),
            definition=Identifier(row.name, row.version),
            participant_id=UUID(row.participant_id) if row.participant_id else None,
            state=AcTypeState(row.state),
            message=row.message,
            out_properties=orjson.loads(row.out_properties),
        )
        found[row.composition_id].nodes[row.name] = node
        work.read[node.id] = dict(row._mapping)
    return list(found.values())


def _composition(row: Row[Any]) -> Composition:
    return Composition(
        id=UUID(row.id),
        name=row.name,
        version=row.version,
        text=row.template,
        state=AcTypeState(row.state),
        result=StateChangeResult(row.result),
        last=row.last,
        deadline=row.deadline,
        revision=UUID(row.revision),
    )


def _row(composition: Composition) -> dict[str, Any]:
    return {
        "id": str(composition.id),
        "name": composition.name,
        "version": composition.version,
        "state": composition.state.value,
        "result": composition.result.value,
        "last": composition.last,
        "deadline": composition.deadline,
        "revision": str(composition.revision),
        "template": composition.text,
    }


def _node_row(composition: Composition, position: int, node: NodeState) -> dict[str, Any]:
    return {
        "id": str(node.id),
        "composition_id": str(composition.id),
        "position": position,
        "name": node.definition.name,
        "version": node.definition.version,
        "participant_id": str(node.participant_id) if node.participant_id else None,
        "state": node.state.value,
        "message": None if node.message is None else node.message.replace("\0", ""),
        "out_properties": orjson.dumps(node.out_properties).decode(),
    }
