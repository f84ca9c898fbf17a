"""What participants' answers do to an instance.

An answer counts for what was asked. One that answers an earlier order, or says of an element what the present order
cannot bring about, came too late and changes nothing: an element that was told to go must not be taken for deployed
because a message was long on its way. Answers after a time-out are welcome.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from mizzen.acm.messages.acks import StateChangeAck
from mizzen.acm.messages.elements import ElementAck
from mizzen.acm.messages.envelope import cut
from mizzen.acm.messages.states import DeployState, LockState, StateChangeResult, SubState, on_the_way
from mizzen.acm.runtime.model import Element, Instance
from mizzen.acm.runtime.orders.operations import AFTER, DURING, Operation, leaves, operation

_ANSWERS = (StateChangeResult.NO_ERROR, StateChangeResult.FAILED)


def apply(instance: Instance, ack: StateChangeAck, asked: Collection[UUID]) -> str | None:
    """Take over what an answer says.

    Args:
        asked: the messages of the present order, by id.

    Returns:
        None, or why nothing was taken over.
    """
    if ack.state_change_result not in _ANSWERS:
        return f"stateChangeResult is {ack.state_change_result or 'missing'}"
    told = ack.automation_composition_result_map or _never_used(instance, ack.participant_id)
    if ack.stage is None and any(on_the_way(one.deploy_state, one.lock_state) for one in told.values()):
        return "an element is between two states, and no stage is given"
    if ack.response_to is not None and ack.response_to not in asked:
        return "it answers an earlier order"
    going_on = operation(instance)
    if going_on is None:
        return "nothing was asked of the instance"
    reasons = []
    for key, one in told.items():
        reason = _apply(instance, going_on, ack, key, one)
        if reason is not None:
            reasons.append(f"element {key}: {reason}")
    if len(reasons) == len(told):
        return "; ".join(reasons) or "the participant has no element of the instance"
    if ack.state_change_result is StateChangeResult.FAILED:
        instance.result = StateChangeResult.FAILED
        instance.deadline = None
    return None


def _never_used(instance: Instance, participant: UUID | None) -> dict[UUID, ElementAck]:
    """A participant that knows nothing of an instance has nothing left to delete."""
    return {
        key: ElementAck(deploy_state=DeployState.DELETED, lock_state=LockState.NONE, message="")
        for key, element in instance.elements.items()
        if element.participant_id == participant
    }


def _apply(instance: Instance, going_on: Operation, ack: StateChangeAck, key: UUID, told: ElementAck) -> str | None:
    element = instance.elements.get(key)
    if element is None:
        return "unknown"
    if ack.participant_id is not None and ack.participant_id != element.participant_id:
        return f"it is of participant {element.participant_id}"
    failed = ack.state_change_result is StateChangeResult.FAILED
    if ack.stage is not None and not failed:
        if told.deploy_state is not DURING[going_on][0]:
            return f"{told.deploy_state} is no state of {going_on}"
    elif not failed and not _fits(going_on, element, told):
        return f"{told.deploy_state}/{told.lock_state} is no result of {going_on}"
    gone = not failed and ack.stage is None and leaves(element, going_on)
    element.deploy = DeployState.DELETED if gone else told.deploy_state
    element.lock = told.lock_state
    element.message = cut(told.message) if told.message is not None else None
    element.stage = ack.stage
    if ack.stage is None:
        element.sub = SubState.NONE
    if ack.out_properties_updated:
        element.out_properties = told.out_properties
        element.operational_state = told.operational_state
        element.use_state = told.use_state
    return None


def _fits(going_on: Operation, element: Element, told: ElementAck) -> bool:
    if leaves(element, going_on):
        return told.deploy_state in (DeployState.DELETED, DeployState.UNDEPLOYED)
    deploy, lock = AFTER[going_on]
    locks = going_on in (Operation.LOCK, Operation.UNLOCK)
    return told.deploy_state is deploy and (not locks or told.lock_state is lock)
