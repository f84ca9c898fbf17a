"""One installation with a set, for the stories of a module: each leaves it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from acm_set import AcmSet, acm_set
from installed import train


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    train(folder)
    return folder


@pytest.fixture(scope="module")
def acm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AcmSet]:
    with acm_set(tmp_path_factory.mktemp("files")) as running:
        yield running


@pytest.fixture(scope="module")
def definition(acm: AcmSet) -> str:
    """Primed, for whoever needs no other."""
    return acm.definition()
