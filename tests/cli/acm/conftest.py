"""One set for the tests of a module, with a definition that is primed, and instances that come to nothing.

No model is deployed here: what a command prints is the same for an element that fails at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from acm_set import AcmSet, acm_set


@pytest.fixture(scope="module")
def acm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AcmSet]:
    with acm_set(tmp_path_factory.mktemp("files")) as running:
        yield running


@pytest.fixture(scope="module")
def definition(acm: AcmSet) -> str:
    return acm.definition(name="first")


@pytest.fixture
def missing(tmp_path: Path) -> Path:
    """Where no model is, so that what is deployed from there never gets ready."""
    return tmp_path / "missing"
