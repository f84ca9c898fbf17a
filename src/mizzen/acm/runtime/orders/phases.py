"""In which order elements take their turns: by start phase, or by stage.

A start phase is a number of the definition: deployment goes up through them, undeployment down. Stages are an element's
own: it goes through several of them in one migration or preparation, and tells after each which is its next.
"""

from __future__ import annotations

from collections.abc import Iterable

from mizzen.acm.messages.concepts import Identifier
from mizzen.acm.runtime.model import Element, Instance
from mizzen.acm.runtime.orders.definition import Definition
from mizzen.acm.runtime.orders.operations import ASCENDING, DESCENDING, STAGED, Operation, leaves


def begin(instance: Instance, going_on: Operation, definition: Definition, target: Definition | None) -> int | None:
    """The phase or stage with which an operation begins; None where there are neither."""
    waiting = [one for one in instance.elements.values() if one.on_the_way]
    if going_on in STAGED:
        stages = [_first_stage(one, going_on, definition, target) for one in waiting if not leaves(one, going_on)] or [
            0
        ]
        return max(stages) if going_on is Operation.MIGRATION_REVERT else min(stages)
    return _extreme(going_on, (phase_of(one.definition, definition, target) for one in waiting))


def pending(instance: Instance, going_on: Operation, definition: Definition, target: Definition | None) -> int | None:
    """The phase or stage whose turn it is now, while elements are left; None where there are neither."""
    waiting = [one for one in instance.elements.values() if one.on_the_way]
    if going_on not in STAGED:
        return _extreme(going_on, (phase_of(one.definition, definition, target) for one in waiting))
    first = instance.first or 0
    stages = [stage_of(one, first, going_on, definition, target) for one in waiting]
    return max(stages) if going_on is Operation.MIGRATION_REVERT else min(stages)


def phase_of(identifier: Identifier, definition: Definition, target: Definition | None) -> int:
    """Of the definition that has the element; while a migration has failed, that may be its target."""
    if target is not None and not definition.has(identifier):
        return target.phase(identifier)
    return definition.phase(identifier)


def _extreme(going_on: Operation, phases: Iterable[int]) -> int | None:
    if going_on in ASCENDING:
        return min(phases, default=0)
    if going_on in DESCENDING:
        return max(phases, default=0)
    return None


def stage_of(
    element: Element, first: int, going_on: Operation, definition: Definition, target: Definition | None
) -> int:
    if element.stage is not None:
        return element.stage
    if leaves(element, going_on):
        return first
    return _first_stage(element, going_on, definition, target)


def _first_stage(element: Element, going_on: Operation, definition: Definition, target: Definition | None) -> int:
    if going_on is Operation.PREPARE:
        return definition.prepare_stages(element.definition)[0]
    if going_on is Operation.MIGRATION_REVERT:
        return definition.migrate_stages(element.definition)[-1]
    return (target or definition).migrate_stages(element.definition)[0]
