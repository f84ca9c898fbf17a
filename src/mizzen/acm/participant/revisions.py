"""What an order supposes this replica to know, and what of that is missing or older than the order."""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct

from mizzen.acm.messages.orders import Deploy, Migration, Prepare, PropertiesUpdate, StateChange
from mizzen.acm.messages.states import DeployOrder, MigrationState
from mizzen.acm.participant.cache import Cache
from mizzen.acm.participant.orders import InstanceOrder
from mizzen.acm.participant.told import kinds


class Missing(Struct, frozen=True):
    """Attributes: those ids that a message has to wait for."""

    composition: UUID | None = None
    target: UUID | None = None
    instance: UUID | None = None

    def __bool__(self) -> bool:
        return bool(self.composition or self.target or self.instance)


def missing(message: InstanceOrder, cache: Cache) -> Missing:
    """What has to be told before ``message`` can be carried out.

    An instance that begins with the message needs no knowledge of it, and one that is to be deleted is as well unknown:
    it was never used here.
    """
    match message:
        case Deploy() | Prepare(pre_deploy=True):
            return Missing(_composition(message, cache))
        case StateChange(deploy_ordered_state=DeployOrder.DELETE):
            return Missing(_composition(message, cache))
        case Migration():
            return _migration(message, cache)
        case StateChange() | PropertiesUpdate() | Prepare():
            return Missing(_composition(message, cache), None, _instance(message, cache))


def _migration(message: Migration, cache: Cache) -> Missing:
    found = kinds(message, cache.participant)
    composition = target = instance = None
    if found & {MigrationState.DEFAULT, MigrationState.REMOVED}:
        composition, instance = _composition(message, cache), _instance(message, cache)
    if found & {MigrationState.DEFAULT, MigrationState.NEW} and not cache.knows_composition(
        message.composition_target_id, message.revision_id_composition_target
    ):
        target = message.composition_target_id
    return Missing(composition, target, instance)


def _composition(message: InstanceOrder, cache: Cache) -> UUID | None:
    known = cache.knows_composition(message.composition_id, message.revision_id_composition)
    return None if known else message.composition_id


def _instance(message: InstanceOrder, cache: Cache) -> UUID | None:
    known = cache.knows_instance(message.automation_composition_id, message.revision_id_instance)
    return None if known else message.automation_composition_id
