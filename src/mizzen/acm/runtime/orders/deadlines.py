"""How long an order may take: what its elements or the template say, else what the runtime is told."""

from __future__ import annotations

from typing import Any

from mizzen.acm.runtime.model import Instance
from mizzen.acm.runtime.moments import MILLISECOND
from mizzen.acm.runtime.orders.definition import Definition
from mizzen.acm.runtime.orders.operations import DURING, Operation

_NAMES = {
    Operation.DEPLOY: "deployTimeoutMs",
    Operation.UNDEPLOY: "undeployTimeoutMs",
    Operation.UPDATE: "updateTimeoutMs",
    Operation.UPDATE_REVERT: "updateTimeoutMs",
    Operation.MIGRATE: "migrateTimeoutMs",
    Operation.MIGRATION_REVERT: "migrateTimeoutMs",
    Operation.DELETE: "deleteTimeoutMs",
}


def of_instance(instance: Instance, going_on: Operation, now: int, default: int) -> int:
    """When what is going on counts as timed out; ``default`` in milliseconds."""
    name, state = _NAMES.get(going_on), DURING[going_on][0]
    for element in instance.elements.values():
        wait = milliseconds(element.properties.get(name)) if name and element.deploy is state else None
        if wait is not None:
            return now + wait * MILLISECOND
    return now + default * MILLISECOND


def of_composition(definition: Definition, name: str, now: int, default: int) -> int:
    """``name``: ``primeTimeoutMs`` or ``deprimeTimeoutMs``."""
    return now + definition.template.timeouts.get(name, default) * MILLISECOND


def milliseconds(value: Any) -> int | None:
    """A number, or a text that is one; anything else, and what is not above 0, does not count."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = int(value)
    except (ValueError, OverflowError):
        return None
    return number if number > 0 else None
