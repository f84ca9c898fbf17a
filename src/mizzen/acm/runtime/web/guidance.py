"""What an operator should know of a state, and what to do next: one sentence or two, above the buttons."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from mizzen.acm.messages.states import (
    AcTypeState,
    DeployState,
    LockState,
    StateChangeResult,
    SubState,
    on_the_way,
)
from mizzen.acm.runtime.service import Body
from mizzen.acm.runtime.web.orders import going_on
from mizzen.acm.runtime.web.rendering import moment, words


class Guide(Struct, frozen=True, kw_only=True):
    """
    Attributes:
        tone: ``quiet``, ``busy``, ``bad`` or ``good``.
        causes: who said what, where something failed.
        done, total: of elements, while something goes on.
        since: when that began, in seconds since the epoch.
    """

    tone: str
    text: str
    hint: str = ""
    causes: tuple[tuple[str, str], ...] = ()
    done: int = 0
    total: int = 0
    since: float | None = None


def for_composition(composition: Body, instances: int) -> Guide:
    state, result = AcTypeState(composition["state"]), StateChangeResult(composition["stateChangeResult"])
    nodes = list(composition["elementStateMap"].values())
    causes = tuple(
        (node["nodeTemplateId"]["name"], node["message"])
        for node in nodes
        if node.get("message") and node["state"] == state
    )
    if result is StateChangeResult.FAILED:
        return Guide(
            tone="bad",
            text=f"{words(state).capitalize()} failed.",
            hint="Correct what the participant complains of, then order it again, or deprime the definition.",
            causes=causes,
        )
    if result is StateChangeResult.TIMEOUT:
        return Guide(
            tone="bad",
            text=f"{words(state).capitalize()} timed out: not every participant has answered.",
            hint="See under Participants whether they are online, then order it again. A late answer still counts.",
        )
    if state in (AcTypeState.PRIMING, AcTypeState.DEPRIMING):
        goal = AcTypeState.PRIMED if state is AcTypeState.PRIMING else AcTypeState.COMMISSIONED
        done = sum(node["state"] == goal for node in nodes)
        return Guide(
            tone="busy",
            text=f"{words(state).capitalize()}: {_count(done, len(nodes))} elements done.",
            done=done,
            total=len(nodes),
            since=moment(composition.get("lastMsg")),
        )
    if state is AcTypeState.COMMISSIONED:
        return Guide(
            tone="quiet", text="The runtime knows this definition; participants do not yet.", hint="Next: prime it."
        )
    if instances:
        return Guide(tone="good", text="Participants know this definition.")
    return Guide(tone="good", text="Participants know this definition.", hint="Next: make an instance of it.")


def for_instance(instance: Body, offline: Sequence[str] = ()) -> Guide:
    """Args:
    offline: participants of its elements that are not online.
    """
    deploy, lock = DeployState(instance["deployState"]), LockState(instance["lockState"])
    sub, result = SubState(instance["subState"]), StateChangeResult(instance["stateChangeResult"])
    doing = going_on(instance).capitalize()
    moving = on_the_way(deploy, lock, sub)
    if result is StateChangeResult.FAILED:
        hint = f"Put right what is told here. {_WAYS_OUT.get(deploy, _ELSE_WAYS)}"
        return Guide(tone="bad", text=f"{doing} failed.", hint=hint, causes=_causes(instance))
    if result is StateChangeResult.TIMEOUT:
        who = "A participant is offline" if offline else "Not every participant has answered in time"
        return Guide(
            tone="bad",
            text=f"{doing} timed out. {who}.",
            hint=f"See under Participants whether all are online. {_WAYS_OUT.get(deploy, _ELSE_WAYS)} "
            "A late answer still counts. Elements that need longer say so with deployTimeoutMs and the like.",
            causes=_waiting(instance),
        )
    if moving:
        elements = list(instance["elements"].values())
        done = sum(settled(element) for element in elements)
        phase = f", phase {instance['phase']}" if instance.get("phase") is not None else ""
        return Guide(
            tone="busy",
            text=f"{doing}: {_count(done, len(elements))} elements done{phase}.",
            done=done,
            total=len(elements),
            since=moment(instance.get("lastMsg")),
        )
    if deploy is DeployState.DEPLOYED:
        if any(unready(one) for one in instance["elements"].values()):
            return Guide(
                tone="bad",
                text="It is deployed, but not everything in it is ready.",
                hint="The elements below say what is missing.",
            )
        locked = "changes are allowed" if lock is LockState.LOCKED else "changes have to wait until it is locked"
        return Guide(tone="good", text=f"It is deployed and {words(lock)}: {locked}.")
    return Guide(tone="quiet", text="It is not deployed.", hint="Next: deploy it.")


_WAYS_OUT = {
    DeployState.DEPLOYING: "Then deploy again, or undeploy, change the properties and deploy.",
    DeployState.UNDEPLOYING: "Then undeploy again.",
    DeployState.DELETING: "Then delete again.",
    DeployState.UPDATING: "Then change it again, roll back, or undeploy.",
    DeployState.MIGRATING: "Then roll back, or undeploy.",
    DeployState.UPDATE_REVERTING: "Then undeploy.",
    DeployState.MIGRATION_REVERTING: "Then undeploy.",
}
_ELSE_WAYS = "Then give the order again."


def _causes(instance: Body) -> tuple[tuple[str, str], ...]:
    """What elements say that are not through; all that is said, if those are silent."""
    elements = instance["elements"].values()
    told = [one for one in elements if one.get("message")]
    unsettled = [one for one in told if not settled(one)]
    return tuple((one["definition"]["name"], one["message"]) for one in unsettled or told)


def _waiting(instance: Body) -> tuple[tuple[str, str], ...]:
    return tuple(
        (one["definition"]["name"], one.get("message") or "has not answered")
        for one in instance["elements"].values()
        if not settled(one)
    )


def settled(element: Body) -> bool:
    return not on_the_way(
        DeployState(element["deployState"]), LockState(element["lockState"]), SubState(element["subState"])
    )


def unready(element: Body) -> bool:
    """Whether its participant says that it does not work, in either of the two ways to say so."""
    said = element.get("outProperties") or {}
    return said.get("ready") is False or element.get("operationalState") == "DISABLED"


def _count(done: int, total: int) -> str:
    return f"{done} of {total}"
