"""One model to be served, as whoever lists models tells it: a folder, a repository's layout, a command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import Struct

from mizzen.serve.lanes.scheduling import Scheduling


class ModelSpec(Struct, frozen=True, kw_only=True):
    """Attributes:
    name: what requests call it.
    directory: the folder that holds its files, or the file itself.
    version: None where its layout has none.
    runtime: a name in :mod:`mizzen.serve.runtimes.registry`, or ``module:Class`` of somebody's own; empty is found out
        from the files.
    settings: what the layout says beside, in the layout's own words; a runtime reads those that it knows.
    scheduling: None is the server's own.
    isolation: ``thread``, or ``process`` for a model that may take its process with it.
    """

    name: str
    directory: Path
    version: str | None = None
    runtime: str = ""
    settings: dict[str, Any] = {}
    scheduling: Scheduling | None = None
    isolation: str = "thread"
