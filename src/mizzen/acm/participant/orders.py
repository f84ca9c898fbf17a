"""From an order to calls: which elements it is about, whose turn it is, and what is remembered of it from here on."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from uuid import UUID

from mizzen.acm.messages.orders import Deploy, Migration, Prepare, Prime, PropertiesUpdate, StateChange
from mizzen.acm.messages.states import DeployOrder, DeployState, LockOrder, LockState, PrimeOrder
from mizzen.acm.participant.cache import Cache, CachedInstance
from mizzen.acm.participant.calls import Call, DefinitionCall
from mizzen.acm.participant.moments import moment
from mizzen.acm.participant.operations import Operation
from mizzen.acm.participant.stages import migrate_stages, prepare_stages, start_phase
from mizzen.acm.participant.told import Told, told

_log = logging.getLogger(__name__)

_DEPLOY_ORDERS = {DeployOrder.UNDEPLOY: Operation.UNDEPLOY, DeployOrder.DELETE: Operation.DELETE}
_LOCK_ORDERS = {LockOrder.LOCK: Operation.LOCK, LockOrder.UNLOCK: Operation.UNLOCK}
# What is only ever asked of something deployed, and leaves it so.
_OF_DEPLOYED = (Operation.LOCK, Operation.UNLOCK, Operation.REVIEW, Operation.PRECHECK)

InstanceOrder = Deploy | StateChange | PropertiesUpdate | Prepare | Migration


def prime_call(message: Prime, cache: Cache) -> DefinitionCall | None:
    """What a prime or deprime asks; None where it is nothing that this participant takes part in."""
    composition, revision = message.composition_id, message.revision_id_composition
    if composition is None:
        return None
    dto = next((entry for entry in message.prime_dto_list or () if entry.participant_id == cache.participant), None)
    listed = [entry for entry in message.participant_definition_updates if entry.participant_id == cache.participant]
    order = message.prime_order
    if order is None:
        order = PrimeOrder.PRIME if message.participant_definition_updates else PrimeOrder.DEPRIME
    if order is PrimeOrder.PRIME:
        if dto is not None:
            maps = dto.composition_dto
            known = cache.define_flat(composition, revision, maps.in_properties_map, maps.out_properties_map)
        elif listed:
            known = cache.define(composition, revision, listed)
        else:
            return None
    elif order is PrimeOrder.DEPRIME and (dto is not None or composition in cache.compositions):
        if composition not in cache.compositions and dto is not None:
            maps = dto.composition_dto
            cache.define_flat(composition, revision, maps.in_properties_map, maps.out_properties_map)
        known = cache.compositions[composition]
    else:
        return None
    return DefinitionCall(
        prime=order, composition=known.for_handler(), order=message.message_id, at=moment(message.timestamp)
    )


def calls(message: InstanceOrder, cache: Cache) -> list[Call]:
    """What an order asks of this participant's elements, now; the order is remembered."""
    instance_id = message.automation_composition_id
    if instance_id is None:
        return []
    elements = told(message, cache)
    if not elements:
        _log.debug("%s of instance %s names no element of ours", type(message).__name__, instance_id)
        return []
    match message:
        case Deploy():
            return _deploy(message, instance_id, elements, cache)
        case StateChange():
            return _state_change(message, elements, cache)
        case PropertiesUpdate():
            return _update(message, elements, cache)
        case Prepare():
            return _prepare(message, instance_id, elements, cache)
        case Migration():
            return _migration(message, instance_id, elements, cache)


def _deploy(message: Deploy, instance_id: UUID, elements: list[Told], cache: Cache) -> list[Call]:
    first = message.first_start_phase or instance_id not in cache.instances
    if first:
        _begin(message, instance_id, elements, cache)
    cache.instances[instance_id].deploy_state = DeployState.DEPLOYING
    if first:
        for element in cache.instances[instance_id].elements.values():
            element.deploy_state, element.lock_state = DeployState.DEPLOYING, LockState.NONE
    turn = _of_phase(elements, message.start_phase)
    return _ordered(message, Operation.DEPLOY, turn, cache)


def _state_change(message: StateChange, elements: list[Told], cache: Cache) -> list[Call]:
    operation = _DEPLOY_ORDERS.get(message.deploy_ordered_state) or _LOCK_ORDERS.get(message.lock_ordered_state)
    if operation is None:
        _log.warning("a state change of instance %s orders nothing", message.automation_composition_id)
        return []
    found = _ordered(message, operation, _of_phase(elements, message.start_phase), cache)
    instance = _instance(message, cache)
    if instance:
        rule = operation.rule
        instance.deploy_state = rule.going or instance.deploy_state
        instance.lock_state = rule.going_lock or instance.lock_state
        if operation is Operation.UNDEPLOY:
            instance.composition_target_id = None
    return found


def _update(message: PropertiesUpdate, elements: list[Told], cache: Cache) -> list[Call]:
    operation = Operation.ROLLBACK_UPDATE if message.rollback else Operation.UPDATE
    pairs = [Told(each.before or each.after, each.after) for each in elements if each.after]
    found = _ordered(message, operation, pairs, cache)
    if (instance := _instance(message, cache)) and operation.rule.going:
        instance.deploy_state = operation.rule.going
    return found


def _prepare(message: Prepare, instance_id: UUID, elements: list[Told], cache: Cache) -> list[Call]:
    if not message.pre_deploy:
        return _ordered(message, Operation.REVIEW, elements, cache)
    _begin(message, instance_id, elements, cache)
    for element in cache.instances[instance_id].elements.values():
        element.deploy_state, element.lock_state = DeployState.UNDEPLOYED, LockState.NONE
    turn = [
        each for each in elements if each.after and message.stage in prepare_stages(each.after.composition_properties)
    ]
    return _ordered(message, Operation.PREPARE, turn, cache, message.stage)


def _migration(message: Migration, instance_id: UUID, elements: list[Told], cache: Cache) -> list[Call]:
    if instance_id not in cache.instances and message.composition_id:
        instance = CachedInstance(
            instance_id=instance_id, composition_id=message.composition_id, revision=message.revision_id_instance
        )
        instance.deploy_state, instance.lock_state = DeployState.DEPLOYED, LockState.LOCKED
        cache.instances[instance_id] = instance
    if message.precheck:
        return _ordered(message, Operation.PRECHECK, elements, cache)
    operation = Operation.ROLLBACK_MIGRATE if message.rollback else Operation.MIGRATE
    instance = cache.instances[instance_id]
    instance.composition_target_id = message.composition_target_id
    instance.deploy_state = operation.rule.going or instance.deploy_state
    # What is to go has no stages in the definition that it goes from: its turn is the first message's.
    first = message.first_stage or message.stage == 0
    turn = [
        each
        for each in elements
        if (message.stage in migrate_stages(each.after.composition_properties) if each.after else first)
    ]
    return _ordered(message, operation, turn, cache, message.stage)


def _of_phase(elements: Iterable[Told], phase: int) -> list[Told]:
    return [each for each in elements if start_phase(each.present.composition_properties) == phase]


def _begin(message: Deploy | Prepare, instance_id: UUID, elements: list[Told], cache: Cache) -> None:
    present = [each.present for each in elements]
    composition = message.composition_id or present[0].composition_id
    cache.begin(instance_id, composition, message.revision_id_instance, present)


def _ordered(
    message: InstanceOrder, operation: Operation, elements: Iterable[Told], cache: Cache, stage: int = 0
) -> list[Call]:
    rule, found = operation.rule, []
    for each in elements:
        known = cache.element(each.present.instance_id, each.present.element_id)
        # A check changes nothing; and what is to go is remembered as it was until it has gone.
        if known is None:
            known = cache.add(each.present)
            if operation in _OF_DEPLOYED:
                known.deploy_state, known.lock_state = DeployState.DEPLOYED, LockState.LOCKED
        elif each.after and operation is not Operation.PRECHECK:
            known = cache.add(each.present)
        known.deploy_state = rule.going or known.deploy_state
        known.lock_state = rule.going_lock or known.lock_state
        known.sub_state = rule.sub
        if operation in (Operation.MIGRATE, Operation.ROLLBACK_MIGRATE):
            known.lock_state = LockState.LOCKED
        found.append(
            Call(
                operation=operation,
                before=each.before,
                after=each.after,
                stage=stage,
                order=message.message_id,
                at=moment(message.timestamp),
            )
        )
    return found


def _instance(message: InstanceOrder, cache: Cache) -> CachedInstance | None:
    return cache.instances.get(message.automation_composition_id) if message.automation_composition_id else None
