"""Repositories behind git's own server."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from mizzen.storage import StorageError, fetch
from storage.repository import Repository
from storage.secure import Secure
from storage.served import Site, files_in, send, tarball

MODEL = bytes(range(256)) * 300
HOST = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "MIZZEN_MODEL_CACHE": ""}


@pytest.fixture
def repository(site: Site, tmp_path: Path) -> Repository:
    if not shutil.which("git"):
        pytest.skip("no git")
    return Repository(site, tmp_path)


def failure(uri: str, out: Path, environ: dict[str, str]) -> str:
    with pytest.raises(StorageError) as raised:
        fetch(uri, out, environ=environ)
    assert not out.exists() or not os.listdir(out)
    assert "S3cr3t" not in str(raised.value)
    return str(raised.value)


def test_the_newest_commit_without_its_history(repository: Repository, tmp_path: Path) -> None:
    repository.commit({"model.joblib": b"old", "gone": b"gone"})
    (repository.work / "gone").unlink()
    repository.commit({"model.joblib": MODEL, "package/__init__.py": b"", "run.sh": b"#!/bin/sh\n"})
    (repository.work / "run.sh").chmod(0o755)
    (repository.work / "linked").symlink_to("package")
    repository.push()
    out = tmp_path / "out"
    fetched = fetch(repository.url(), out, environ=HOST)
    assert files_in(out) == {
        "model.joblib": MODEL,
        "package/__init__.py": b"",
        "linked/__init__.py": b"",
        "run.sh": b"#!/bin/sh\n",
    }
    assert fetched.files == 4
    assert (out / "run.sh").stat().st_mode & stat.S_IXUSR
    assert not (out / "model.joblib").stat().st_mode & stat.S_IXUSR


def test_patterns_and_archives(repository: Repository, tmp_path: Path) -> None:
    repository.commit({"iris.tar.gz": tarball(("model.joblib", MODEL)), "README.md": b"words"})
    fetch(repository.url(), tmp_path / "out", ignore_patterns=["*.md"], environ=HOST)
    assert files_in(tmp_path / "out") == {"model.joblib": MODEL}


def test_a_second_start_clones_nothing(repository: Repository, tmp_path: Path) -> None:
    repository.commit({"model.joblib": MODEL})
    environ = HOST | {"MIZZEN_MODEL_CACHE": str(tmp_path / "cache")}
    fetch(repository.url(), tmp_path / "one", environ=environ)
    repository.requests.clear()
    assert fetch(repository.url(), tmp_path / "two", environ=environ).cached
    # It asks which commit is the newest; a clone would ask once more.
    assert repository.requests == ["refs", "git-upload-pack"]
    repository.commit({"model.joblib": b"new"})
    assert not fetch(repository.url(), tmp_path / "three", environ=environ).cached
    assert files_in(tmp_path / "two") == {"model.joblib": MODEL}
    assert files_in(tmp_path / "three") == {"model.joblib": b"new"}
    assert os.listdir(tmp_path / "cache" / "v1" / "work") == []


def test_a_password(repository: Repository, tmp_path: Path) -> None:
    repository.commit({"model.joblib": MODEL})
    repository.password = "S3cr3t'\"$x"
    environ = HOST | {"GIT_USERNAME": "reader", "GIT_PASSWORD": repository.password}
    fetch(repository.url(), tmp_path / "one", environ=environ)
    del environ["GIT_USERNAME"]
    fetch(repository.url("reader:S3cr3t-ignored"), tmp_path / "two", environ=environ)
    assert files_in(tmp_path / "one") == files_in(tmp_path / "two") == {"model.joblib": MODEL}
    out = tmp_path / "out"
    message = failure(repository.url("reader"), out, environ | {"GIT_PASSWORD": "wrong-S3cr3t"})
    assert (
        "Git authentication failed (user or password are wrong). Credentials are read from GIT_USERNAME and" in message
    )
    message = failure(repository.url("reader:S3cr3t"), out, HOST)
    assert "Git authentication failed (the repository asks for a password)." in message


def test_a_password_is_in_no_argument(repository: Repository, tmp_path: Path) -> None:
    """While git waits for an answer, every user of the machine can read the arguments of its processes."""
    repository.commit({"model.joblib": MODEL})
    repository.password = "S3cr3t"
    seen: list[bytes] = []
    serve = repository.site.otherwise
    assert serve is not None

    def look(handler: BaseHTTPRequestHandler) -> None:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                seen.append((process / "cmdline").read_bytes())
            except OSError:
                continue
        serve(handler)

    repository.site.otherwise = look
    environ = HOST | {"GIT_USERNAME": "reader", "GIT_PASSWORD": repository.password}
    fetch(repository.url(), tmp_path / "out", environ=environ)
    assert any(b"git\0clone" in line for line in seen)
    assert not any(b"S3cr3t" in line for line in seen)


def test_what_is_refused(repository: Repository, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "there is no commit: the repository is empty" in failure(repository.url(), out, HOST)
    missing = repository.url().replace("iris", "nothing")
    assert "Git resource 'http" in (message := failure(missing, out, HOST))
    assert message.endswith("not found.")
    message = failure("http://127.0.0.1:1/acme/iris.git", out, HOST)
    assert "Failed to connect to Git endpoint 'http://127.0.0.1:1/acme/iris.git' (tried 3 times)" in message
    repository.site.otherwise = send(b"", status=503)
    assert "Git is not available just now (status 503) (tried 3 times)" in failure(repository.url(), out, HOST)
    repository.site.otherwise = send(b"", status=403)
    assert "Access denied to Git resource" in failure(repository.url(), out, HOST)
    repository.site.otherwise = send(b"<html>")
    assert "or the address is that of something else" in failure(repository.url(), out, HOST)
    repository.site.otherwise = send(b"", status=418)
    assert "Git error: fatal: " in failure(repository.url(), out, HOST)
    message = failure(repository.url(), out, HOST | {"PATH": str(tmp_path)})
    assert "a git repository needs the command git, and there is none in PATH: install it" in message


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/etc/passwd", "'link' is a link that leads out of the repository: nothing of it is taken"),
        ("../" * 30 + "etc/passwd", "'link' is a link that leads out of the repository"),
        ("nothing", "'link' is a link to 'nothing', and that is not there"),
        (".", "'link' is a link to a folder around it"),
    ],
)
def test_links_that_are_not_taken(repository: Repository, tmp_path: Path, target: str, expected: str) -> None:
    (repository.work / "link").symlink_to(target)
    repository.commit({"model.joblib": MODEL})
    assert expected in failure(repository.url(), tmp_path / "out", HOST)


def test_a_pointer_instead_of_a_large_file(repository: Repository, tmp_path: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    repository.commit({"model.bin": pointer})
    message = failure(repository.url(), tmp_path / "out", HOST)
    assert "model.bin is kept by Git LFS, and this machine's git cannot fetch it: install git-lfs" in message


def test_hooks_and_settings_of_the_repository_are_data(repository: Repository, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    hooks = tmp_path / "template" / "hooks"
    hooks.mkdir(parents=True)
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch {mark}\n")
    (hooks / "post-checkout").chmod(0o755)
    repository.commit({"model.joblib": MODEL})
    fetch(repository.url(), tmp_path / "out", environ=HOST | {"GIT_TEMPLATE_DIR": str(tmp_path / "template")})
    assert not mark.exists()


def test_an_authority_of_ones_own(secure: Secure, tmp_path: Path) -> None:
    if not shutil.which("git"):
        pytest.skip("no git")
    repository = Repository(secure.site, tmp_path)
    repository.commit({"model.joblib": MODEL})
    url = secure.url("/acme/iris.git")
    fetch(url, tmp_path / "out", environ=HOST | secure.trusting)
    assert files_in(tmp_path / "out") == {"model.joblib": MODEL}
    assert "its certificate is not trusted" in failure(url, tmp_path / "no", HOST)
    secure.site.errors.clear()


def test_sigterm_ends_git_too(repository: Repository, tmp_path: Path) -> None:
    began = threading.Event()

    def hang(handler: BaseHTTPRequestHandler) -> None:
        began.set()
        repository.site.over.wait(60)

    repository.site.otherwise = hang
    command = [sys.executable, "-m", "mizzen.storage.initializer", repository.url(), str(tmp_path / "out")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **HOST}) as process:
        assert began.wait(60)
        process.terminate()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert errors.splitlines()[-1].endswith("stopped by SIGTERM before it was complete")
    deadline = time.monotonic() + 60
    while any(repository.url().encode() in line for line in _arguments()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert os.listdir(tmp_path / "out") == []


def _arguments() -> list[bytes]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found.append((process / "cmdline").read_bytes())
        except OSError:
            continue
    return found
