"""What can be asked of an element: the states on the way, the states after, and the words of Java's participant."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from mizzen.acm.messages.states import DeployState, LockState, SubState


class Rule(Struct, frozen=True):
    """
    Attributes:
        going: the element's deploy state meanwhile; None leaves it as it is.
        done, failed: its deploy state afterwards; None leaves it as it is.
        going_lock, done_lock, failed_lock: the same of its lock, for orders that are about it.
        sub: what goes on beside the deploy state.
        failure: what an acknowledgement says, or begins with.
        compares: whether, where the handler does not do it, nothing to be done is as good as done.
    """

    failure: str
    going: DeployState | None = None
    done: DeployState | None = None
    failed: DeployState | None = None
    going_lock: LockState | None = None
    done_lock: LockState | None = None
    failed_lock: LockState | None = None
    sub: SubState = SubState.NONE
    compares: bool = False


class Operation(Enum):
    """The names are those of the handler's methods."""

    DEPLOY = "deploy"
    UNDEPLOY = "undeploy"
    DELETE = "delete"
    LOCK = "lock"
    UNLOCK = "unlock"
    UPDATE = "update"
    ROLLBACK_UPDATE = "rollback_update"
    MIGRATE = "migrate"
    ROLLBACK_MIGRATE = "rollback_migrate"
    PRECHECK = "precheck"
    PREPARE = "prepare"
    REVIEW = "review"

    @property
    def rule(self) -> Rule:
        return _RULES[self]


_ELEMENT = "Automation composition element"
_RULES = {
    Operation.DEPLOY: Rule(
        f"{_ELEMENT} deploy failed", DeployState.DEPLOYING, DeployState.DEPLOYED, DeployState.UNDEPLOYED
    ),
    Operation.UNDEPLOY: Rule(
        f"{_ELEMENT} undeploy failed", DeployState.UNDEPLOYING, DeployState.UNDEPLOYED, DeployState.DEPLOYED
    ),
    Operation.DELETE: Rule(
        f"{_ELEMENT} delete failed", DeployState.DELETING, DeployState.DELETED, DeployState.UNDEPLOYED
    ),
    Operation.LOCK: Rule(
        f"{_ELEMENT} lock failed",
        going_lock=LockState.LOCKING,
        done_lock=LockState.LOCKED,
        failed_lock=LockState.UNLOCKED,
    ),
    Operation.UNLOCK: Rule(
        f"{_ELEMENT} unlock failed",
        going_lock=LockState.UNLOCKING,
        done_lock=LockState.UNLOCKED,
        failed_lock=LockState.LOCKED,
    ),
    Operation.UPDATE: Rule(
        f"{_ELEMENT} update failed",
        DeployState.UPDATING,
        DeployState.DEPLOYED,
        DeployState.DEPLOYED,
        compares=True,
    ),
    Operation.ROLLBACK_UPDATE: Rule(
        f"{_ELEMENT} update failed",
        DeployState.UPDATE_REVERTING,
        DeployState.DEPLOYED,
        DeployState.DEPLOYED,
        compares=True,
    ),
    Operation.MIGRATE: Rule(
        f"{_ELEMENT} migrate failed",
        DeployState.MIGRATING,
        DeployState.DEPLOYED,
        DeployState.DEPLOYED,
        compares=True,
    ),
    Operation.ROLLBACK_MIGRATE: Rule(
        "Automation composition rollback migrate failed",
        DeployState.MIGRATION_REVERTING,
        DeployState.DEPLOYED,
        DeployState.DEPLOYED,
        compares=True,
    ),
    Operation.PRECHECK: Rule(
        f"{_ELEMENT} migrate precheck failed",
        done=DeployState.DEPLOYED,
        failed=DeployState.DEPLOYED,
        sub=SubState.MIGRATION_PRECHECKING,
        compares=True,
    ),
    Operation.PREPARE: Rule(
        f"{_ELEMENT} prepare Pre Deploy failed",
        done=DeployState.UNDEPLOYED,
        failed=DeployState.UNDEPLOYED,
        sub=SubState.PREPARING,
    ),
    Operation.REVIEW: Rule(
        f"{_ELEMENT} Review failed",
        done=DeployState.DEPLOYED,
        failed=DeployState.DEPLOYED,
        sub=SubState.REVIEWING,
    ),
}

PRIME_FAILED = "Composition Definition prime failed"
DEPRIME_FAILED = "Composition Definition deprime failed"
# What Java's KServe participant says beside the library's texts.
_HANDLERS_OWN = ("Deploy Failed", "Undeploy Failed", "Not supported", "Not implemented")

FAILURES = frozenset({*(rule.failure for rule in _RULES.values()), PRIME_FAILED, DEPRIME_FAILED, *_HANDLERS_OWN})
