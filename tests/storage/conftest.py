"""A web server, and an environment into which no setting of the machine leaks."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from mizzen.storage import web
from storage.served import Site


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.stop()
    assert not site.errors, "\n".join(site.errors)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The defaults, and no pauses between attempts."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(("STORAGE_", "MIZZEN_", "CA_BUNDLE_")):
            monkeypatch.delenv(name)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setattr(web, "_PAUSES", (0.0, 0.0))
