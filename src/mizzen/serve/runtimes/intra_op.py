"""How many threads one call of a tensor framework may use: what the model's settings say, else the pod's share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mizzen.serve.errors import LoadError
from mizzen.serve.lanes.threads import CPU, share

SETTING = "intra_op_thread_count"

# More is a slip of the finger.
_MOST = 4096


def threads(model: str, environ: Mapping[str, str], settings: Mapping[str, Any]) -> int:
    """The number of threads; 0 if nothing is said, in a pod or elsewhere, and the framework may choose.

    Args:
        settings: ``intra_op_thread_count`` is a number, or a text of one; 0 says nothing.

    Raises:
        LoadError: it is neither.
    """
    text = str(settings.get(SETTING, 0))
    if not (text.isascii() and text.isdecimal()) or len(text) > 9 or int(text) > _MOST:
        raise LoadError(f"model {model}: {SETTING} must be a number of threads, not {settings[SETTING]!r}")
    return int(text) or (share(environ) if environ.get(CPU) else 0)
