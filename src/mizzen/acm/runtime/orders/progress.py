"""What comes after answers: nothing yet, the next phase, the end; and what comes when no answer does.

Pure as the rest; whoever calls saves the instance, sends the message of the next phase, or tells participants how it
ended.
"""

from __future__ import annotations

from enum import Enum, auto
from uuid import UUID, uuid4

from mizzen.acm.messages.states import DeployState, MigrationState, StateChangeResult, SubState
from mizzen.acm.runtime.model import Before, Instance
from mizzen.acm.runtime.orders import deadlines, phases
from mizzen.acm.runtime.orders.definition import Definition
from mizzen.acm.runtime.orders.operations import AFTER, MIGRATIONS, Operation, operation


class Step(Enum):
    WAIT = auto()
    NEXT = auto()
    DONE = auto()
    DELETED = auto()


def advance(instance: Instance, definition: Definition, target: Definition | None, *, now: int, default: int) -> Step:
    """Carry an instance on as far as answers allow.

    One that has failed stays as it is until it is told something else.
    """
    going_on = operation(instance)
    if going_on is None or instance.result is StateChangeResult.FAILED:
        return Step.WAIT
    if not any(element.on_the_way for element in instance.elements.values()):
        return _complete(instance, going_on)
    phase = phases.pending(instance, going_on, definition, target)
    if phase == instance.phase:
        return Step.WAIT
    instance.phase = phase
    instance.result = StateChangeResult.NO_ERROR
    instance.last = now
    instance.deadline = deadlines.of_instance(instance, going_on, now, default)
    return Step.NEXT


def _complete(instance: Instance, going_on: Operation) -> Step:
    instance.deploy, instance.lock = AFTER[going_on]
    instance.sub = SubState.NONE
    instance.result = StateChangeResult.NO_ERROR
    instance.phase = instance.first = instance.deadline = None
    instance.revision = uuid4()
    if going_on is Operation.MIGRATE and instance.target_id is not None:
        instance.composition_id = instance.target_id
    if going_on in MIGRATIONS:
        instance.target_id = None
        instance.elements = {
            key: element for key, element in instance.elements.items() if element.deploy is not DeployState.DELETED
        }
    for element in instance.elements.values():
        element.deploy, element.lock = instance.deploy, instance.lock
        element.sub, element.stage = SubState.NONE, None
        if going_on in MIGRATIONS:
            element.migration = MigrationState.DEFAULT
    return Step.DELETED if going_on is Operation.DELETE else Step.DONE


def forget_migration(instance: Instance, kept: Before) -> bool:
    """Give an instance that was undeployed after a failed migration its own definition again.

    Only where no element was added or removed: those are left, and refuse a deployment by name.
    """
    strangers = [one for one in instance.elements.values() if one.migration is not MigrationState.DEFAULT]
    if instance.target_id is None or strangers or kept.elements.keys() != instance.elements.keys():
        return False
    instance.target_id = None
    for key, element in instance.elements.items():
        element.definition = kept.elements[key].definition
        element.properties = kept.elements[key].properties
        element.participant_id = kept.elements[key].participant_id
    return True


def time_out(instance: Instance, now: int) -> bool:
    """Give up waiting, if it is time. The states stay between: they are all that is known."""
    waiting = instance.on_the_way and instance.result is StateChangeResult.NO_ERROR
    if not waiting or instance.deadline is None or instance.deadline > now:
        return False
    instance.result = StateChangeResult.TIMEOUT
    instance.deadline = None
    instance.revision = uuid4()
    return True


def left_out(earlier: set[UUID], instance: Instance) -> set[UUID]:
    """The participants that had an element of an instance and have none any more."""
    return earlier - set(instance.participants)
