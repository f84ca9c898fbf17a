"""Libraries that only some models need, so that only their users install them."""

from __future__ import annotations

import importlib.util
import sys

from mizzen.storage.errors import StorageError


def required(extra: str, scheme: str, *modules: str) -> None:
    """See to it that ``modules`` can be imported.

    Raises:
        StorageError: with the command that installs them.
    """
    missing = [module for module in modules if not _is_there(module)]
    if missing:
        packages = " and ".join(module.replace(".", "-") for module in missing)
        raise StorageError(
            f"{scheme} needs {packages}, which {'is' if len(missing) == 1 else 'are'} not installed for "
            f"{sys.executable}; install with: {sys.executable} -m pip install 'mizzen[{extra}]'"
        )


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:
        return False
