"""A web server, and an environment into which no setting of the machine leaks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mizzen.storage import transfer
from storage.secure import Secure, make_certificate, secured
from storage.served import Site, send

_FOREIGN = ("STORAGE_", "MIZZEN_", "CA_BUNDLE_", "AWS_", "AZURE_", "AZ_", "GIT_", "GOOGLE_", "HF_", "S3_")
_FOREIGN += ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "awsAnonymous")


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.stop()
    assert not site.errors, "\n".join(site.errors)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate of our own."""
    mount = tmp_path_factory.mktemp("bundle")
    make_certificate(mount)
    return mount


@pytest.fixture
def secure(certificate: Path) -> Iterator[Secure]:
    secure = secured(certificate)
    secure.site.answers["/m.bin"] = send(b"model")
    yield secure
    secure.site.stop()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The defaults, a home that is empty, and no pauses between attempts."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(_FOREIGN):
            monkeypatch.delenv(name)
    monkeypatch.setattr(transfer, "PAUSES", (0.0,))
    monkeypatch.setenv("MIZZEN_MODEL_CACHE", "")
