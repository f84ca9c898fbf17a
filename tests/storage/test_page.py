"""The page about storage: what it prints is what comes out, and its variables are those of the code."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from doc_pages import DOCS, Block, agrees, blocks, steps
from mizzen.storage import download, hosts, settings
from storage import weed
from storage.blobs import Blobs
from storage.hub import Hub, served
from storage.repository import Repository
from storage.served import Answer, Site, send, tarball

PAGE = DOCS / "storage.md"
SOURCES = Path(download.__code__.co_filename).parent
# As large as a small model, and as hard to compress.
MODEL = {"model.joblib": random.Random(0).randbytes(5800), "README.md": b"words"}

_READ = re.compile(r"(?:environ(?:\.get\(|\[)|(?:flag|number|seconds|authorities)\(\w*environ, )\s*['\"](\w+)['\"]")
_NAMED = re.compile(r'^[A-Z_]+ = "([A-Z_]+)"$', re.MULTILINE)
# What is read of every process's environment, and is no setting of storage.
_OTHERS = {"PATH", "HOME", "KUBERNETES_SERVICE_HOST", "CONFIDENTIAL_ENABLED", "NO_PROXY"}


def settings_on_the_page() -> set[str]:
    part = PAGE.read_text().partition("## Settings")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in part.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_every_variable_is_documented_and_no_other() -> None:
    text = "".join(file.read_text() for file in SOURCES.glob("*.py"))
    read = {*_READ.findall(text), *_NAMED.findall(text), *settings._SPEC.values()} - _OTHERS
    read |= {f"{vendor}_{name}" for vendor in ("AZURE", "AZ") for name in ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET")}
    assert len(read) > 40
    # Built out of parts, or read by the standard library.
    built = {"<host>-headers", "http_proxy", "https_proxy", "all_proxy", "SSL_CERT_DIR"}
    assert settings_on_the_page() - built == read - {"MIZZEN_HOME"}


def test_schemes_are_those_of_the_code() -> None:
    page = PAGE.read_text()
    table = page.partition("## Addresses")[2].partition("\n### ")[0]
    for scheme in ("file", "http", "https", "s3", "gs", "hf", "pvc"):
        assert f"`{scheme}://" in table
    assert "devstoreaccount1" in page and hosts.AZURITE_ACCOUNT == "devstoreaccount1"


Place = tuple[Mapping[str, str], Mapping[str, str]]


def _http(site: Site, folder: Path) -> Place:
    site.answers["/iris.tar.gz"] = conditional(tarball(("model.joblib", MODEL["model.joblib"])))
    return {}, {"127.0.0.1:8099": site.url("").removeprefix("http://")}


def _s3(site: Site, folder: Path) -> Place:
    boto3 = pytest.importorskip("boto3", reason="no boto3: install mizzen[s3]")
    endpoint = folder.joinpath("endpoint").read_text()
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", **_keys())
    client.create_bucket(Bucket="models")
    for name, contents in MODEL.items():
        client.put_object(Bucket="models", Key=f"iris/{name}", Body=contents)
    real = {"https://minio.example:9000": endpoint, "ACCESS-KEY": "ownerkey", "SECRET-KEY": "owner-S3cr3t"}
    return {}, real


def _keys() -> dict[str, str]:
    return {name.lower(): value for name, value in weed.OWNER.items()}


def _gs(site: Site, folder: Path) -> Place:
    """The three routes of the service that are used; :mod:`test_gcs` asks an emulator that others wrote."""
    items = [{"name": f"iris/{name}", "size": str(len(found)), "generation": "1"} for name, found in MODEL.items()]
    site.answers["/storage/v1/b/models/o"] = send(json.dumps({"items": items}).encode())
    for name, contents in MODEL.items():
        site.answers[f"/download/storage/v1/b/models/o/iris%2F{name}"] = send(contents)
    return {"STORAGE_EMULATOR_HOST": site.url("")}, {}


def _hf(site: Site, folder: Path) -> Place:
    hub = Hub(site)
    hub.put("acme/iris", MODEL)
    hub.token = "hf_TOKEN"
    return {"HF_ENDPOINT": site.url("")}, {}


def _azure(site: Site, folder: Path) -> Place:
    pytest.importorskip("azure.identity", reason="no azure-identity: install mizzen[azure]")
    blobs = Blobs(site, "acme")
    blobs.containers["models"] = {f"iris/{name}": contents for name, contents in MODEL.items()}
    return {"AZURE_STORAGE_CONNECTION_STRING": blobs.connection}, {}


def _git(site: Site, folder: Path) -> Place:
    repository = Repository(site, folder / "git")
    repository.commit(MODEL)
    return {"GIT_CONFIG_NOSYSTEM": "1"}, {"https://git.example/acme/iris.git": repository.url()}


_PLACES: dict[str, Callable[[Site, Path], Place]] = {
    "http": _http,
    "s3": _s3,
    "gs": _gs,
    "hf": _hf,
    "azure": _azure,
    "git": _git,
}


def conditional(contents: bytes) -> Answer:
    whole = served(contents, ETag='"1"')

    def answer(handler: BaseHTTPRequestHandler) -> None:
        (send(b"", status=304) if handler.headers.get("If-None-Match") else whole)(handler)

    return answer


def printed_blocks() -> Iterator[Block]:
    yield from (block for block in blocks(PAGE) if block.language == "console" and not block.runs)


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    if request.node.callspec.params["block"].words != ("s3",):
        yield tmp_path
        return
    (tmp_path / "weed").mkdir()
    with weed.running(tmp_path / "weed") as endpoint:
        (tmp_path / "endpoint").write_text(endpoint)
        yield tmp_path


@pytest.mark.parametrize("block", list(printed_blocks()), ids=lambda block: block.words[0])
def test_what_the_page_prints_is_what_comes_out(block: Block, site: Site, folder: Path) -> None:
    environ, real = _PLACES[block.words[0]](site, folder)
    commands = folder / "bin"
    commands.mkdir()
    (commands / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (commands / "python").chmod(0o755)
    shell = {**os.environ, "HOME": str(folder), "PATH": f"{commands}:{os.environ['PATH']}", **environ}
    shell["MIZZEN_MODEL_CACHE"] = str(folder / "cache")
    typed = ""
    for step in steps(block):
        command = step.command
        for theirs, ours in real.items():
            command = command.replace(theirs, ours)
        if command.startswith("export "):
            typed += f"{command}\n"
            continue
        done = subprocess.run(
            ["bash", "-c", f"{typed}{command} 2>&1"],
            env=shell,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        came_out = done.stdout
        for theirs, ours in real.items():
            came_out = came_out.replace(ours, theirs)
        assert agrees(step.printed, came_out), f"{step.where}: {step.command}\nit came out:\n{came_out}"
