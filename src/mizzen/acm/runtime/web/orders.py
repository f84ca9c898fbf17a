"""The orders as buttons: what each does, and why it cannot be given now.

What may be given, the service says; here is only how it is called, and a sentence for what may not.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

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
    on_the_way,
)
from mizzen.acm.runtime.orders import states
from mizzen.acm.runtime.service import Body
from mizzen.acm.runtime.web.rendering import words


class Button(Struct, frozen=True, kw_only=True):
    """
    Attributes:
        order: the name that the API has for it.
        says: what it does; or, where it cannot be given, why.
        leads: to a page of its own, below the instance's; empty for an order that is given at once.
        asks: what is asked before it is given.
        look: ``main``, ``plain`` or ``danger``.
    """

    order: str
    label: str
    says: str
    allowed: bool
    leads: str = ""
    asks: str = ""
    look: str = "plain"


# Order, label, what it does, whether it is destructive, the page it leads to.
_INSTANCE = (
    ("DEPLOY", "Deploy", "Bring every element to life.", "main", ""),
    ("UNDEPLOY", "Undeploy", "Take down what runs; the instance stays.", "danger", ""),
    ("DELETE", "Delete", "Forget the instance.", "danger", ""),
    ("UPDATE", "Change", "Give it other properties.", "plain", "change"),
    ("MIGRATE", "Migrate", "Carry it over to another definition.", "plain", "migrate"),
    ("ROLLBACK", "Roll back", "Return to how it was before the change.", "plain", ""),
    ("LOCK", "Lock", "Allow changes again.", "plain", ""),
    ("UNLOCK", "Unlock", "Put it into use; changes have to wait.", "plain", ""),
    ("PREPARE", "Prepare", "Let participants make ready for a deployment.", "plain", ""),
    ("REVIEW", "Review", "Let participants look whether all is well.", "plain", ""),
)
_ROLLBACKS = frozenset({"ROLLBACK", "UPDATE_REVERT", "MIGRATION_REVERT"})

_REVERTING = (DeployState.UPDATE_REVERTING, DeployState.MIGRATION_REVERTING)

DEPLOYS = {"DEPLOY": DeployOrder.DEPLOY, "UNDEPLOY": DeployOrder.UNDEPLOY}
LOCKS = {"LOCK": LockOrder.LOCK, "UNLOCK": LockOrder.UNLOCK}
SUBS = {"PREPARE": SubOrder.PREPARE, "REVIEW": SubOrder.REVIEW}


def for_instance(instance: Body, allowed: Collection[str]) -> list[Button]:
    """Args:
    allowed: as :meth:`Instances.allowed` has it.
    """
    can = set(allowed)
    if can & _ROLLBACKS:
        can.add("ROLLBACK")
    if "MIGRATE_PRECHECK" in can:
        can.add("MIGRATE")
    if instance["deployState"] == DeployState.UNDEPLOYED and instance["subState"] == SubState.NONE:
        # Nothing is sent for it, so it is no order; but it is allowed.
        can.add("UPDATE")
    name = f"{instance['name']} {instance['version']}"
    asks = {"UNDEPLOY": f"Undeploy {name}? What it runs is taken down.", "DELETE": f"Delete {name}?"}
    return [
        Button(
            order=order,
            label=label,
            says=says if order in can else why_not(order, instance),
            allowed=order in can,
            leads=leads,
            asks=asks.get(order, ""),
            look=look,
        )
        for order, label, says, look, leads in _INSTANCE
    ]


def why_not(order: str, instance: Body) -> str:
    """A sentence for an order that cannot be given."""
    deploy, lock = DeployState(instance["deployState"]), LockState(instance["lockState"])
    sub, result = SubState(instance["subState"]), StateChangeResult(instance["stateChangeResult"])
    if on_the_way(deploy, lock, sub) and result is StateChangeResult.NO_ERROR:
        return f"Wait: {going_on(instance)}."
    if deploy is DeployState.DEPLOYED:
        if lock is LockState.UNLOCKED and order not in ("DEPLOY", "PREPARE", "UNLOCK", "ROLLBACK"):
            return "Lock it first."
        return {
            "DEPLOY": "It is deployed.",
            "DELETE": "Undeploy it first.",
            "PREPARE": "It is deployed.",
            "LOCK": "It is locked.",
            "UNLOCK": "It is unlocked.",
            "ROLLBACK": "No change has failed.",
        }.get(order, f"Not while it is {going_on(instance)}.")
    if deploy is DeployState.UNDEPLOYED:
        if order == "ROLLBACK":
            return "No change has failed."
        return f"Not while it is {words(sub)}." if sub is not SubState.NONE else "It is not deployed."
    failed = f"{words(deploy).capitalize()} {'failed' if result is StateChangeResult.FAILED else 'timed out'}"
    if order == "ROLLBACK" or deploy is DeployState.DELETING:
        return f"{failed}: delete again." if deploy is DeployState.DELETING else "There is nothing to return to."
    if deploy is DeployState.UNDEPLOYING:
        return f"{failed}: deploy or undeploy again."
    if deploy is DeployState.DEPLOYING:
        return f"{failed}: undeploy first."
    ways = "change again, roll back or undeploy" if deploy is DeployState.UPDATING else "roll back or undeploy"
    return f"{failed}: {'undeploy' if deploy in _REVERTING else ways} first."


def going_on(instance: Body) -> str:
    """What an instance is doing, in a word or two."""
    deploy, lock = DeployState(instance["deployState"]), LockState(instance["lockState"])
    sub = SubState(instance["subState"])
    if sub is not SubState.NONE:
        return words(sub)
    return words(lock) if lock in (LockState.LOCKING, LockState.UNLOCKING) else words(deploy)


def for_composition(composition: Body, instances: int) -> list[Button]:
    """The orders for a definition; ``instances`` is how many it has."""
    state, result = AcTypeState(composition["state"]), StateChangeResult(composition["stateChangeResult"])
    moving = state in (AcTypeState.PRIMING, AcTypeState.DEPRIMING)
    busy = moving and result is StateChangeResult.NO_ERROR
    has = f"It has {'an instance' if instances == 1 else f'{instances} instances'}: delete first."
    wait = f"Wait: {words(state)}."

    def reason(order: str) -> str:
        if busy:
            return wait
        if instances:
            return has
        if order == "PRIME" and state is AcTypeState.PRIMED:
            return "It is primed."
        if order == "DEPRIME" and state is AcTypeState.COMMISSIONED:
            return "It is not primed."
        if order == "DELETE":
            return "" if state is AcTypeState.COMMISSIONED else "Deprime it first."
        return "" if states.takes(PrimeOrder(order), state, result) else "Not in this state."

    found = [
        ("PRIME", "Prime", "Tell participants of it, so that it can have instances.", "main"),
        ("DEPRIME", "Deprime", "Let participants forget it.", "plain"),
        ("DELETE", "Delete", "Forget the definition.", "danger"),
    ]
    return [
        Button(
            order=order,
            label=label,
            says=reason(order) or says,
            allowed=not reason(order),
            look=look,
            asks="Delete this definition?" if order == "DELETE" else "",
        )
        for order, label, says, look in found
    ]
