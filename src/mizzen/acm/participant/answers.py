"""What an acknowledgement says: the state an element is in now, how it went, and why.

A failure begins with the text that Java's participant would send, for those who look for it, and goes on with the
reason. The states after a failure are Java's, too: a runtime decides by them what may be ordered next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson
from msgspec import Struct

from mizzen.acm.messages.acks import PrimeAck, StateChangeAck
from mizzen.acm.messages.concepts import Identifier
from mizzen.acm.messages.elements import ElementAck, PrimeElementAck
from mizzen.acm.messages.envelope import cut
from mizzen.acm.messages.states import (
    AcTypeState,
    DeployState,
    LockState,
    PrimeOrder,
    StateChangeResult,
    SubState,
)
from mizzen.acm.participant.cache import CachedElement
from mizzen.acm.participant.calls import Call, DefinitionCall
from mizzen.acm.participant.handler import Failed, Outcome, Properties
from mizzen.acm.participant.identity import Identity
from mizzen.acm.participant.operations import DEPRIME_FAILED, FAILURES, PRIME_FAILED, Operation

NOT_IMPLEMENTED, NOT_SUPPORTED = "Not implemented", "Not supported"
NEVER_USED = "Already deleted or never used"
NEVER_PRIMED = "Already deprimed or never primed"


class Policy(Struct, frozen=True):
    """Attributes: ``Configuration`` has the same."""

    fail_unsupported: bool = False
    generic_failure_texts: bool = False


class Answer(Struct, frozen=True, kw_only=True):
    """How a call came out.

    Attributes:
        outcome: with the message, and what is to be remembered of the element.
        failed: whether the order has.
    """

    outcome: Outcome
    failed: bool = False


def failure(error: Exception, constant: str, policy: Policy) -> Answer:
    """What is said of a handler that raised. ``constant`` is the operation's own text."""
    out_properties = error.out_properties if isinstance(error, Failed) else None
    said = str(error) if isinstance(error, Failed) else f"{type(error).__name__}: {error}"
    begins = next((known for known in FAILURES if said == known or said.startswith(f"{known}: ")), None)
    if policy.generic_failure_texts:
        message = begins or constant
    else:
        message = said if begins else f"{constant}: {said}"
    return Answer(outcome=Outcome(message=cut(message), out_properties=out_properties), failed=True)


def unsupported(call: Call, policy: Policy) -> Answer:
    """What is said of what the handler does not do."""
    if policy.fail_unsupported:
        return _not_supported("this participant does nothing of that kind", policy)
    before = call.before.properties if call.before else {}
    after = call.after.properties if call.after else {}
    # Java compares what it would send, so the order of keys counts.
    if call.operation.rule.compares and orjson.dumps(before) != orjson.dumps(after):
        return _not_supported("the properties differ, and this participant changes nothing that is deployed", policy)
    return Answer(outcome=Outcome(message=NOT_IMPLEMENTED))


def unsupported_definition(policy: Policy) -> Answer:
    if policy.fail_unsupported:
        return _not_supported("this participant does nothing of that kind", policy)
    return Answer(outcome=Outcome(message=NOT_IMPLEMENTED))


def _not_supported(why: str, policy: Policy) -> Answer:
    message = NOT_SUPPORTED if policy.generic_failure_texts else f"{NOT_SUPPORTED}: {why}"
    return Answer(outcome=Outcome(message=message), failed=True)


def settle(call: Call, answer: Answer, element: CachedElement) -> None:
    """Remember of an element how a call about it came out."""
    rule, outcome = call.operation.rule, answer.outcome
    if outcome.out_properties is not None:
        element.out_properties = dict(outcome.out_properties)
    element.operational_state = outcome.operational_state or element.operational_state
    element.use_state = outcome.use_state or element.use_state
    if outcome.stage is not None and not answer.failed:
        return
    element.sub_state = SubState.NONE
    if rule.done_lock and rule.failed_lock:
        element.lock_state = rule.failed_lock if answer.failed else rule.done_lock
        return
    # A check leaves an element where it is; that the runtime takes it for what a failure says is Java's way.
    if rule.sub is SubState.NONE or answer.failed:
        element.deploy_state = _deploy_state(call, answer, element)
        element.lock_state = _lock(element.deploy_state)


def _deploy_state(call: Call, answer: Answer, element: CachedElement) -> DeployState:
    rule = call.operation.rule
    if answer.failed:
        return rule.failed or element.deploy_state
    if call.removes:
        return DeployState.DELETED
    return rule.done or element.deploy_state


def _lock(state: DeployState) -> LockState:
    return LockState.LOCKED if state is DeployState.DEPLOYED else LockState.NONE


def state_change_ack(me: Identity, call: Call, answer: Answer, element: CachedElement | None) -> StateChangeAck:
    """The acknowledgement for an element that has been settled; None for one that is not remembered."""
    outcome = answer.outcome
    told = ElementAck(
        deploy_state=_told(call, answer, element),
        lock_state=element.lock_state if element else LockState.NONE,
        operational_state=element.operational_state if element else None,
        use_state=element.use_state if element else None,
        out_properties=dict(element.out_properties) if element else {},
        message=cut(outcome.message),
    )
    return StateChangeAck(
        response_to=call.order,
        state_change_result=_result(answer),
        message=cut(outcome.message),
        participant_id=me.participant_id,
        replica_id=me.replica_id,
        automation_composition_id=call.element.instance_id,
        stage=None if answer.failed else outcome.stage,
        out_properties_updated=element is not None and _tells(outcome),
        automation_composition_result_map={call.element.element_id: told},
    )


def _told(call: Call, answer: Answer, element: CachedElement | None) -> DeployState:
    rule = call.operation.rule
    if element is None:
        gone = call.removes and call.operation is not Operation.PRECHECK
        return (rule.failed if answer.failed else DeployState.DELETED if gone else rule.done) or DeployState.DEPLOYED
    if answer.outcome.stage is not None and not answer.failed:
        return rule.going or element.deploy_state
    return element.deploy_state


def _tells(outcome: Outcome) -> bool:
    return (outcome.out_properties, outcome.operational_state, outcome.use_state) != (None, None, None)


def never_used(me: Identity, instance: UUID, order: UUID) -> StateChangeAck:
    """For an instance of which this participant knows nothing and that is to be deleted."""
    return StateChangeAck(
        response_to=order,
        state_change_result=StateChangeResult.NO_ERROR,
        message=NEVER_USED,
        participant_id=me.participant_id,
        replica_id=me.replica_id,
        automation_composition_id=instance,
    )


def prime_ack(me: Identity, call: DefinitionCall, answer: Answer) -> PrimeAck:
    primed = (call.prime is PrimeOrder.PRIME) is not answer.failed
    return PrimeAck(
        response_to=call.order,
        state_change_result=_result(answer),
        message=cut(answer.outcome.message),
        composition_id=call.composition.composition_id,
        participant_id=me.participant_id,
        replica_id=me.replica_id,
        composition_state=AcTypeState.PRIMED if primed else AcTypeState.COMMISSIONED,
        out_properties_list=_definitions_out(answer.outcome.out_properties),
    )


def never_primed(me: Identity, composition: UUID, order: UUID) -> PrimeAck:
    return PrimeAck(
        response_to=order,
        state_change_result=StateChangeResult.NO_ERROR,
        message=NEVER_PRIMED,
        composition_id=composition,
        participant_id=me.participant_id,
        replica_id=me.replica_id,
        composition_state=AcTypeState.COMMISSIONED,
    )


def _definitions_out(out_properties: Properties | None) -> list[PrimeElementAck] | None:
    """By definition, whose keys are identifiers or ``name version``."""
    if out_properties is None:
        return None
    found: Mapping[Any, Any] = out_properties
    return [
        PrimeElementAck(
            element_definition_id=key if isinstance(key, Identifier) else Identifier.of(key), out_properties=dict(value)
        )
        for key, value in found.items()
    ]


def _result(answer: Answer) -> StateChangeResult:
    return StateChangeResult.FAILED if answer.failed else StateChangeResult.NO_ERROR


def definition_failure(call: DefinitionCall) -> str:
    return PRIME_FAILED if call.prime is PrimeOrder.PRIME else DEPRIME_FAILED
