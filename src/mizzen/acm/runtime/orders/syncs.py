"""What participants are told of how things stand, on the sync topic."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from mizzen.acm.messages.elements import ElementRestart, InstanceRestart
from mizzen.acm.messages.states import AcTypeState, DeployState, LockState, StateChangeResult
from mizzen.acm.messages.sync import Sync
from mizzen.acm.runtime.model import Composition, Element, Instance
from mizzen.acm.runtime.orders import prime
from mizzen.acm.runtime.orders.definition import Definition


def of_composition(definition: Definition) -> Sync:
    """It has settled, failed or timed out. Once it is deprimed, everybody forgets it."""
    composition = definition.composition
    gone = composition.state is AcTypeState.COMMISSIONED
    return Sync(
        composition_id=composition.id,
        revision_id_composition=composition.revision,
        participant_id_list=[] if gone else composition.participants,
        state=composition.state,
        participant_definition_updates=[] if gone else prime.definitions(definition),
        delete=gone,
        state_change_result=composition.result,
    )


def of_instance(instance: Instance, participants: list[UUID] | None = None) -> Sync:
    """It has settled, failed or timed out; told to all of its participants, or to those given."""
    return Sync(
        composition_id=instance.composition_id,
        automation_composition_id=instance.id,
        participant_id_list=instance.participants if participants is None else participants,
        state=AcTypeState.PRIMED,
        automation_compositions=[restart_of(instance, instance.elements.values(), instance.result)],
    )


def of_deletion(instance: Instance, participant: UUID | None = None) -> Sync:
    """It is gone for everybody, or for a participant that has no element of it any more."""
    told = InstanceRestart(
        automation_composition_id=instance.id,
        deploy_state=DeployState.DELETED,
        lock_state=LockState.NONE,
        state_change_result=StateChangeResult.NO_ERROR,
        revision_id=instance.revision,
    )
    return Sync(
        composition_id=instance.composition_id,
        automation_composition_id=instance.id,
        participant_id=participant,
        state=AcTypeState.PRIMED,
        automation_compositions=[told],
        delete=True,
    )


def of_restart(definition: Definition, instances: Iterable[Instance], participant: UUID, replica: UUID | None) -> Sync:
    """Everything that a participant, or one replica of it, should know of a composition."""
    composition: Composition = definition.composition
    return Sync(
        composition_id=composition.id,
        revision_id_composition=composition.revision,
        participant_id=participant,
        replica_id=replica,
        participant_id_list=[participant],
        state=composition.state,
        participant_definition_updates=prime.definitions(definition, participant),
        automation_compositions=[
            restart_of(one, one.elements.values(), None) for one in instances if participant in one.participants
        ],
        restarting=True,
        state_change_result=composition.result,
    )


def restart_of(instance: Instance, elements: Iterable[Element], result: StateChangeResult | None) -> InstanceRestart:
    return InstanceRestart(
        automation_composition_id=instance.id,
        deploy_state=instance.deploy,
        lock_state=instance.lock,
        state_change_result=result,
        revision_id=instance.revision,
        composition_target_id=instance.target_id,
        ac_element_list=[
            ElementRestart(
                id=one.id,
                definition=one.definition,
                participant_id=one.participant_id,
                deploy_state=one.deploy,
                lock_state=one.lock,
                migration_state=one.migration,
                operational_state=one.operational_state,
                use_state=one.use_state,
                properties=one.properties,
                out_properties=one.out_properties,
            )
            for one in elements
        ],
    )
