"""Whether Kafka's client library is there: it comes with an extra, and who does without Kafka does without it."""

from __future__ import annotations

import importlib.util

from mizzen.bus.errors import BusError


def require(module: str, package: str) -> None:
    """See to it that ``module``, of the distribution ``package``, can be imported.

    Raises:
        BusError: with the command that installs it.
    """
    if importlib.util.find_spec(module) is None:
        raise BusError(f"Kafka needs the package {package}, which is not installed: pip install 'mizzen[acm]'")
