"""What the runtime tells every replica: remembered, and acted upon.

A ``restarting`` one is for a replica that has just come, or has asked. What such a replica finds on the way (deploying,
undeploying, updating, going back) it takes up again, since whoever was at it may be gone, and acknowledges; handlers
are written so that two may do the same. Elsewhere a synchronisation ends what it contradicts: an operation that has
timed out, or that another replica has brought to its end. One that was sent before the order says nothing about it: the
two come over different topics.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

from mizzen.acm.messages.elements import InstanceRestart
from mizzen.acm.messages.states import AcTypeState, DeployState, StateChangeResult
from mizzen.acm.messages.sync import Sync
from mizzen.acm.participant.cache import Cache, CachedElement, CachedInstance
from mizzen.acm.participant.calls import Call
from mizzen.acm.participant.execution import Execution
from mizzen.acm.participant.held import Holding
from mizzen.acm.participant.identity import Identity
from mizzen.acm.participant.moments import moment
from mizzen.acm.participant.operations import Operation
from mizzen.acm.participant.orders import InstanceOrder
from mizzen.acm.participant.stages import start_phase
from mizzen.acm.participant.watching import Watching

_log = logging.getLogger(__name__)

_RESUMED = {
    DeployState.DEPLOYING: Operation.DEPLOY,
    DeployState.UNDEPLOYING: Operation.UNDEPLOY,
    DeployState.UPDATING: Operation.UPDATE,
    DeployState.UPDATE_REVERTING: Operation.ROLLBACK_UPDATE,
}
_NOT_DEPLOYED = (DeployState.UNDEPLOYED, DeployState.DELETED, DeployState.DELETING)


class Synchronisation:
    """
    Args:
        release: carries out an order that was held.
    """

    def __init__(
        self,
        me: Identity,
        cache: Cache,
        holding: Holding,
        execution: Execution,
        watching: Watching,
        release: Callable[[InstanceOrder], None],
    ) -> None:
        self._me = me
        self._cache = cache
        self._holding = holding
        self._execution = execution
        self._watching = watching
        self._release = release

    def take(self, message: Sync) -> None:
        """Remember what a synchronisation says, and do what follows from it."""
        if self._me.replica_id in message.exclude_replicas:
            return
        at = moment(message.timestamp)
        if message.state_change_result is StateChangeResult.TIMEOUT and message.composition_id:
            self._execution.cancel(message.composition_id, at, "it has timed out")
        if message.delete:
            self._forget(message, at)
            return
        composition = message.composition_id
        if composition and (message.participant_definition_updates or message.restarting):
            self._cache.define(composition, message.revision_id_composition, message.participant_definition_updates)
            self._holding.composition_told(composition)
        for told in message.automation_compositions:
            if composition:
                self._instance(message, composition, told, at)
            self._holding.instance_told(told.automation_composition_id)
        released = self._holding.released()
        if message.restarting:
            self._resume(message.automation_compositions, at)
        # Last: an order that has waited is newer than what is on the way, and takes its place.
        for order in released:
            _log.info("%s of instance %s is released", type(order).__name__, order.automation_composition_id)
            self._release(order)

    def _forget(self, message: Sync, at: int) -> None:
        for told in message.automation_compositions:
            instance = self._cache.instances.pop(told.automation_composition_id, None)
            self._holding.forget_instance(told.automation_composition_id)
            if instance:
                self._end(instance, instance.elements.values(), at)
        if message.state is AcTypeState.COMMISSIONED and message.composition_id:
            self._cache.compositions.pop(message.composition_id, None)

    def _end(self, instance: CachedInstance, elements: Iterable[CachedElement], at: int) -> None:
        for element in [*elements]:
            self._execution.cancel(element.element_id, at, "the runtime has deleted the element")
            self._watching.gone(self._cache.for_handler(instance, element), DeployState.DELETED)

    def _instance(self, message: Sync, composition: UUID, told: InstanceRestart, at: int) -> None:
        before = self._cache.instances.get(told.automation_composition_id)
        if not self._cache.own(told) and before is None:
            return
        if told.deploy_state is DeployState.DELETED:
            if before:
                self._end(before, before.elements.values(), at)
                del self._cache.instances[told.automation_composition_id]
            return
        instance = self._cache.put(composition, told)
        if before:
            lost = [element for key, element in before.elements.items() if key not in instance.elements]
            self._end(before, lost, at)
        for element in instance.elements.values():
            self._contradict(told, element, at)
            self._watch(instance, element)

    def _contradict(self, told: InstanceRestart, element: CachedElement, at: int) -> None:
        if told.state_change_result is StateChangeResult.TIMEOUT:
            self._execution.cancel(element.element_id, at, "the operation has timed out")
            return
        call = self._execution.call_for(element.element_id)
        if call is None:
            return
        rule = call.operation.rule
        if rule.going not in (None, element.deploy_state) or rule.going_lock not in (None, element.lock_state):
            said = element.deploy_state if rule.going else element.lock_state
            self._execution.cancel(element.element_id, at, f"the runtime says that it is {said}")

    def _watch(self, instance: CachedInstance, element: CachedElement) -> None:
        if self._execution.call_for(element.element_id) is not None:
            return
        told = self._cache.for_handler(instance, element)
        if element.deploy_state is DeployState.DEPLOYED:
            self._watching.deployed(told)
        elif element.deploy_state in _NOT_DEPLOYED:
            self._watching.gone(told, element.deploy_state)

    def _resume(self, instances: Sequence[InstanceRestart], at: int) -> None:
        """Take up again what is on the way."""
        for told in instances:
            instance = self._cache.instances.get(told.automation_composition_id)
            if instance is None:
                continue
            self._execution.run(
                call
                for call in _turn(self._cache, instance, at)
                if self._execution.call_for(call.element.element_id) is None
            )


def _turn(cache: Cache, instance: CachedInstance, at: int) -> list[Call]:
    """Calls for those elements whose phase it can be. Which one it is, the runtime does not say: of those on the way,
    the lowest comes first when deploying, and the highest when undeploying; others follow by its orders."""
    found: dict[Operation, list[Call]] = {}
    for element in instance.elements.values():
        operation = _RESUMED.get(element.deploy_state)
        if operation is not None:
            told = cache.for_handler(instance, element)
            found.setdefault(operation, []).append(Call(operation=operation, before=told, after=told, at=at))
    calls = []
    for operation, each in found.items():
        phases = {start_phase(call.element.composition_properties) for call in each}
        turn = {Operation.DEPLOY: min(phases), Operation.UNDEPLOY: max(phases)}.get(operation)
        calls += [call for call in each if turn is None or start_phase(call.element.composition_properties) == turn]
    return calls
