"""The smallest merge patch between two values, so that nothing is written when nothing changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON merge patch that turns ``old`` into ``new``; empty when they are equal.

    Keys that only ``old`` has become ``null``. Lists are replaced as a whole.
    """
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if key not in old or (not isinstance(value, Mapping) and value != before):
            patch[key] = value
        elif isinstance(value, Mapping):
            inner = difference(before, value) if isinstance(before, Mapping) else value
            if inner or not isinstance(before, Mapping):
                patch[key] = inner
    return patch
