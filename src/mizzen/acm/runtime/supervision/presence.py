"""Participants that register, report, ask for what they have missed, and leave."""

from __future__ import annotations

from uuid import UUID

from mizzen.acm.messages.acks import DeregisterAck, RegisterAck
from mizzen.acm.messages.elements import SupportedElementType
from mizzen.acm.messages.reports import Deregister, Register, RequestSync, Status
from mizzen.acm.messages.states import AcTypeState, DeployState
from mizzen.acm.runtime.conduct import Case, Conductor
from mizzen.acm.runtime.model import Instance, SupportedType
from mizzen.acm.runtime.moments import now
from mizzen.acm.runtime.orders import syncs
from mizzen.acm.runtime.store import compositions, instances, participants, pending
from mizzen.acm.runtime.store.engine import Work

_UNNAMED = "participantId or replicaId is missing"


class Presence:
    """Every method applies a message and returns None, or why it did not."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor
        self._post = conductor.post

    def register(self, work: Work, message: Register) -> str | None:
        reason = self._there(work, message, message.participant_supported_element_type, all_of_them=True)
        if reason is None:
            self._post.send(
                work,
                RegisterAck(
                    participant_id=message.participant_id,
                    replica_id=message.replica_id,
                    response_to=message.message_id,
                    message="Participant Register Ack",
                ),
            )
        return reason

    def status(self, work: Work, message: Status) -> str | None:
        reason = self._there(work, message, message.participant_supported_element_type, all_of_them=False)
        if reason is not None:
            return reason
        self._elements(work, message)
        self._definitions(work, message)
        return None

    def deregister(self, work: Work, message: Deregister) -> str | None:
        if message.replica_id is None:
            return _UNNAMED
        gone = participants.leave(work, message.replica_id)
        self._post.send(work, DeregisterAck(response_to=message.message_id, message="Participant Deregister Ack"))
        if gone is None:
            return "the replica was not known"
        self.left(work, gone)
        return None

    def left(self, work: Work, participant: UUID) -> None:
        """A replica is gone. What it was at, those that are left take up again when they are told how things stand."""
        known = participants.get(work, participant)
        if known is not None and known.replicas and pending.any_at_all(work):
            self.restart(work, participant, None)

    def synchronise(self, work: Work, message: RequestSync) -> str | None:
        """Answer with what is outdated, and only that."""
        if message.participant_id is None:
            return _UNNAMED
        answered = False
        if message.composition_target_id is not None:
            answered |= self._restart(work, message, message.composition_target_id, None)
        if message.composition_id is not None:
            answered |= self._restart(work, message, message.composition_id, message.automation_composition_id)
        elif message.automation_composition_id is not None:
            answered |= self._instance(work, message, message.automation_composition_id)
        return None if answered else "what is asked for is not known"

    def restart(self, work: Work, participant: UUID, replica: UUID | None) -> None:
        """Tell a participant, or one replica of it, everything."""
        for composition in compositions.some(work, participant=participant):
            if composition.state is AcTypeState.COMMISSIONED:
                continue
            definition = self._conductor.of(composition)
            below = instances.some(work, composition=composition.id, participant=participant)
            message = syncs.of_restart(definition, below, participant, replica)
            secrets = self._conductor.common_secrets(definition)
            for instance in below:
                secrets |= self._conductor.secrets(Case(instance, definition, None))
            self._post.send(work, message, secrets=secrets)

    def _there(
        self, work: Work, message: Register | Status, told: list[SupportedElementType], *, all_of_them: bool
    ) -> str | None:
        if message.participant_id is None or message.replica_id is None:
            return _UNNAMED
        for (name, version), taker in participants.takers(work).items():
            clash = any((one.type_name, one.type_version) == (name, version) for one in told)
            if clash and taker != message.participant_id:
                return f"the element type {name} {version} is taken by participant {taker}"
        known = participants.get(work, message.participant_id, lock=True)
        if known is None:
            participants.add(work, message.participant_id)
        new_types = {(one.type_name, one.type_version) for one in told}
        changed = (all_of_them or bool(told)) and new_types != (known.takes() if known else set())
        if changed:
            participants.set_types(
                work,
                message.participant_id,
                [SupportedType(one.id, one.type_name, one.type_version) for one in told],
            )
        new = participants.seen(work, message.participant_id, message.replica_id, now())
        if new or (changed and known is not None):
            self.restart(work, message.participant_id, message.replica_id)
        return None

    def _elements(self, work: Work, message: Status) -> None:
        for told in message.automation_composition_info_list:
            instance = instances.get(work, told.automation_composition_id, lock=True)
            if instance is None:
                continue
            for info in told.elements:
                element = instance.elements.get(info.automation_composition_element_id)
                if element is None or element.participant_id != message.participant_id:
                    continue
                element.out_properties = info.out_properties
                element.operational_state = info.operational_state
                element.use_state = info.use_state
            instances.save(work, instance)

    def _definitions(self, work: Work, message: Status) -> None:
        if message.composition_id is None or not message.participant_definition_updates:
            return
        composition = compositions.get(work, message.composition_id, lock=True)
        if composition is None:
            return
        for update in message.participant_definition_updates:
            for told in update.automation_composition_element_definition_list:
                for node in composition.nodes.values():
                    own = node.participant_id == message.participant_id
                    if own and node.definition == told.ac_element_definition_id:
                        node.out_properties = told.out_properties
        compositions.save(work, composition)

    def _restart(self, work: Work, message: RequestSync, key: UUID, instance_id: UUID | None) -> bool:
        definition = self._conductor.definition(work, key)
        if definition is None or message.participant_id is None:
            return False
        instance = instances.get(work, instance_id) if instance_id else None
        below = [instance] if instance is not None else []
        secrets = self._conductor.common_secrets(definition)
        for one in below:
            secrets |= self._conductor.secrets(self._conductor.case(work, one))
        told = syncs.of_restart(definition, below, message.participant_id, message.replica_id)
        self._post.send(work, told, secrets=secrets)
        return True

    def _instance(self, work: Work, message: RequestSync, key: UUID) -> bool:
        instance = instances.get(work, key)
        if instance is None or message.participant_id is None:
            return False
        case = self._conductor.case(work, instance)
        told = self._as_it_was(work, instance)
        self._post.send(work, syncs.of_instance(told, [message.participant_id]), secrets=self._conductor.secrets(case))
        return True

    def _as_it_was(self, work: Work, instance: Instance) -> Instance:
        """While a migration is at its first stage, participants have to know the elements that it begins with."""
        beginning = instance.deploy is DeployState.MIGRATING and instance.phase == instance.first
        kept = instances.before(work, instance.id) if beginning else None
        if kept is not None:
            instance.elements = kept.elements
        return instance
