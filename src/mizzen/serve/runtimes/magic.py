"""Whose a model file is, by how it begins: ``.bst`` is XGBoost's and LightGBM's, and ``.json`` may be anything."""

from __future__ import annotations

import re
from pathlib import Path

_HEAD = 64 * 1024

_XGBOOST_JSON = re.compile(rb'\s*\{\s*"(learner|version|Config|Model)"')
_CATBOOST_JSON = re.compile(rb'"(features_info|oblivious_trees|model_info)"\s*:')

# XGBoost's own binary form, which it wrote until 2.x and no longer reads.
OLD_XGBOOST = (b"binf", b"bs64")


def framework_of(path: Path) -> str | None:
    """``xgboost``, ``lightgbm``, ``catboost`` or ``sklearn`` (any pickle), as far as a file's beginning tells."""
    try:
        with path.open("rb") as file:
            return framework_of_head(file.read(_HEAD))
    except OSError:
        return None


def framework_of_head(head: bytes) -> str | None:
    """The same, for the first bytes of a file."""
    if head.startswith(b"CBM1"):
        return "catboost"
    if re.match(rb"tree\r?\nversion=", head):
        return "lightgbm"
    if head.startswith(OLD_XGBOOST) or (head.startswith(b"{L") and b"learner" in head[:64]):
        return "xgboost"
    if _XGBOOST_JSON.match(head) and b'"learner"' in head:
        return "xgboost"
    if head.lstrip()[:1] == b"{" and _CATBOOST_JSON.search(head):
        return "catboost"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "sklearn"
    return None


def other(path: Path, ours: str) -> str:
    """For a message: that a file is another framework's, if it is; else nothing."""
    found = framework_of(path)
    return f"; it is a file of {found}" if found not in (None, ours) else ""
