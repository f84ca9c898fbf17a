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
# Whole packages that nothing else imports, and that come with an extra.
WITH_EXTRA = {SOURCES / "acm": "acm", SOURCES / "bus": "acm"}


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


def _name(requirement: str) -> str:
    return _normal(re.split(r"[^\w.-]", requirement, maxsplit=1)[0])


def test_what_is_imported_at_once_is_a_dependency():
    requirements = importlib.metadata.requires("mizzen") or []
    plain = {_name(one) for one in requirements if "extra ==" not in one}
    distributions = importlib.metadata.packages_distributions()
    missing = {}
    for file in SOURCES.rglob("*.py"):
        if OWN in file.parents:
            continue
        extra = next((name for folder, name in WITH_EXTRA.items() if folder in file.parents), None)
        with_it = {_name(one) for one in requirements if re.search(rf"extra == ['\"]{extra}['\"]", one)}
        for package in imported(file):
            names = {_normal(name) for name in distributions.get(package, [package])}
            if not names & (plain | with_it):
                missing[package] = str(file.relative_to(SOURCES))
    assert missing == {}
