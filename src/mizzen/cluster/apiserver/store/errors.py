"""What can go wrong with the store, in words for the person who has to mend it."""

from __future__ import annotations

from mizzen.errors import MizzenError


class StoreError(MizzenError):
    """The store cannot be opened, read or written; nothing that was acknowledged is lost."""


class DiskFull(StoreError):
    """There is no space for a write. Deletes still work, and writes do again once there is space."""


class Compacted(StoreError):
    """A revision was asked for that the store no longer remembers."""
