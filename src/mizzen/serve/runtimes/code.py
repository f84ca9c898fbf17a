"""The models in a Python file, by its text: for a message, and so nothing of it is run."""

from __future__ import annotations

import ast
from pathlib import Path

# What models are derived from: ours, and KServe's names for them.
_BASES = frozenset({"Model", "MLModel", "BaseModel", "Servable", "TensorModel", "GenerativeModel", "Encoder"})
_LARGEST = 1 << 20


def models_in(path: Path) -> list[str]:
    """The names of the classes in a file that are derived from a model's; empty if it cannot be read as Python."""
    try:
        if path.stat().st_size > _LARGEST:
            return []
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and any(_name(base) in (*_BASES, *found) for base in node.bases):
            found.append(node.name)
    return found


def _name(base: ast.expr) -> str:
    """The last part of ``mizzen.serve.Model``."""
    if isinstance(base, ast.Attribute):
        return base.attr
    return base.id if isinstance(base, ast.Name) else ""
