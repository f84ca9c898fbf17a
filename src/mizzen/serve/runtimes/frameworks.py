"""The frameworks themselves: imported when a model of theirs is loaded, and how many threads they are given."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from mizzen.serve.errors import LoadError
from mizzen.serve.lanes.threads import share

# Fewer rows times trees than this run on one thread, whatever the pod has. To wake the others of an OpenMP team costs
# tens of microseconds on an idle machine and tens of milliseconds on a busy one, where each waits for its turn.
PARALLEL = 100_000


def framework(module: str, extra: str, title: str = "") -> Any:
    """A framework's module.

    Args:
        extra: of this package, which brings it.
        title: what the framework calls itself, where that is not the module's name.

    Raises:
        LoadError: it cannot be imported; says what installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise LoadError(
            f"{title or module} cannot be imported ({error}); install it: pip install 'mizzen[{extra}]'"
        ) from None


class Threads:
    """How many threads a model may use, and when it is worth it.

    Args:
        settings: ``nthread`` is KServe's argument of that name.
        environ: else it is the pod's share of the processors, where it has one; else one.

    Raises:
        LoadError: ``nthread`` is no number.
    """

    def __init__(self, settings: Mapping[str, Any], environ: Mapping[str, str]) -> None:
        given = settings.get("nthread")
        if given is None:
            self.most = share(environ)
        elif not str(given).isdecimal() or not int(given):
            raise LoadError(f"nthread must be a positive number of threads, not {given!r}")
        else:
            self.most = int(given)

    def for_work(self, work: int) -> int:
        """The threads for a call that passes ``work`` rows through as many trees, multiplied."""
        return self.most if work >= PARALLEL else 1
