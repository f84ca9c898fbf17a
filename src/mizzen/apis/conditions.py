"""Knative's condition set: one happy condition that sums up the ones it depends on.

InferenceService and InferenceGraph report their state this way. The happy condition (``Ready``) and its dependents are
terminal, with an empty severity; every other condition is ``Info`` and tells without deciding. Source: reference of the
KServe control plane, section 1.6, which states the order in which a dependent decides.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import UNSET

from mizzen.apis.meta import Opt, Schema

Status = Literal["True", "False", "Unknown"]


class Condition(Schema):
    """What is the case with one aspect of an object.

    Attributes:
        type: what the condition is about.
        status: True, False or Unknown.
        severity: empty if the condition counts for Ready; Info if it only tells.
        reason: one word for it, for programs.
        message: what is the case, for people.
        last_transition_time: when the condition changed last, RFC 3339 in UTC.
    """

    type: str
    status: str
    severity: Opt[str] = UNSET
    reason: Opt[str] = UNSET
    message: Opt[str] = UNSET
    last_transition_time: Opt[str] = UNSET


class ConditionSet:
    """The conditions of one object, worked on in memory.

    Args:
        happy: the type that sums up, such as ``Ready``.
        dependents: the types it depends on.
        conditions: those the object has now.
        now: the time that a changed condition is stamped with, RFC 3339.
    """

    def __init__(self, happy: str, dependents: Iterable[str], conditions: Iterable[Condition], now: str) -> None:
        self._happy = happy
        self._dependents = tuple(dependents)
        self._before = {condition.type: condition for condition in conditions}
        self._by_type = dict(self._before)
        self._now = now

    def initialise(self) -> None:
        """Give a new object its terminal conditions, all Unknown."""
        if self._happy not in self._by_type:
            for kind in (self._happy, *self._dependents):
                if kind not in self._by_type:
                    self._set(kind, "Unknown")

    def get(self, kind: str) -> Condition | None:
        return self._by_type.get(kind)

    def is_true(self, kind: str) -> bool:
        condition = self._by_type.get(kind)
        return condition is not None and condition.status == "True"

    @property
    def is_ready(self) -> bool:
        return self.is_true(self._happy)

    def mark(self, kind: str, status: str, reason: str = "", message: str = "") -> None:
        """Set one condition and sum up again."""
        self._set(kind, status, reason, message)
        if status == "True":
            self._recompute()
        elif kind in self._dependents:
            if status == "False":
                self._set(self._happy, "False", reason, message)
            elif not self._false_dependents():
                self._set(self._happy, "Unknown", reason, message)

    def clear(self, kind: str) -> None:
        """Remove a condition that tells without deciding. Terminal conditions stay."""
        if kind != self._happy and kind not in self._dependents:
            self._by_type.pop(kind, None)

    def sorted(self) -> list[Condition]:
        """All conditions by type, as they are stored."""
        return [self._by_type[kind] for kind in sorted(self._by_type)]

    def _recompute(self) -> None:
        false = self._false_dependents()
        if false:
            worst = max(false, key=lambda condition: condition.last_transition_time or "")
            self._set(self._happy, "False", worst.reason or "", worst.message or "")
            return
        for kind in self._dependents:
            condition = self._by_type.get(kind)
            if condition is not None and condition.status != "True":
                self._set(self._happy, "Unknown", condition.reason or "", condition.message or "")
                return
        missing = any(kind not in self._by_type for kind in self._dependents)
        self._set(self._happy, "Unknown" if missing else "True")

    def _false_dependents(self) -> list[Condition]:
        found = (self._by_type.get(kind) for kind in self._dependents)
        return [condition for condition in found if condition is not None and condition.status == "False"]

    def _set(self, kind: str, status: str, reason: str = "", message: str = "") -> None:
        terminal = kind == self._happy or kind in self._dependents
        new = Condition(
            type=kind,
            status=status,
            severity=UNSET if terminal else "Info",
            reason=reason or UNSET,
            message=message or UNSET,
        )
        # The happy condition takes the reason of one dependent after another. Where it ends up as the object has it,
        # nothing has changed, or every look at the object would write it anew.
        for known in (self._by_type.get(kind), self._before.get(kind)):
            if known is not None:
                new.last_transition_time = known.last_transition_time
                if new == known:
                    self._by_type[kind] = known
                    return
        new.last_transition_time = self._now
        self._by_type[kind] = new
