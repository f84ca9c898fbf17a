"""All objects of one resource, newest and recent, in memory.

The newest objects are a dictionary and a sorted list of its keys, so a namespace is a slice. What they were is found by
walking back over the recent changes: a list at an older revision is the newest one with those changes undone.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator

from mizzen.cluster.apiserver.store.entry import Change, Entry

Place = tuple[str, str]


class Shelf:
    """The objects of one resource, by (namespace, name)."""

    def __init__(self) -> None:
        self.entries: dict[Place, Entry] = {}
        self.changes: deque[Change] = deque()
        self._order: list[Place] = []

    def __len__(self) -> int:
        return len(self.entries)

    def get(self, namespace: str, name: str) -> Entry | None:
        return self.entries.get((namespace, name))

    def newest(self, namespace: str | None = None, after: Place | None = None) -> list[Entry]:
        """The newest objects in key order: of one namespace or of all, and only those beyond ``after``."""
        entries = self.entries
        return [entries[place] for place in _range(self._order, namespace, after)]

    def at(self, revision: int, namespace: str | None = None, after: Place | None = None) -> list[Entry]:
        """The objects as they were at ``revision``, in key order. Some may have left memory: restore before use."""
        undone: dict[Place, Entry | None] = {}
        for change in self.since(revision, newest_first=True):
            key = change.after.key
            undone[(key.namespace, key.name)] = change.before
        if not undone:
            return self.newest(namespace, after)
        found = {place: entry for place in self._order if (entry := self.entries[place]) and place not in undone}
        found.update((place, entry) for place, entry in undone.items() if entry is not None)
        return [found[place] for place in _range(sorted(found), namespace, after)]

    def since(self, revision: int, *, newest_first: bool = False) -> list[Change]:
        """The changes after ``revision``, oldest first unless asked otherwise."""
        found = []
        for change in reversed(self.changes):
            if change.revision <= revision:
                break
            found.append(change)
        if not newest_first:
            found.reverse()
        return found

    def put(self, entry: Entry) -> Entry | None:
        """Make ``entry`` the newest under its key; returns the one before."""
        place = (entry.key.namespace, entry.key.name)
        before = self.entries.get(place)
        self.entries[place] = entry
        if before is None:
            insort(self._order, place)
        return before

    def remove(self, place: Place) -> None:
        if self.entries.pop(place, None) is not None:
            del self._order[bisect_left(self._order, place)]

    def fill(self, entries: dict[Place, Entry]) -> None:
        """Start from these objects, as a restart does."""
        self.entries = entries
        self._order = sorted(entries)


def _range(order: list[Place], namespace: str | None, after: Place | None) -> Iterator[Place]:
    start, end = 0, len(order)
    if namespace is not None:
        start = bisect_left(order, (namespace, ""))
        # No name sorts behind this one: NUL is in none of them.
        end = bisect_left(order, (namespace + "\0", ""), start)
    if after is not None:
        start = max(start, bisect_left(order, (after[0], after[1] + "\0")))
    return iter(order[start:end])
