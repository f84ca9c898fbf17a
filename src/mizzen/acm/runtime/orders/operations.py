"""What is going on with an instance, read from its state.

One word for it saves every other place from asking three states at once. The state is all there is: after a restart
the runtime knows from it what it was doing.
"""

from __future__ import annotations

from enum import StrEnum

from mizzen.acm.messages.states import DeployState, LockState, MigrationState, SubState
from mizzen.acm.runtime.model import Element, Instance


class Operation(StrEnum):
    DEPLOY = "DEPLOY"
    UNDEPLOY = "UNDEPLOY"
    DELETE = "DELETE"
    LOCK = "LOCK"
    UNLOCK = "UNLOCK"
    UPDATE = "UPDATE"
    UPDATE_REVERT = "UPDATE_REVERT"
    MIGRATE = "MIGRATE"
    MIGRATION_REVERT = "MIGRATION_REVERT"
    MIGRATE_PRECHECK = "MIGRATE_PRECHECK"
    PREPARE = "PREPARE"
    REVIEW = "REVIEW"


_O, _D, _L, _S = Operation, DeployState, LockState, SubState

# What instance and elements are while it goes on.
DURING: dict[Operation, tuple[DeployState, LockState, SubState]] = {
    _O.DEPLOY: (_D.DEPLOYING, _L.NONE, _S.NONE),
    _O.UNDEPLOY: (_D.UNDEPLOYING, _L.NONE, _S.NONE),
    _O.DELETE: (_D.DELETING, _L.NONE, _S.NONE),
    _O.LOCK: (_D.DEPLOYED, _L.LOCKING, _S.NONE),
    _O.UNLOCK: (_D.DEPLOYED, _L.UNLOCKING, _S.NONE),
    _O.UPDATE: (_D.UPDATING, _L.LOCKED, _S.NONE),
    _O.UPDATE_REVERT: (_D.UPDATE_REVERTING, _L.LOCKED, _S.NONE),
    _O.MIGRATE: (_D.MIGRATING, _L.LOCKED, _S.NONE),
    _O.MIGRATION_REVERT: (_D.MIGRATION_REVERTING, _L.LOCKED, _S.NONE),
    _O.MIGRATE_PRECHECK: (_D.DEPLOYED, _L.LOCKED, _S.MIGRATION_PRECHECKING),
    _O.PREPARE: (_D.UNDEPLOYED, _L.NONE, _S.PREPARING),
    _O.REVIEW: (_D.DEPLOYED, _L.LOCKED, _S.REVIEWING),
}

# What an instance is afterwards, and an element that has done it. A deleted instance is no more.
AFTER: dict[Operation, tuple[DeployState, LockState]] = {
    _O.DEPLOY: (_D.DEPLOYED, _L.LOCKED),
    _O.UNDEPLOY: (_D.UNDEPLOYED, _L.NONE),
    _O.DELETE: (_D.DELETED, _L.NONE),
    _O.LOCK: (_D.DEPLOYED, _L.LOCKED),
    _O.UNLOCK: (_D.DEPLOYED, _L.UNLOCKED),
    _O.UPDATE: (_D.DEPLOYED, _L.LOCKED),
    _O.UPDATE_REVERT: (_D.DEPLOYED, _L.LOCKED),
    _O.MIGRATE: (_D.DEPLOYED, _L.LOCKED),
    _O.MIGRATION_REVERT: (_D.DEPLOYED, _L.LOCKED),
    _O.MIGRATE_PRECHECK: (_D.DEPLOYED, _L.LOCKED),
    _O.PREPARE: (_D.UNDEPLOYED, _L.NONE),
    _O.REVIEW: (_D.DEPLOYED, _L.LOCKED),
}

ASCENDING = frozenset({_O.DEPLOY, _O.UNLOCK})
DESCENDING = frozenset({_O.UNDEPLOY, _O.LOCK, _O.DELETE})
MIGRATIONS = frozenset({_O.MIGRATE, _O.MIGRATION_REVERT})
STAGED = MIGRATIONS | {_O.PREPARE}

_BY_DEPLOY: dict[DeployState, Operation] = {
    during[0]: operation for operation, during in DURING.items() if during[0] not in (_D.DEPLOYED, _D.UNDEPLOYED)
}
_BY_SUB: dict[SubState, Operation] = {
    during[2]: operation for operation, during in DURING.items() if during[2] is not _S.NONE
}
_BY_LOCK: dict[LockState, Operation] = {_L.LOCKING: _O.LOCK, _L.UNLOCKING: _O.UNLOCK}


def operation(instance: Instance) -> Operation | None:
    """None while nothing is going on."""
    return _BY_SUB.get(instance.sub) or _BY_DEPLOY.get(instance.deploy) or _BY_LOCK.get(instance.lock)


def leaves(element: Element, going_on: Operation) -> bool:
    """Whether an element is gone when this is done: one that a migration removes, or that its reversal takes back."""
    return (going_on is _O.MIGRATE and element.migration is MigrationState.REMOVED) or (
        going_on is _O.MIGRATION_REVERT and element.migration is MigrationState.NEW
    )
