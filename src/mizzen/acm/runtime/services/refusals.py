"""What is refused more than once, in ONAP's words."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from mizzen.acm.messages.states import AcTypeState, DeployOrder, LockOrder, SubOrder
from mizzen.acm.runtime.conduct import Conductor
from mizzen.acm.runtime.model import Composition, Instance
from mizzen.acm.runtime.orders.definition import Definition
from mizzen.acm.runtime.service import Page, Refused
from mizzen.acm.runtime.store import instances, participants
from mizzen.acm.runtime.store.engine import Work

NOT_FOUND = "AutomationComposition not found"


def page_of(page: Page) -> tuple[int, int] | None:
    """It takes both to turn pages."""
    if page.page is None or page.size is None:
        return None
    return max(page.page, 0), max(page.size, 1)


def no_composition(key: UUID) -> Refused:
    return Refused(404, f'Get serviceTemplate "{key}" failed, serviceTemplate does not exist')


def no_participant(key: UUID) -> Refused:
    return Refused(404, f"Participant Not Found with ID: {key}")


def mismatch(one: object, other: object) -> Refused:
    return Refused(400, f"{one} do not match with {other}")


def composition_of(work: Work, conductor: Conductor, key: UUID, *, lock: bool = False) -> Definition:
    definition = conductor.definition(work, key, lock=lock)
    if definition is None:
        raise no_composition(key)
    return definition


def instance_of(work: Work, composition: UUID, key: UUID, *, lock: bool = False, target: bool = False) -> Instance:
    """``target``: the definition that it migrates to will do, too."""
    instance = instances.get(work, key, lock=lock)
    if instance is None:
        raise Refused(404, NOT_FOUND)
    if composition != instance.composition_id and not (target and composition == instance.target_id):
        raise mismatch(instance.composition_id, composition)
    return instance


def primed(composition: Composition) -> None:
    if composition.state is not AcTypeState.PRIMED:
        raise Refused(400, f"{composition.id} Commissioned automation composition definition not primed")


def online(work: Work, keys: Iterable[UUID]) -> None:
    absent = participants.offline(work, keys)
    if absent is not None:
        raise Refused(409, f"Participant: {absent} is OFFLINE")


def not_valid(instance: Instance, deploy: DeployOrder | None, lock: LockOrder | None, sub: SubOrder | None) -> Refused:
    update = f"AcInstanceStateUpdate(deployOrder={_shown(deploy)}, lockOrder={_shown(lock)}, subOrder={_shown(sub)})"
    return Refused(400, f"Not valid order {update}; {state(instance)}")


def state(instance: Instance) -> str:
    return (
        f"DeployState: {instance.deploy}; LockState: {instance.lock}; "
        f"SubState: {instance.sub}; StateChangeResult: {instance.result}"
    )


def _shown(order: object | None) -> str:
    return "null" if order is None else str(order)
