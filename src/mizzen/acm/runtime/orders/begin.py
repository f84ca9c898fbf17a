"""What an order does to an instance before anybody is told."""

from __future__ import annotations

from uuid import UUID

from mizzen.acm.messages.concepts import Identifier
from mizzen.acm.messages.states import DeployState, MigrationState, StateChangeResult
from mizzen.acm.runtime.model import Before, Element, Instance, Properties
from mizzen.acm.runtime.orders import deadlines, phases
from mizzen.acm.runtime.orders.definition import Definition
from mizzen.acm.runtime.orders.operations import AFTER, DURING, Operation
from mizzen.acm.tosca.instance import merge
from mizzen.errors import MizzenError

# Pressed again, these leave alone what has come through already.
_CONTINUED = {Operation.DEPLOY: DeployState.DEPLOYING, Operation.UNDEPLOY: DeployState.UNDEPLOYING}


class Incompatible(MizzenError):
    """An instance cannot become what is asked for; the text is what REST says."""


def begin(
    instance: Instance,
    order: Operation,
    definition: Definition,
    *,
    now: int,
    default: int,
    target: Definition | None = None,
) -> None:
    """Set the states of an order, its first phase and its deadline (``default`` in milliseconds)."""
    done: tuple[DeployState, object] | None = None
    if _CONTINUED.get(order) is instance.deploy:
        done = AFTER[order]
    elements = [one for one in instance.elements.values() if done is None or (one.deploy, one.lock) != done]
    for element in elements or instance.elements.values():
        element.deploy, element.lock, element.sub = DURING[order]
        element.stage = element.message = None
    lock = instance.lock
    instance.deploy, instance.lock, instance.sub = DURING[order]
    if order in (Operation.UPDATE, Operation.UPDATE_REVERT):
        instance.lock = lock
    instance.result = StateChangeResult.NO_ERROR
    instance.phase = instance.first = phases.begin(instance, order, definition, target)
    instance.last = now
    instance.deadline = deadlines.of_instance(instance, order, now, default)


def copy(element: Element) -> Element:
    """One that may be changed by itself; its properties are replaced, never changed, and so may be shared."""
    return Element(**{name: getattr(element, name) for name in Element.__struct_fields__})


def before(instance: Instance) -> Before:
    """What a rollback goes back to."""
    return Before(
        composition_id=instance.composition_id,
        elements={key: copy(element) for key, element in instance.elements.items()},
    )


def update(instance: Instance, given: dict[UUID, Properties]) -> None:
    """Merge new properties into the elements that are listed; every one of them must be there."""
    for key, properties in given.items():
        element = instance.elements[key]
        element.properties = merge(element.properties, properties)


def retarget(instance: Instance, given: dict[UUID, Element], definition: Definition, target: Definition) -> None:
    """Give an instance the elements that it has under another definition.

    Elements that are listed take the definition given, those that were not there are ``NEW``, those that are not
    listed ``REMOVED``.

    Raises:
        Incompatible: an element would become another one, by name.
    """
    for key, told in given.items():
        present = instance.elements.get(key)
        if present is None:
            fresh = copy(told)
            fresh.migration = MigrationState.NEW
            fresh.participant_id = target.participant(told.definition)
            instance.elements[key] = fresh
            continue
        if present.definition.name != told.definition.name:
            raise Incompatible(f"{_named(present.definition)} is not compatible with {_named(told.definition)}")
        present.properties = merge(present.properties, told.properties)
        present.definition = told.definition
        present.participant_id = target.participant(told.definition)
    for key, element in instance.elements.items():
        if key not in given:
            element.migration = MigrationState.REMOVED
    instance.target_id = target.id


def go_back(instance: Instance, kept: Before) -> None:
    """Give an instance the elements that it had, and beside them those that a migration has added.

    ``kept`` remembers in turn what is given up: participants are told both sides.
    """
    kept.replaced = {key: copy(element) for key, element in instance.elements.items()}
    elements = {key: copy(element) for key, element in kept.elements.items()}
    for key, element in instance.elements.items():
        if element.migration is MigrationState.NEW:
            elements[key] = element
        elif element.migration is MigrationState.REMOVED and key in elements:
            elements[key].migration = MigrationState.REMOVED
        if key in elements:
            elements[key].out_properties = element.out_properties
            elements[key].operational_state = element.operational_state
            elements[key].use_state = element.use_state
    instance.elements = elements


def _named(identifier: Identifier) -> str:
    return f"{identifier.name} {identifier.version}"
