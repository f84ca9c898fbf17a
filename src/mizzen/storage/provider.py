"""What every provider of models is given, and what it answers.

A provider is a module with one function, ``fetch(order) -> Fetched``, for one family of schemes. The table of them is
in :mod:`mizzen.storage.download`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from mizzen.storage.patterns import Patterns
from mizzen.storage.progress import Progress


class Order(NamedTuple):
    """One model to fetch: from ``uri`` into the folder ``out_dir``, or to wherever the provider likes if ``None``."""

    uri: str
    out_dir: Path | None
    patterns: Patterns
    progress: Progress | None
    environ: Mapping[str, str]


class Fetched(NamedTuple):
    """Where the model is and how much of it was put there: ``files`` with ``bytes`` in all, or ``links`` to it.

    All three are 0 when nothing was asked to be put anywhere. ``cached`` tells that all of it was here already, and
    nothing but the question whether it still is the same went over the network.
    """

    path: Path
    files: int = 0
    bytes: int = 0
    links: int = 0
    cached: bool = False


class Provider(Protocol):
    """A module of this package."""

    @staticmethod
    def fetch(order: Order) -> Fetched:
        """Fetch the model. Raises :class:`~mizzen.storage.errors.StorageError` with a reason, without the URI."""


def nothing_found(why: str) -> str:
    """The reason of a fetch that finds no file, in KServe's words, which scripts look for."""
    return f"Failed to fetch model. No model found: {why}"
