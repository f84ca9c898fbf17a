"""The words of automation compositions: states, orders and results, spelt as they are sent."""

from __future__ import annotations

from enum import StrEnum


class AcTypeState(StrEnum):
    """Where a composition is. The ``-ING`` ones are on the way; failure shows in the result beside them."""

    COMMISSIONED = "COMMISSIONED"
    PRIMING = "PRIMING"
    PRIMED = "PRIMED"
    DEPRIMING = "DEPRIMING"


class DeployState(StrEnum):
    """Where an instance or one of its elements is."""

    DEPLOYED = "DEPLOYED"
    DEPLOYING = "DEPLOYING"
    UNDEPLOYED = "UNDEPLOYED"
    UNDEPLOYING = "UNDEPLOYING"
    DELETING = "DELETING"
    DELETED = "DELETED"
    UPDATING = "UPDATING"
    MIGRATING = "MIGRATING"
    MIGRATION_REVERTING = "MIGRATION_REVERTING"
    UPDATE_REVERTING = "UPDATE_REVERTING"


class LockState(StrEnum):
    """Whether an instance may be changed (``LOCKED``: it may) or is in use. ``NONE`` while it is not deployed."""

    LOCKED = "LOCKED"
    LOCKING = "LOCKING"
    UNLOCKED = "UNLOCKED"
    UNLOCKING = "UNLOCKING"
    NONE = "NONE"


class SubState(StrEnum):
    """What goes on beside the deploy state."""

    NONE = "NONE"
    MIGRATION_PRECHECKING = "MIGRATION_PRECHECKING"
    PREPARING = "PREPARING"
    REVIEWING = "REVIEWING"


class StateChangeResult(StrEnum):
    """How the last change went, or goes."""

    NO_ERROR = "NO_ERROR"
    FAILED = "FAILED"
    TIMEOUT = "TIMEOUT"


class MigrationState(StrEnum):
    """Whether an element is in both definitions of a migration, or in one of them."""

    DEFAULT = "DEFAULT"
    REMOVED = "REMOVED"
    NEW = "NEW"


class ElementState(StrEnum):
    """The same, as the newer structures say it of one side of a migration."""

    PRESENT = "PRESENT"
    NOT_PRESENT = "NOT_PRESENT"
    REMOVED = "REMOVED"
    NEW = "NEW"


class ParticipantState(StrEnum):
    """Whether a replica has been heard of lately."""

    ON_LINE = "ON_LINE"
    OFF_LINE = "OFF_LINE"


class PrimeOrder(StrEnum):
    """What is asked of a composition."""

    NONE = "NONE"
    PRIME = "PRIME"
    DEPRIME = "DEPRIME"


class DeployOrder(StrEnum):
    """What is asked of an instance."""

    NONE = "NONE"
    UNDEPLOY = "UNDEPLOY"
    DEPLOY = "DEPLOY"
    DELETE = "DELETE"
    UPDATE = "UPDATE"
    RESTARTING = "RESTARTING"
    MIGRATE = "MIGRATE"
    MIGRATION_REVERT = "MIGRATION_REVERT"
    UPDATE_REVERT = "UPDATE_REVERT"


class LockOrder(StrEnum):
    """What is asked of an instance's lock."""

    NONE = "NONE"
    UNLOCK = "UNLOCK"
    LOCK = "LOCK"


class SubOrder(StrEnum):
    """What is asked beside deployment."""

    NONE = "NONE"
    MIGRATE_PRECHECK = "MIGRATE_PRECHECK"
    PREPARE = "PREPARE"
    REVIEW = "REVIEW"


COMPOSITIONS_ON_THE_WAY = frozenset({AcTypeState.PRIMING, AcTypeState.DEPRIMING})
SETTLED = frozenset({DeployState.DEPLOYED, DeployState.UNDEPLOYED, DeployState.DELETED})
LOCKS_ON_THE_WAY = frozenset({LockState.LOCKING, LockState.UNLOCKING})


def on_the_way(deploy: DeployState, lock: LockState, sub: SubState = SubState.NONE) -> bool:
    """Whether an instance or element is between two states."""
    return deploy not in SETTLED or lock in LOCKS_ON_THE_WAY or sub is not SubState.NONE
