"""Where an installation cannot run it says what is missing and what works all the same."""

import sys

import pytest

from mizzen.up import installation
from mizzen.up.errors import UpError


def test_another_system_than_linux(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(UpError) as refusal:
        installation.check_platform()
    assert "Linux or WSL2" in str(refusal.value)
    assert "mizzen serve" in str(refusal.value)
    assert "KUBECONFIG" in str(refusal.value)
