"""The shipped sample as a starting point: every test changes its own copy, and says what then happens."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from mizzen.acm import samples
from mizzen.acm.tosca import read

_DEFINITION = read(samples.kserve_composition()).value


@pytest.fixture
def definition() -> dict[str, Any]:
    """A right definition, to be changed."""
    return copy.deepcopy(_DEFINITION)
