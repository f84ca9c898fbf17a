"""What a person probably meant: the nearest name among those there are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice

# Comparing is quadratic in the lengths, and a definition of some megabytes may have thousands of wrong names.
_CANDIDATES = 200
_LENGTH = 200
# Type names share long beginnings, so two unrelated ones already have much in common.
_CLOSE = 0.8


def nearest(name: str, candidates: Iterable[str]) -> str:
    """The candidate that is the same but for case, or else much alike; empty where there is none."""
    known = [candidate for candidate in islice(candidates, _CANDIDATES) if len(candidate) <= _LENGTH]
    if len(name) > _LENGTH:
        return ""
    folded = name.casefold()
    for candidate in known:
        if candidate.casefold() == folded:
            return candidate
    last = name.rpartition(".")[2].casefold()
    for candidate in known:
        if "." in name and candidate.rpartition(".")[2].casefold() == last:
            return candidate
    found = difflib.get_close_matches(name, known, 1, _CLOSE)
    return found[0] if found else ""
