"""The store: every object of the installation, durable in one SQLite file and readable from memory.

Reads never touch the disk. Writes are given one revision each, committed in groups, and only then shown to readers and
watchers, in the order of their revisions. What was true during the last minutes stays readable, so that a list can be
paged consistently and a watch can resume where it broke off.
"""

from __future__ import annotations

from mizzen.cluster.apiserver.store.entry import Change, Entry, Key
from mizzen.cluster.apiserver.store.errors import Compacted, DiskFull, StoreError
from mizzen.cluster.apiserver.store.store import Store
from mizzen.cluster.apiserver.store.turn import Turn

__all__ = ["Change", "Compacted", "DiskFull", "Entry", "Key", "Store", "StoreError", "Turn"]
