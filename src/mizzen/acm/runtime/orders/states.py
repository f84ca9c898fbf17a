"""Which orders are taken in which state.

Whatever is not listed is refused, and more than one order at a time matches nothing. The lists are the ones of ONAP's
runtime, so its clients find the same buttons alive.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from mizzen.acm.messages.states import (
    AcTypeState,
    DeployOrder,
    DeployState,
    LockOrder,
    LockState,
    PrimeOrder,
    StateChangeResult,
    SubOrder,
    SubState,
)

State = tuple[DeployState, LockState, SubState, StateChangeResult]

_OK = (StateChangeResult.NO_ERROR,)
_NOT_OK = (StateChangeResult.FAILED, StateChangeResult.TIMEOUT)
_D, _L, _S = DeployState, LockState, SubState


def _states(
    deploy: Iterable[DeployState],
    lock: Iterable[LockState],
    sub: Iterable[SubState],
    result: Iterable[StateChangeResult],
) -> frozenset[State]:
    return frozenset(product(deploy, lock, sub, result))


_UNDEPLOYED = _states([_D.UNDEPLOYED], [_L.NONE], [_S.NONE], _OK)
_DEPLOYED = _states([_D.DEPLOYED], [_L.LOCKED], [_S.NONE], _OK)
_HALF = _states([_D.DEPLOYING, _D.UNDEPLOYING], [_L.NONE, _L.LOCKED], [_S.NONE], _NOT_OK)
_CHANGED = _states(
    [_D.UPDATING, _D.MIGRATING, _D.MIGRATION_REVERTING, _D.UPDATE_REVERTING], [_L.LOCKED], [_S.NONE], _NOT_OK
)
_HALF_LOCKED = _states([_D.DEPLOYED], [_L.LOCKING, _L.UNLOCKING], [_S.NONE], _NOT_OK)
_PREPARING = _states([_D.UNDEPLOYED], [_L.NONE], [_S.PREPARING], _NOT_OK)
_REVIEWING = _states([_D.DEPLOYED], [_L.LOCKED], [_S.REVIEWING], _NOT_OK)
_PRECHECKING = _states([_D.DEPLOYED], [_L.LOCKED], [_S.MIGRATION_PRECHECKING], _NOT_OK)
_UPDATING = _states([_D.UPDATING], [_L.LOCKED], [_S.NONE], _NOT_OK)
_MIGRATING = _states([_D.MIGRATING], [_L.LOCKED], [_S.NONE], _NOT_OK)
_DELETING = _states([_D.DELETING], [_L.NONE], [_S.NONE], _NOT_OK)
_UNLOCKED = _states([_D.DEPLOYED], [_L.UNLOCKED], [_S.NONE], _OK)

ALLOWED: dict[str, frozenset[State]] = {
    "DEPLOY": _UNDEPLOYED | _HALF,
    "UNDEPLOY": _DEPLOYED | _HALF | _CHANGED,
    "DELETE": _UNDEPLOYED | _PREPARING | _DELETING,
    "UPDATE": _DEPLOYED | _UPDATING,
    "MIGRATE": _DEPLOYED,
    "MIGRATE_PRECHECK": _DEPLOYED | _PRECHECKING,
    "UPDATE_REVERT": _UPDATING,
    "MIGRATION_REVERT": _MIGRATING,
    "PREPARE": _UNDEPLOYED | _PREPARING,
    "REVIEW": _DEPLOYED | _REVIEWING,
    "UNLOCK": _DEPLOYED | _HALF_LOCKED,
    "LOCK": _UNLOCKED | _HALF_LOCKED,
}

_T = AcTypeState
_PRIME = {(state, result) for state in (_T.PRIMING, _T.DEPRIMING) for result in _NOT_OK}
PRIME_ALLOWED = frozenset(_PRIME | {(_T.COMMISSIONED, _OK[0]), (_T.PRIMED, _OK[0])})


def resolve(deploy: DeployOrder | None, lock: LockOrder | None, sub: SubOrder | None, state: State) -> str | None:
    """The one order that is given, if it is taken in that state; else None."""
    given = [order for order in (deploy, lock, sub) if order is not None and order.value != "NONE"]
    if len(given) != 1:
        return None
    name = given[0].value
    return name if state in ALLOWED.get(name, ()) else None


def takes(order: PrimeOrder | None, state: AcTypeState, result: StateChangeResult) -> bool:
    """Whether a composition can be primed or deprimed."""
    return order in (PrimeOrder.PRIME, PrimeOrder.DEPRIME) and (state, result) in PRIME_ALLOWED


def allowed(state: State) -> list[str]:
    """The orders that are taken in a state."""
    return [name for name, states in ALLOWED.items() if state in states]
