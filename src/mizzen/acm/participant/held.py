"""Orders that wait until the runtime has told what they suppose.

An order that rests on something this replica does not know, or knows as it was, is held, and the runtime is asked.
What the runtime then tells releases it, in the order in which orders came. One that nobody releases is dropped once the
operation has timed out anyway: carried out later, it would undo what has been ordered since.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from uuid import UUID

from msgspec import Struct, structs

from mizzen.acm.messages.elements import ParticipantDeploy, ParticipantDto
from mizzen.acm.messages.orders import Deploy, Migration, PropertiesUpdate, StateChange
from mizzen.acm.messages.states import DeployOrder
from mizzen.acm.participant.orders import InstanceOrder
from mizzen.acm.participant.revisions import Missing

_log = logging.getLogger(__name__)

_MOST = 10_000


class Held(Struct):
    """Attributes: the order, what it waits for still, and when it is dropped, by the clock of the one who holds it."""

    message: InstanceOrder
    missing: Missing
    until: float


class Holding:
    """
    Args:
        timeout: seconds that an order is held, where its elements' properties do not say.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._held: dict[UUID, Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, message: InstanceOrder, missing: Missing, now: float) -> None:
        """Keep ``message`` until nothing is missing; the same message twice is one."""
        if len(self._held) >= _MOST and message.message_id not in self._held:
            oldest = next(iter(self._held))
            _log.error("%d orders are held: the oldest, %s, is dropped", _MOST, oldest)
            del self._held[oldest]
        self._held[message.message_id] = Held(message, missing, now + operation_timeout(message, self._timeout))

    def composition_told(self, composition: UUID | None) -> None:
        for held in self._held.values():
            found = held.missing
            held.missing = structs.replace(
                found,
                composition=None if found.composition == composition else found.composition,
                target=None if found.target == composition else found.target,
            )

    def instance_told(self, instance: UUID) -> None:
        for held in self._held.values():
            if held.missing.instance == instance:
                held.missing = structs.replace(held.missing, instance=None)

    def released(self) -> list[InstanceOrder]:
        """Those that miss nothing any more, in the order in which they came; they are no longer held."""
        found = [key for key, held in self._held.items() if not held.missing]
        return [self._held.pop(key).message for key in found]

    def forget_instance(self, instance: UUID) -> None:
        """Drop what is about an instance that has been deleted."""
        for key, held in [*self._held.items()]:
            if held.message.automation_composition_id == instance:
                _log.warning("%s is dropped: instance %s has been deleted", type(held.message).__name__, instance)
                del self._held[key]

    def expire(self, now: float) -> None:
        """Drop what has been held too long."""
        for key, held in [*self._held.items()]:
            if held.until <= now:
                _log.error(
                    "%s of instance %s is dropped: the runtime has not told what it needs (%s)",
                    type(held.message).__name__,
                    held.message.automation_composition_id,
                    held.missing,
                )
                del self._held[key]

    def wanted(self) -> list[Missing]:
        """What is still missing, each thing once."""
        return list(dict.fromkeys(held.missing for held in self._held.values()))


def operation_timeout(message: InstanceOrder, default: float) -> float:
    """Seconds after which the runtime gives the order up: as the first element's properties say, or ``default``."""
    match message:
        case Deploy():
            name = "deployTimeoutMs"
        case StateChange(deploy_ordered_state=DeployOrder.UNDEPLOY):
            name = "undeployTimeoutMs"
        case StateChange(deploy_ordered_state=DeployOrder.DELETE):
            name = "deleteTimeoutMs"
        case PropertiesUpdate():
            name = "updateTimeoutMs"
        case Migration():
            name = "migrateTimeoutMs"
        case _:
            return default
    for properties in _properties(message):
        given = properties.get(name)
        if isinstance(given, int) and not isinstance(given, bool) and given > 0:
            return given / 1000
    return default


def _properties(message: InstanceOrder) -> Iterable[dict[str, object]]:
    dtos: list[ParticipantDto] = message.participant_dto_list or []
    for participant in dtos:
        for dto in participant.element_dtos:
            if dto.instance_element_target:
                yield dto.instance_element_target.in_properties
    updates: list[ParticipantDeploy] = getattr(message, "participant_updates_list", [])
    for update in updates:
        for element in update.ac_element_list:
            yield element.properties
