"""What the store still remembers: the changes of the last minutes, over all resources, in revision order.

It decides two things. When a change is older than what is promised, it is forgotten, and the rows that only it needed
may leave the log. When the remembered bytes outgrow their budget, the oldest leave memory and are read back from the
log if somebody asks; so a burst of writes costs disk and not memory.
"""

from __future__ import annotations

from collections import deque

from mizzen.cluster.apiserver.store.entry import Change
from mizzen.cluster.apiserver.store.shelf import Shelf


class History:
    """Changes newer than ``floor``.

    Args:
        floor: the revision up to which changes are unknown.
        keep: how long a change is remembered at least, in seconds.
        budget: how many bytes of superseded objects stay in memory.
    """

    def __init__(self, floor: int, keep: float, budget: int) -> None:
        self.floor = floor
        self._keep = keep
        self._budget = budget
        self._changes: deque[tuple[Change, Shelf]] = deque()
        self._resident: deque[Change] = deque()
        self._held = 0
        # Rows of the log that nobody needs any more, with the floor that their removal implies.
        self._unneeded: deque[tuple[int, list[int]]] = deque()

    def add(self, change: Change, shelf: Shelf) -> None:
        shelf.changes.append(change)
        self._changes.append((change, shelf))
        self._resident.append(change)
        self._held += _weight(change)
        while self._held > self._budget:
            oldest = self._resident.popleft()
            self._held -= _weight(oldest)
            if oldest.before is not None:
                oldest.before.data = b""
            if oldest.deleted:
                oldest.after.data = b""

    def forget(self, now: float) -> None:
        """Let go of every change that is older than what is promised."""
        while self._changes and self._changes[0][0].after.time < now - self._keep:
            change, shelf = self._changes.popleft()
            shelf.changes.popleft()
            if self._resident and self._resident[0] is change:
                self._resident.popleft()
                self._held -= _weight(change)
            self.floor = change.revision
            rows = [change.before.revision] if change.before is not None else []
            if change.deleted:
                rows.append(change.revision)
            self._unneeded.append((change.revision, rows))

    def removable(self, limit: int) -> tuple[int, list[int]]:
        """The next rows to remove from the log, about ``limit``, and the floor that goes with them.

        They stay on the list until :meth:`removed` says that they are gone.
        """
        floor = 0
        rows: list[int] = []
        for revision, unneeded in self._unneeded:
            if len(rows) >= limit:
                break
            floor = revision
            rows += unneeded
        return floor, rows

    def removed(self, floor: int) -> None:
        while self._unneeded and self._unneeded[0][0] <= floor:
            self._unneeded.popleft()


def _weight(change: Change) -> int:
    weight = len(change.before.data) if change.before is not None else 0
    return weight + (len(change.after.data) if change.deleted else 0)
