"""Instances and their elements in the database, and what they were before a change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Row, Select, delete, func, insert, select, update

from mizzen.acm.messages.concepts import Identifier
from mizzen.acm.messages.states import DeployState, LockState, MigrationState, StateChangeResult, SubState
from mizzen.acm.runtime.model import Before, Element, Instance
from mizzen.acm.runtime.store.engine import Work
from mizzen.acm.runtime.store.tables import elements, instances, rollbacks

# A statement takes so many values at once on every database.
_AT_ONCE = 500


def get(work: Work, key: UUID, *, lock: bool = False) -> Instance | None:
    """An instance; ``lock``: two units cannot have the same one at the same time."""
    query = select(instances).where(instances.c.id == str(key))
    row = work.connection.execute(query.with_for_update() if lock else query).one_or_none()
    return _whole(work, [row])[0] if row else None


def some(
    work: Work,
    *,
    composition: UUID | None = None,
    name: str | None = None,
    version: str | None = None,
    participant: UUID | None = None,
    ids: Sequence[UUID] = (),
    deploy_states: Sequence[DeployState] = (),
    results: Sequence[StateChangeResult] = (),
    sort: str | None = None,
    descending: bool = False,
    page: tuple[int, int] | None = None,
) -> list[Instance]:
    """``sort``: ``lastMsg``, ``name`` or ``deployState``; ``page``: its number, counted from 0, and its size."""
    query = select(instances)
    if composition is not None:
        query = query.where(instances.c.composition_id == str(composition))
    if name is not None:
        query = query.where(instances.c.name == name)
    if version is not None:
        query = query.where(instances.c.version == version)
    if participant is not None:
        query = query.where(
            instances.c.id.in_(select(elements.c.instance_id).where(elements.c.participant_id == str(participant)))
        )
    if ids:
        query = query.where(instances.c.id.in_([str(key) for key in ids]))
    if deploy_states:
        query = query.where(instances.c.deploy_state.in_([state.value for state in deploy_states]))
    if results:
        query = query.where(instances.c.result.in_([result.value for result in results]))
    query = _sorted(query, sort, descending)
    if page is not None:
        query = query.offset(page[0] * page[1]).limit(page[1])
    return _whole(work, work.connection.execute(query).all())


def count(work: Work, *, composition: UUID | None = None, target: UUID | None = None) -> int:
    query = select(func.count()).select_from(instances)
    if composition is not None:
        query = query.where(instances.c.composition_id == str(composition))
    if target is not None:
        query = query.where(instances.c.target_id == str(target))
    return work.connection.execute(query).scalar_one()


def named(work: Work, name: str, version: str) -> UUID | None:
    query = select(instances.c.id).where(instances.c.name == name, instances.c.version == version)
    found = work.connection.execute(query).scalar_one_or_none()
    return UUID(found) if found else None


def taken(work: Work, ids: Sequence[str], but: UUID | None) -> dict[str, str | None]:
    """Of element ids, those that other instances than one have, with the elements' descriptions."""
    query = select(elements.c.id, elements.c.description).where(elements.c.id.in_(ids))
    if but is not None:
        query = query.where(elements.c.instance_id != str(but))
    return {row.id: row.description for row in work.connection.execute(query)}


def overdue(work: Work, now: int) -> list[UUID]:
    found = work.connection.execute(select(instances.c.id).where(instances.c.deadline <= now))
    return [UUID(key) for key in found.scalars()]


def answered(work: Work, before: int) -> list[UUID]:
    """Those whose last answer came before an instant, and has not been looked at."""
    found = work.connection.execute(select(instances.c.id).where(instances.c.answered <= before))
    return [UUID(key) for key in found.scalars()]


def mark_answered(work: Work, key: UUID, at: int | None) -> None:
    work.connection.execute(update(instances).where(instances.c.id == str(key)).values(answered=at))


def add(work: Work, instance: Instance) -> None:
    work.connection.execute(insert(instances).values(_row(instance)))
    rows = [_element_row(instance, position, one) for position, one in enumerate(instance.elements.values())]
    if rows:
        work.connection.execute(insert(elements), rows)
    work.changed("instance", instance.id)


def save(work: Work, instance: Instance) -> None:
    row = _row(instance)
    if work.read.get(instance.id) != row:
        work.connection.execute(update(instances).where(instances.c.id == row["id"]).values(row))
    known = work.read.get((instance.id, "elements"), set())
    for position, element in enumerate(instance.elements.values()):
        told = _element_row(instance, position, element)
        if element.id not in known:
            work.connection.execute(insert(elements).values(told))
        elif work.read.get(element.id) != told:
            work.connection.execute(update(elements).where(elements.c.id == told["id"]).values(told))
    gone = [str(key) for key in known - instance.elements.keys()]
    if gone:
        work.connection.execute(delete(elements).where(elements.c.id.in_(gone)))
    work.changed("instance", instance.id)


def remove(work: Work, key: UUID) -> None:
    work.connection.execute(delete(instances).where(instances.c.id == str(key)))
    work.changed("instance", key)


def before(work: Work, key: UUID) -> Before | None:
    """What an instance was before it was updated or migrated last."""
    row = work.connection.execute(select(rollbacks).where(rollbacks.c.instance_id == str(key))).one_or_none()
    if row is None:
        return None
    return Before(
        composition_id=UUID(row.composition_id),
        elements=_elements_of(row.elements),
        replaced=_elements_of(row.replaced) if row.replaced else None,
    )


def keep(work: Work, key: UUID, kept: Before) -> None:
    forget(work, key)
    work.connection.execute(
        insert(rollbacks).values(
            instance_id=str(key),
            composition_id=str(kept.composition_id),
            elements=_text_of(kept.elements),
            replaced=_text_of(kept.replaced) if kept.replaced is not None else None,
        )
    )


def forget(work: Work, key: UUID) -> None:
    work.connection.execute(delete(rollbacks).where(rollbacks.c.instance_id == str(key)))


def _sorted(query: Select[Any], sort: str | None, descending: bool) -> Select[Any]:
    columns = {"lastMsg": instances.c.last, "name": instances.c.name, "deployState": instances.c.deploy_state}
    column = columns.get(sort or "")
    if column is None:
        return query.order_by(instances.c.name, instances.c.version)
    return query.order_by(column.desc() if descending else column, instances.c.id)


def _whole(work: Work, rows: Iterable[Row[Any]]) -> list[Instance]:
    found: dict[str, Instance] = {}
    for row in rows:
        told = dict(row._mapping)
        told.pop("answered")
        found[row.id] = _instance(row)
        work.read[found[row.id].id] = told
    keys = list(found)
    for start in range(0, len(keys), _AT_ONCE):
        part = keys[start : start + _AT_ONCE]
        query = select(elements).where(elements.c.instance_id.in_(part)).order_by(elements.c.position)
        for row in work.connection.execute(query).all():
            element = _element(row)
            found[row.instance_id].elements[element.id] = element
            work.read[element.id] = dict(row._mapping)
    for instance in found.values():
        work.read[(instance.id, "elements")] = set(instance.elements)
    return list(found.values())


def _instance(row: Row[Any]) -> Instance:
    return Instance(
        id=UUID(row.id),
        composition_id=UUID(row.composition_id),
        target_id=UUID(row.target_id) if row.target_id else None,
        name=row.name,
        version=row.version,
        description=row.description,
        deploy=DeployState(row.deploy_state),
        lock=LockState(row.lock_state),
        sub=SubState(row.sub_state),
        result=StateChangeResult(row.result),
        last=row.last,
        deadline=row.deadline,
        phase=row.phase,
        first=row.first_phase,
        revision=UUID(row.revision),
    )


def _element(row: Any) -> Element:
    return Element(
        id=UUID(row.id),
        definition=Identifier(row.definition_name, row.definition_version),
        participant_id=UUID(row.participant_id) if row.participant_id else None,
        deploy=DeployState(row.deploy_state),
        lock=LockState(row.lock_state),
        sub=SubState(row.sub_state),
        migration=MigrationState(row.migration_state),
        stage=row.stage,
        operational_state=row.operational_state,
        use_state=row.use_state,
        message=row.message,
        description=row.description,
        properties=orjson.loads(row.properties),
        out_properties=orjson.loads(row.out_properties),
    )


def _row(instance: Instance) -> dict[str, Any]:
    return {
        "id": str(instance.id),
        "composition_id": str(instance.composition_id),
        "target_id": str(instance.target_id) if instance.target_id else None,
        "name": instance.name,
        "version": instance.version,
        "description": _storable(instance.description),
        "deploy_state": instance.deploy.value,
        "lock_state": instance.lock.value,
        "sub_state": instance.sub.value,
        "result": instance.result.value,
        "last": instance.last,
        "deadline": instance.deadline,
        "phase": instance.phase,
        "first_phase": instance.first,
        "revision": str(instance.revision),
    }


def _element_row(instance: Instance, position: int, element: Element) -> dict[str, Any]:
    return {"instance_id": str(instance.id), "position": position, **_element_values(element)}


def _element_values(element: Element) -> dict[str, Any]:
    return {
        "id": str(element.id),
        "definition_name": element.definition.name,
        "definition_version": element.definition.version,
        "participant_id": str(element.participant_id) if element.participant_id else None,
        "deploy_state": element.deploy.value,
        "lock_state": element.lock.value,
        "sub_state": element.sub.value,
        "migration_state": element.migration.value,
        "stage": element.stage,
        "operational_state": _storable(element.operational_state),
        "use_state": _storable(element.use_state),
        "message": _storable(element.message),
        "description": _storable(element.description),
        "properties": orjson.dumps(element.properties).decode(),
        "out_properties": orjson.dumps(element.out_properties).decode(),
    }


def _storable(text: str | None) -> str | None:
    """PostgreSQL's texts have no character 0."""
    return None if text is None else text.replace("\0", "")


class _Kept:
    """An element's values as a row has them."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__.update(values)


def _text_of(kept: dict[UUID, Element]) -> str:
    return orjson.dumps([_element_values(element) for element in kept.values()]).decode()


def _elements_of(text: str) -> dict[UUID, Element]:
    found = [_element(_Kept(values)) for values in orjson.loads(text)]
    return {element.id: element for element in found}
