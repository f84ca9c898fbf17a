"""What a second start costs, who may share it, and what nobody may do to it."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from mizzen.storage import StorageError, Transfer, fetch
from mizzen.storage.cache import DEFAULT_MAX_BYTES, Cache, folder_of
from mizzen.storage.parts import SEGMENT
from mizzen.storage.placing import Placer
from mizzen.storage.source import Remote
from storage.hub import Hub, served
from storage.served import Answer, Site, files_in, in_turn, send, tarball
from storage.users import as_nobody, place_for_all

MODEL = bytes(range(256)) * 300
SHA256 = hashlib.sha256(MODEL).hexdigest()


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"MIZZEN_MODEL_CACHE": str(tmp_path / "cache")}


@pytest.fixture
def hub(site: Site) -> Hub:
    hub = Hub(site)
    del hub.environ["MIZZEN_MODEL_CACHE"]
    return hub


@pytest.fixture
def home() -> Iterator[Path]:
    with place_for_all() as folder:
        yield folder


def blob(environ: Mapping[str, str], sha256: str = SHA256) -> Path:
    return Path(environ["MIZZEN_MODEL_CACHE"]) / "v1" / "blobs" / sha256[:2] / sha256


def put(site: Site, path: str, contents: bytes, **fields: str) -> None:
    """A file as an ordinary web server has it: it honours conditions and parts."""
    whole = served(contents, **fields)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        shown = {"If-None-Match": fields.get("ETag"), "If-Modified-Since": fields.get("Last-Modified")}
        if any(handler.headers.get(name) == value for name, value in shown.items() if value):
            send(b"", status=304, kind=None)(handler)
            return
        validator = handler.headers.get("If-Range")
        if validator and validator not in fields.values():
            del handler.headers["Range"]
        whole(handler)

    site.answers[path] = answer


# What is downloaded, and what is not.


@pytest.mark.parametrize(
    "fields",
    [{"ETag": '"a1"'}, {"ETag": 'W/"a1"'}, {"Last-Modified": "Sat, 21 Nov 2026 12:00:00 GMT"}],
    ids=["ETag", "weak ETag", "date"],
)
def test_a_second_start_downloads_nothing(
    site: Site, tmp_path: Path, environ: dict[str, str], fields: dict[str, str]
) -> None:
    put(site, "/m.bin", MODEL, **fields)
    assert not fetch(site.url("/m.bin"), tmp_path / "one", environ=environ).cached
    seen: list[Transfer] = []
    fetched = fetch(site.url("/m.bin"), tmp_path / "two", environ=environ, progress=seen.append)
    assert (fetched.cached, fetched.files, fetched.bytes) == (True, 1, len(MODEL))
    assert files_in(tmp_path / "two") == {"m.bin": MODEL}
    assert seen == []
    assert set(site.requests[1][1]) & {"if-none-match", "if-modified-since"}


def test_what_changed_is_downloaded_anew(site: Site, tmp_path: Path, environ: dict[str, str]) -> None:
    put(site, "/m.bin", b"old", ETag='"1"')
    fetch(site.url("/m.bin"), tmp_path, environ=environ)
    put(site, "/m.bin", b"new", ETag='"2"')
    assert not fetch(site.url("/m.bin"), tmp_path, environ=environ).cached
    assert files_in(tmp_path)["m.bin"] == b"new"
    put(site, "/m.bin", b"old", ETag='"1"')
    assert fetch(site.url("/m.bin"), tmp_path, environ=environ).cached
    assert files_in(tmp_path)["m.bin"] == b"old"


def test_a_server_that_says_nothing_of_versions_is_asked_for_everything(
    site: Site, tmp_path: Path, environ: dict[str, str]
) -> None:
    site.answers["/m.bin"] = in_turn(send(b"old"), send(b"new"))
    for contents in (b"old", b"new"):
        assert not fetch(site.url("/m.bin"), tmp_path / "out", environ=environ).cached
        assert files_in(tmp_path / "out") == {"m.bin": contents}


def test_an_archive_is_unpacked_again_and_not_downloaded(site: Site, tmp_path: Path, environ: dict[str, str]) -> None:
    put(site, "/m.tgz", tarball(("a", MODEL), ("b", b"b")), ETag='"1"')
    fetch(site.url("/m.tgz"), tmp_path / "one", environ=environ)
    assert fetch(site.url("/m.tgz"), tmp_path / "two", ignore_patterns=["b"], environ=environ).cached
    assert fetch(site.url("/m.tgz"), tmp_path / "three", environ=environ).cached
    assert files_in(tmp_path / "one") == files_in(tmp_path / "three") == {"a": MODEL, "b": b"b"}
    assert files_in(tmp_path / "two") == {"a": MODEL}


def test_secrets_of_an_address_are_not_written_down(site: Site, tmp_path: Path, environ: dict[str, str]) -> None:
    put(site, "/m.bin", MODEL, ETag='"1"')
    url = site.url("/m.bin?sig=S3cr3t").replace("//", "//me:S3cr3t@")
    fetch(url, tmp_path / "out", environ=environ)
    assert fetch(url, tmp_path / "out", environ=environ).cached
    written = files_in(tmp_path / "cache")
    assert any(b"sig=***" in contents for contents in written.values())
    assert not any(b"S3cr3t" in contents or "S3cr3t" in path for path, contents in written.items())


def test_the_cache_is_for_its_owner_alone(site: Site, tmp_path: Path) -> None:
    put(site, "/m.bin", MODEL, ETag='"1"')
    fetch(site.url("/m.bin"), tmp_path / "out", environ={"MIZZEN_HOME": str(tmp_path / "home")})
    for path in (tmp_path / "home").rglob("*"):
        assert not path.parent.stat().st_mode & 0o077, path.parent


def test_an_empty_value_turns_it_off(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(site, "/m.bin", MODEL, ETag='"1"')
    monkeypatch.setenv("HOME", str(tmp_path))
    for _ in range(2):
        assert not fetch(site.url("/m.bin"), tmp_path / "out", environ={"MIZZEN_MODEL_CACHE": ""}).cached
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "/home/me/.mizzen/cache"),
        ({"MIZZEN_HOME": "/srv/mizzen"}, "/srv/mizzen/cache"),
        ({"MIZZEN_HOME": "/srv/mizzen", "MIZZEN_MODEL_CACHE": "/big/disk"}, "/big/disk"),
        ({"MIZZEN_MODEL_CACHE": "~/models"}, "/home/me/models"),
        ({"MIZZEN_MODEL_CACHE": " "}, None),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, None),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "MIZZEN_MODEL_CACHE": "/node/cache"}, "/node/cache"),
    ],
)
def test_where_it_is(environ: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert folder_of(environ) == (Path(expected) if expected else None)


def test_a_sum_that_is_a_path_leads_nowhere(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", DEFAULT_MAX_BYTES)
    (tmp_path / "secret").write_bytes(b"S3cr3t")
    for sum_of_all in ("../../../secret", "../../../../secret", f"{tmp_path}/secret"):
        assert cache.find("x", Remote("m.bin", 6, digest=f"sha256:{sum_of_all}")) is None


# The service cannot be reached.


def test_without_the_service_it_is_used_only_if_that_was_said(
    site: Site, tmp_path: Path, environ: dict[str, str]
) -> None:
    put(site, "/m.bin", MODEL, ETag='"1"')
    fetch(site.url("/m.bin"), tmp_path / "one", environ=environ)
    site.answers["/m.bin"] = send(b"", status=503)
    with pytest.raises(StorageError) as raised:
        fetch(site.url("/m.bin"), tmp_path / "two", environ=environ)
    assert (
        "HTTP request failed with status code 503 (tried 3 times); with MIZZEN_MODEL_CACHE_OFFLINE=true, what the"
        in (str(raised.value))
    )
    offline = environ | {"MIZZEN_MODEL_CACHE_OFFLINE": "true"}
    seen: list[Transfer] = []
    assert fetch(site.url("/m.bin"), tmp_path / "two", environ=offline, progress=seen.append).cached
    assert files_in(tmp_path / "two") == {"m.bin": MODEL}
    (notice,) = [each.notice for each in seen if each.notice]
    assert notice.startswith("HTTP request failed with status code 503 (tried 3 times); what the cache has of ")


def test_without_a_listener_the_warning_is_logged(
    site: Site, tmp_path: Path, environ: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    put(site, "/m.bin", MODEL, ETag='"1"')
    fetch(site.url("/m.bin"), tmp_path / "one", environ=environ)
    site.answers["/m.bin"] = send(b"", status=503)
    fetch(site.url("/m.bin"), tmp_path / "two", environ=environ | {"MIZZEN_MODEL_CACHE_OFFLINE": "1"})
    assert "what the cache has of" in caplog.text


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_is_no_outage(site: Site, tmp_path: Path, environ: dict[str, str], status: int) -> None:
    put(site, "/m.bin", MODEL, ETag='"1"')
    fetch(site.url("/m.bin"), tmp_path / "one", environ=environ)
    site.answers["/m.bin"] = send(b"", status=status)
    with pytest.raises(StorageError, match=f"status {status}"):
        fetch(site.url("/m.bin"), tmp_path / "two", environ=environ | {"MIZZEN_MODEL_CACHE_OFFLINE": "true"})


def test_half_a_model_is_not_used_offline(hub: Hub, tmp_path: Path, environ: dict[str, str]) -> None:
    environ = environ | hub.environ | {"MIZZEN_MODEL_CACHE_OFFLINE": "true"}
    commit = hub.put("acme/tiny", {"a": b"a", "b": MODEL})
    there = dict(hub.site.answers)
    fetch("hf://acme/tiny", tmp_path / "part", allow_patterns=["a"], environ=environ)
    hub.site.answers.clear()
    hub.site.answers["/api/models/acme/tiny/revision/main"] = send(b"", status=500)
    with pytest.raises(StorageError, match="Hugging Face is not available just now"):
        fetch("hf://acme/tiny", tmp_path / "whole", environ=environ)
    fetch("hf://acme/tiny", tmp_path / "again", allow_patterns=["a"], environ=environ)
    assert files_in(tmp_path / "again") == {"a": b"a"}
    hub.site.answers |= there
    assert commit
    fetch("hf://acme/tiny", tmp_path / "whole", environ=environ)
    assert files_in(tmp_path / "whole") == {"a": b"a", "b": MODEL}


# What cannot be trusted.


def cut(path: Path) -> None:
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.truncate(10)


def overwrite(path: Path) -> None:
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.write(b"damage")


@pytest.mark.parametrize("damage", [cut, overwrite, Path.unlink])
def test_what_was_damaged_is_fetched_anew(site: Site, tmp_path: Path, environ: dict[str, str], damage: Answer) -> None:
    put(site, "/m.bin", MODEL, ETag='"1"')
    fetch(site.url("/m.bin"), tmp_path / "one", environ=environ)
    damage(blob(environ))  # type: ignore[arg-type]
    seen: list[Transfer] = []
    assert not fetch(site.url("/m.bin"), tmp_path / "two", environ=environ, progress=seen.append).cached
    assert files_in(tmp_path / "two") == {"m.bin": MODEL}
    assert blob(environ).read_bytes() == MODEL
    notices = [each.notice for each in seen if each.notice]
    assert len(notices) == (damage is not Path.unlink)
    assert all("was damaged in the cache" in notice for notice in notices)
    assert fetch(site.url("/m.bin"), tmp_path / "three", environ=environ).cached


def test_what_only_looks_damaged_is_read_and_kept(site: Site, tmp_path: Path, environ: dict[str, str]) -> None:
    put(site, "/m.bin", MODEL, ETag='"1"')
    fetch(site.url("/m.bin"), tmp_path / "one", environ=environ)
    os.utime(blob(environ))
    assert fetch(site.url("/m.bin"), tmp_path / "two", environ=environ).cached


def test_notes_that_are_damaged_are_no_notes(site: Site, tmp_path: Path, environ: dict[str, str]) -> None:
    put(site, "/m.bin", MODEL, ETag='"1"')
    fetch(site.url("/m.bin"), tmp_path / "one", environ=environ)
    for kind in ("listings", "references"):
        for note in (tmp_path / "cache" / "v1" / kind).iterdir():
            note.write_bytes(b'["../../../etc/passwd"]' if kind == "references" else b"{")
    assert not fetch(site.url("/m.bin"), tmp_path / "two", environ=environ).cached
    assert files_in(tmp_path / "two") == {"m.bin": MODEL}


def test_what_a_pod_writes_does_not_reach_the_cache(site: Site, home: Path) -> None:
    """As root, whom no mode hinders, and as an ordinary user, who gets a link to a file without the right to write."""
    put(site, "/m.bin", MODEL, ETag='"1"')

    def write(name: str) -> str:
        environ = {"MIZZEN_MODEL_CACHE": str(home / name / "cache")}
        fetch(site.url("/m.bin"), home / name / "out", environ=environ)
        placed = home / name / "out" / "m.bin"
        shared = placed.stat().st_ino == blob(environ).stat().st_ino
        try:
            with placed.open("r+b") as file:
                file.write(b"damage")
            written = True
        except PermissionError:
            written = False
        assert blob(environ).read_bytes() == MODEL
        assert fetch(site.url("/m.bin"), home / name / "again", environ=environ).cached
        return f"shared {shared}, written {written}"

    assert as_nobody(lambda: write("user")) in ("shared True, written False", "shared False, written True")
    if os.geteuid() == 0:
        assert write("root") == "shared False, written True"


def test_links_are_made_where_they_protect(site: Site, home: Path) -> None:
    """A file system without reflinks is needed to see it."""
    put(site, "/m.bin", MODEL, ETag='"1"')

    def links() -> str:
        Placer._reflink = lambda *arguments, **more: False  # type: ignore[method-assign]  # this process ends soon
        environ = {"MIZZEN_MODEL_CACHE": str(home / "mine" / "cache")}
        for name in ("one", "two"):
            fetch(site.url("/m.bin"), home / "mine" / name, environ=environ)
        found = (home / "mine" / "two" / "m.bin").stat()
        return f"{found.st_nlink} {stat.filemode(found.st_mode)}"

    assert as_nobody(links) == "3 -r--r--r--"


def test_a_name_that_was_given_up_is_no_loss(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "target").mkdir()
    name = tmp_path / "cache" / "blob"
    name.write_bytes(MODEL)
    with name.open("rb") as file:
        name.unlink()
        Placer(tmp_path / "cache", tmp_path / "target").place(name, file, tmp_path / "target" / "m", executable=True)
    assert files_in(tmp_path / "target") == {"m": MODEL}
    assert (tmp_path / "target" / "m").stat().st_mode & stat.S_IXUSR


def test_a_folder_that_cannot_be_used(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(site, "/m.bin", MODEL, ETag='"1"')
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match=f"cannot write {tmp_path}/file/cache"):
        fetch(site.url("/m.bin"), tmp_path / "out", environ={"MIZZEN_MODEL_CACHE": str(tmp_path / "file" / "cache")})
    assert not (tmp_path / "out").exists() or not os.listdir(tmp_path / "out")
    seen: list[Transfer] = []
    fetch(site.url("/m.bin"), tmp_path / "out", environ={"MIZZEN_HOME": str(tmp_path / "file")}, progress=seen.append)
    assert files_in(tmp_path / "out") == {"m.bin": MODEL}
    assert seen[0].notice.startswith(f"nothing is kept for the next start: cannot write {tmp_path}/file/cache")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user")
def test_a_folder_of_somebody_else(site: Site, tmp_path: Path) -> None:
    put(site, "/m.bin", MODEL, ETag='"1"')
    environ = {"MIZZEN_MODEL_CACHE": str(tmp_path / "cache")}
    fetch(site.url("/m.bin"), tmp_path / "one", environ=environ)
    os.chown(tmp_path / "cache" / "v1", 65534, 65534)
    with pytest.raises(
        StorageError, match="belongs to another user; name a folder of your own with MIZZEN_MODEL_CACHE"
    ):
        fetch(site.url("/m.bin"), tmp_path / "two", environ=environ)


# How much it keeps.


def test_what_was_not_used_for_longest_goes(hub: Hub, tmp_path: Path, environ: dict[str, str]) -> None:
    environ = environ | hub.environ | {"MIZZEN_MODEL_CACHE_MAX_BYTES": str(250_000)}
    contents = {name: os.urandom(100_000) for name in ("a", "b", "c")}
    for name in ("a", "b"):
        hub.put(f"acme/{name}", {"m.bin": contents[name]})
        fetch(f"hf://acme/{name}", tmp_path / name, environ=environ)
        (tmp_path / name / "m.bin").unlink()
    blobs = {name: blob(environ, hashlib.sha256(each).hexdigest()) for name, each in contents.items()}
    os.utime(blobs["b"], ns=(0, blobs["b"].stat().st_mtime_ns))
    hub.put("acme/c", {"m.bin": contents["c"]})
    fetch("hf://acme/c", tmp_path / "c", environ=environ)
    assert {name for name, path in blobs.items() if path.exists()} == {"a", "c"}
    assert fetch("hf://acme/a", tmp_path / "a", environ=environ).cached
    assert not fetch("hf://acme/b", tmp_path / "b", environ=environ).cached


def test_what_a_model_shares_is_neither_counted_nor_removed(hub: Hub, tmp_path: Path, environ: dict[str, str]) -> None:
    environ = environ | hub.environ | {"MIZZEN_MODEL_CACHE_MAX_BYTES": str(100_000)}
    contents = {name: os.urandom(90_000) for name in ("a", "b")}
    blobs = {name: blob(environ, hashlib.sha256(each).hexdigest()) for name, each in contents.items()}
    hub.put("acme/a", {"m.bin": contents["a"]})
    hub.put("acme/b", {"m.bin": contents["b"]})
    fetch("hf://acme/a", tmp_path / "a", environ=environ)
    os.link(blobs["a"], tmp_path / "link")
    fetch("hf://acme/b", tmp_path / "b", environ=environ)
    assert blobs["a"].exists()
    assert blobs["b"].exists()


def test_what_is_too_large_is_not_kept(hub: Hub, tmp_path: Path, environ: dict[str, str]) -> None:
    hub.put("acme/tiny", {"m.bin": MODEL})
    environ = environ | hub.environ | {"MIZZEN_MODEL_CACHE_MAX_BYTES": "1000"}
    seen: list[Transfer] = []
    for _ in range(2):
        assert not fetch("hf://acme/tiny", tmp_path / "out", environ=environ, progress=seen.append).cached
    assert files_in(tmp_path / "out") == {"m.bin": MODEL}
    assert not blob(environ).exists()
    assert (
        "75.0 KiB are more than the 1000 bytes that the cache may hold (MIZZEN_MODEL_CACHE_MAX_BYTES)" in seen[0].notice
    )


def test_a_download_that_nobody_goes_on_with_is_removed_after_a_week(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", DEFAULT_MAX_BYTES)
    for name, days in (("0" * 64, 8), ("1" * 64, 6)):
        part = cache.root / "parts" / name
        for path in (part, part.with_name(f"{name}.segments"), part.with_name(f"{name}.lock")):
            path.write_bytes(b"0\n")
            os.utime(path, (0, path.stat().st_mtime - days * 86400))
    assert cache.make_room(0)
    assert {path.name.partition(".")[0] for path in (cache.root / "parts").iterdir()} == {"1" * 64}


@pytest.mark.parametrize("text", ["0", "much", "-1"])
def test_a_limit_that_is_none(site: Site, tmp_path: Path, environ: dict[str, str], text: str) -> None:
    with pytest.raises(StorageError, match="MIZZEN_MODEL_CACHE_MAX_BYTES must be a whole number above 0 "):
        fetch(site.url("/m.bin"), tmp_path / "out", environ=environ | {"MIZZEN_MODEL_CACHE_MAX_BYTES": text})


# Several processes.


def start(uri: str, out: Path, environ: Mapping[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mizzen.storage.initializer", uri, str(out)]
    return subprocess.Popen(
        command, env={**os.environ, **environ}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_two_processes_fetch_the_same_once(hub: Hub, tmp_path: Path, environ: dict[str, str]) -> None:
    environ = environ | hub.environ
    hub.put("acme/tiny", {"m.bin": MODEL})
    path = next(path for path in hub.site.answers if path.startswith("/cdn/"))
    whole = hub.site.answers[path]
    began, go_on = threading.Event(), threading.Event()

    def gate(handler: BaseHTTPRequestHandler) -> None:
        began.set()
        go_on.wait(60)
        whole(handler)

    hub.site.answers[path] = gate
    with start("hf://acme/tiny", tmp_path / "one", environ) as first:
        assert began.wait(60)
        with start("hf://acme/tiny", tmp_path / "two", environ) as second:
            assert second.stderr is not None
            lines = [second.stderr.readline(), second.stderr.readline()]
            assert "another process fetches m.bin: waiting for it" in lines[1]
            go_on.set()
            assert (first.wait(60), second.wait(60)) == (0, 0)
            for process in (first, second):
                process.communicate()
    assert files_in(tmp_path / "one") == files_in(tmp_path / "two") == {"m.bin": MODEL}
    assert [asked for asked, _ in hub.site.requests if asked == path] == [path]


def test_kill_9_in_the_middle(hub: Hub, tmp_path: Path, environ: dict[str, str]) -> None:
    """Nothing is visible, nothing is locked, and what was complete is not fetched again."""
    environ = environ | hub.environ
    contents = os.urandom(1 << 20) * ((SEGMENT >> 20) + 16)
    hub.put("acme/large", {"m.bin": contents})
    path = next(path for path in hub.site.answers if path.startswith("/cdn/"))
    whole = hub.site.answers[path]
    half = threading.Event()

    def stall(handler: BaseHTTPRequestHandler) -> None:
        send(contents[: SEGMENT + (8 << 20)], length=len(contents))(handler)
        handler.wfile.flush()
        half.set()
        hub.site.over.wait(60)

    hub.site.answers[path] = stall
    with start("hf://acme/large", tmp_path / "out", environ) as process:
        assert half.wait(60)
        parts = tmp_path / "cache" / "v1" / "parts"
        while not [part for part in parts.glob("*.segments") if part.read_text()]:
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert [name for name in os.listdir(tmp_path / "out") if not name.startswith(".mizzen-")] == []
    hub.site.answers[path] = whole
    hub.site.requests.clear()
    with start("hf://acme/large", tmp_path / "out", environ) as process:
        assert process.wait(60) == 0
        process.communicate()
    assert os.listdir(tmp_path / "out") == ["m.bin"]
    assert hashlib.sha256((tmp_path / "out" / "m.bin").read_bytes()).digest() == hashlib.sha256(contents).digest()
    asked = [headers["range"] for path_, headers in hub.site.requests if path_ == path]
    assert asked == [f"bytes={SEGMENT}-{len(contents) - 1}"]
    assert os.listdir(parts) == []


def test_sigterm_leaves_the_part_for_the_next_and_nothing_else(
    hub: Hub, tmp_path: Path, environ: dict[str, str]
) -> None:
    environ = environ | hub.environ
    files = {f"{number}.bin": os.urandom(100_000) for number in range(8)}
    hub.put("acme/many", files)
    waiting = threading.Semaphore(0)
    whole = dict(hub.site.answers)
    for path in [path for path in whole if path.startswith("/cdn/")]:

        def stall(handler: BaseHTTPRequestHandler) -> None:
            send(b"x" * 1000, length=100_000)(handler)
            handler.wfile.flush()
            waiting.release()
            hub.site.over.wait(60)

        hub.site.answers[path] = stall
    with start("hf://acme/many", tmp_path / "out", environ) as process:
        for _ in range(4):
            assert waiting.acquire(timeout=60)
        process.terminate()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert errors.splitlines()[-1] == "hf://acme/many: stopped by SIGTERM before it was complete"
    assert os.listdir(tmp_path / "out") == []
    hub.site.answers |= whole
    fetch("hf://acme/many", tmp_path / "out", environ=environ)
    assert files_in(tmp_path / "out") == files
