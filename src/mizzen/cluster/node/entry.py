"""``python -m mizzen.cluster.node.entry MODULE:FUNCTION [ARGUMENT ...]``: an entry in an interpreter of its own.

For containers that cannot be forked from a zygote, because they set what is read when the interpreter starts.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> object:
    """Call the entry; what it returns is for ``sys.exit``."""
    if not arguments or ":" not in arguments[0]:
        return f"usage: {__spec__.name} MODULE:FUNCTION [ARGUMENT ...]"
    module, _, path = arguments[0].partition(":")
    try:
        found: object = importlib.import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
    except (ModuleNotFoundError, AttributeError) as error:
        return f"the entry {arguments[0]!r} does not exist: {error}"
    if not callable(found):
        return f"the entry {arguments[0]!r} is no function but a {type(found).__name__}"
    sys.argv = list(arguments)
    return found(list(arguments[1:]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))  # type: ignore[arg-type]
