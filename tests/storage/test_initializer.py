from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from mizzen.storage import initializer
from storage.served import Site, files_in, send, tarball


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "iris").mkdir()
    (tmp_path / "iris" / "model.joblib").write_bytes(b"model")
    return tmp_path / "iris"


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "mizzen.storage.initializer", *map(str, arguments)]


def run(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), env={**os.environ, **environ}, capture_output=True, text=True, timeout=60, check=False
    )


def test_each_source_goes_to_the_folder_after_it(model: Path, site: Site, tmp_path: Path) -> None:
    site.answers["/m.tgz"] = send(tarball(("a.bin", b"abc"), ("b.bin", b"def")))
    one, two = tmp_path / "mnt" / "one", tmp_path / "mnt" / "two"
    ended = run(f"file://{model}", one, site.url("/m.tgz?sig=S3cr3t"), two)
    assert ended.returncode == 0, ended.stderr
    assert files_in(one) == {"model.joblib": b"model"}
    assert files_in(two) == {"a.bin": b"abc", "b.bin": b"def"}
    lines = ended.stdout.splitlines()
    assert re.fullmatch(rf"fetched file://{model}: 1 entry linked in \d+\.\d s", lines[0])
    assert re.fullmatch(rf"fetched {site.url('/m.tgz')}\?sig=\*\*\*: 2 files, 6 bytes in \d+\.\d s", lines[1])
    logged = [line.partition(" ")[2] for line in ended.stderr.splitlines()]
    assert logged[0] == f"fetching file://{model} into {one}"
    assert logged[1] == f"fetching {site.url('/m.tgz')}?sig=*** into {two}"
    assert [line.partition(":")[0] for line in logged[2:]] == ["download m.tgz", "unpack m.tgz"]
    assert "S3cr3t" not in ended.stdout + ended.stderr


@pytest.mark.parametrize("arguments", [[], ["only-one"], ["a", "b", "c"]])
def test_an_odd_number_of_arguments(arguments: list[str]) -> None:
    ended = run(*arguments)
    assert ended.returncode == 1
    assert ended.stderr == f"usage: storage-initializer SRC DEST [SRC DEST ...] (got {len(arguments)} arguments)\n"


def test_the_last_line_says_which_and_why(model: Path, tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    log.write_text("what was there before, and longer than any message " * 100)
    ended = run(model, tmp_path / "a", "/no/such\nmodel", tmp_path / "b", MIZZEN_TERMINATION_LOG=str(log))
    assert ended.returncode == 1
    assert ended.stdout.startswith(f"fetched {model}: 1 entry linked")
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("/no/such\\nmodel: it does not exist: there is no 'no' in /")
    assert log.read_text() == last


def test_a_long_message_is_cut_to_what_a_pod_keeps(tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    log.touch()
    uri = "/" + "/".join(["é" * 100] * 30)
    run(uri, tmp_path / "out", MIZZEN_TERMINATION_LOG=str(log))
    assert len(log.read_bytes()) == 4096


def test_a_termination_log_that_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for log in (tmp_path, tmp_path / "pipe", tmp_path / "missing", Path("/dev/null"), Path("/dev/full")):
        ended = run("/no/such/model", tmp_path / "out", MIZZEN_TERMINATION_LOG=str(log))
        assert ended.returncode == 1
        assert ended.stderr.splitlines()[-1].startswith("/no/such/model: it does not exist")
    assert not (tmp_path / "missing").exists()


def test_encrypted_models_are_not_passed_on(model: Path, tmp_path: Path) -> None:
    ended = run(model, tmp_path / "out", CONFIDENTIAL_ENABLED="true")
    assert ended.returncode == 1
    assert "encrypted models are not supported yet" in ended.stderr
    assert not (tmp_path / "out").exists()


def test_a_defect_is_reported_as_one(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*args: object, **settings: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(initializer, "fetch", broken)
    assert initializer.main([str(model), str(tmp_path / "out")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert any("Traceback" in line for line in lines)
    assert lines[-1] == f"{model}: a defect of the storage initializer: ZeroDivisionError"


def test_in_a_forked_child(model: Path, site: Site, tmp_path: Path) -> None:
    site.answers["/m.bin"] = send(b"model")
    child = os.fork()
    if child == 0:
        status = 99
        try:
            status = initializer.main([site.url("/m.bin"), str(tmp_path / "out")])
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert files_in(tmp_path / "out") == {"m.bin": b"model"}


def test_importing_it_costs_nothing_that_is_not_needed() -> None:
    heavy = {"ssl", "http.client", "tarfile", "lzma", "email", "tempfile", "msgspec", "aiohttp", "json", "dataclasses"}
    code = "import sys; before = {*sys.modules}; import mizzen.storage.initializer; print(*{*sys.modules} - before)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert heavy.isdisjoint(ended.stdout.split())


@pytest.mark.parametrize("name", ["m.bin", "m.tar.gz"])
def test_sigterm_stops_it_and_leaves_nothing(site: Site, tmp_path: Path, name: str) -> None:
    half, stop = threading.Event(), threading.Event()

    def endless(handler: BaseHTTPRequestHandler) -> None:
        send(b"\x1f\x8b" + bytes(1 << 20), length=1 << 30)(handler)
        half.set()
        stop.wait(60)

    site.answers[f"/{name}"] = endless
    log = tmp_path / "termination-log"
    log.touch()
    out = tmp_path / "out"
    environ = {**os.environ, "MIZZEN_TERMINATION_LOG": str(log)}
    with subprocess.Popen(
        command(site.url(f"/{name}"), out), env=environ, stderr=subprocess.PIPE, text=True
    ) as process:
        assert half.wait(60)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
        stop.set()
    assert process.returncode == 143
    assert os.listdir(out) == []
    assert errors.splitlines()[-1] == f"{site.url(f'/{name}')}: stopped by SIGTERM before it was complete"
    assert log.read_text() == errors.splitlines()[-1]


def test_sigterm_while_unpacking(tmp_path: Path) -> None:
    archive = tmp_path / "m.tar.xz"
    archive.write_bytes(tarball(*((f"{number}", bytes(8 << 20)) for number in range(30)), mode="w:xz"))
    out = tmp_path / "out"
    with subprocess.Popen(command(archive, out), stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not list(out.glob(".mizzen-*/unpacked/3")):
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert errors.splitlines()[-1] == f"{archive}: stopped by SIGTERM before it was complete"
    assert os.listdir(out) == []


def test_a_second_sigterm_does_not_cut_the_cleaning_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def terminate(*args: object, **settings: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(initializer, "fetch", terminate)
    monkeypatch.setattr(initializer, "_sweep", terminate)
    before = signal.getsignal(signal.SIGTERM)
    assert initializer.main(["one", str(tmp_path / "1"), "two", str(tmp_path / "2")]) == 143
    assert signal.getsignal(signal.SIGTERM) is before
    assert capsys.readouterr().err.splitlines()[-1] == "one, two: stopped by SIGTERM before it was complete"


def test_a_large_file_is_never_in_memory(site: Site, tmp_path: Path) -> None:
    size, chunk = 192 << 20, os.urandom(1 << 20)

    def large(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(size))
        handler.end_headers()
        for _ in range(size // len(chunk)):
            handler.wfile.write(chunk)

    site.answers["/m.bin"] = large
    code = (
        "import re, sys; from mizzen.storage.initializer import main; status = main(sys.argv[1:]);"
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1]); sys.exit(status)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, site.url("/m.bin"), tmp_path / "out"], capture_output=True, text=True, check=True
    )
    assert (tmp_path / "out" / "m.bin").stat().st_size == size
    (tmp_path / "out" / "m.bin").unlink()
    assert int(ended.stdout.splitlines()[-1]) < 80 * 1024
