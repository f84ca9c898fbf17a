"""What is imported at a module's top is there after a plain installation; extras are imported where they are used."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
from pathlib import Path

import mizzen

SOURCES = Path(mizzen.__file__).parent
# A framework's own module is imported only for its models.
OWN = SOURCES / "serve" / "runtimes"


def imported(file: Path) -> set[str]:
    """The packages that a file imports as soon as it is imported itself."""
    found = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"mizzen"}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_what_is_imported_at_once_is_a_dependency():
    requirements = importlib.metadata.requires("mizzen") or []
    plain = {_normal(re.split(r"[^\w.-]", one, maxsplit=1)[0]) for one in requirements if "extra ==" not in one}
    distributions = importlib.metadata.packages_distributions()
    missing = {}
    for file in SOURCES.rglob("*.py"):
        if OWN in file.parents:
            continue
        for package in imported(file):
            names = {_normal(name) for name in distributions.get(package, [package])}
            if not names & plain:
                missing[package] = str(file.relative_to(SOURCES))
    assert missing == {}
