from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from mizzen.storage import StorageError, Transfer, download, fetch
from mizzen.storage.settings import STALL_SECONDS
from storage.hub import served
from storage.served import Site, files_in, in_turn, send, tarball

MODEL = bytes(range(256)) * 300
PAGE = b"<!-- portal -->\n<!DOCTYPE html><html><head><title>Sign in &middot; Example</title></head></html>"


def failure(uri: str, out: Path, **settings: object) -> str:
    """Why a download fails, after it was seen that nothing of it is left."""
    with pytest.raises(StorageError) as raised:
        fetch(uri, out, **settings)  # type: ignore[arg-type]
    assert not out.exists() or not os.listdir(out)
    return str(raised.value)


def test_a_file_arrives_under_its_name(site: Site, tmp_path: Path) -> None:
    site.answers["/models/my%20iris.bin"] = send(MODEL)
    seen: list[Transfer] = []
    fetched = fetch(site.url("/models/my%20iris.bin?v=2#top"), tmp_path / "a" / "out", progress=seen.append)
    assert fetched.path == tmp_path / "a" / "out"
    assert files_in(fetched.path) == {"my iris.bin": MODEL}
    assert (fetched.files, fetched.bytes) == (1, len(MODEL))
    assert site.requests[0][0] == "/models/my%20iris.bin?v=2"
    assert seen[-1].finished
    assert (seen[-1].done, seen[-1].total) == (len(MODEL), len(MODEL))


def test_without_a_target_there_is_a_new_folder(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    site.answers["/m.bin"] = in_turn(send(MODEL), send(b"", status=404))
    folder = download(site.url("/m.bin"))
    assert folder.parent == tmp_path
    assert files_in(folder) == {"m.bin": MODEL}
    with pytest.raises(StorageError):
        download(site.url("/m.bin"))
    assert list(tmp_path.iterdir()) == [folder]


def test_a_second_download_replaces_the_first(site: Site, tmp_path: Path) -> None:
    site.answers["/m.bin"] = in_turn(send(b"old"), send(b"new"))
    (tmp_path / "other").write_bytes(b"kept")
    for _ in range(2):
        download(site.url("/m.bin"), tmp_path)
    assert files_in(tmp_path) == {"m.bin": b"new", "other": b"kept"}


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "binary/octet-stream", None])
def test_any_content_type_but_a_page_is_accepted(site: Site, tmp_path: Path, kind: str | None) -> None:
    site.answers["/model.json"] = send(b'{"learner": {}}', kind=kind)
    assert files_in(download(site.url("/model.json"), tmp_path)) == {"model.json": b'{"learner": {}}'}


def test_spaces_and_letters_beyond_ascii_are_escaped(site: Site, tmp_path: Path) -> None:
    site.answers["/mod%C3%A8le%20un.bin"] = send(MODEL)
    assert files_in(download(site.url("/modèle un.bin"), tmp_path)) == {"modèle un.bin": MODEL}


@pytest.mark.parametrize(
    ("path", "disposition", "name"),
    [
        ("/download", 'attachment; filename="iris.joblib"', "iris.joblib"),
        ("/download", "attachment; filename*=UTF-8''mod%C3%A8le.bin", "modèle.bin"),
        ("/download", 'attachment; filename="../../etc/iris.joblib"', "iris.joblib"),
        ("/download", 'attachment; filename=".."', "download"),
        ("/download", "", "download"),
        ("/m.bin", 'attachment; filename="other.bin"', "m.bin"),
    ],
)
def test_the_servers_name_counts_where_the_address_has_none(
    site: Site, tmp_path: Path, path: str, disposition: str, name: str
) -> None:
    site.answers[path] = send(MODEL, Content_Disposition=disposition)
    assert list(files_in(download(site.url(path), tmp_path))) == [name]


@pytest.mark.parametrize("path", ["", "/", "/models/", "/..", "/%2e%2e", "/a%2Fb", "/a%00"])
def test_an_address_without_a_file_name(site: Site, tmp_path: Path, path: str) -> None:
    assert "the address names no file" in failure(site.url(path), tmp_path / "out")
    assert site.requests == []


@pytest.mark.parametrize("uri", ["http:///m.bin", "http://host:port/m.bin", "http://[::1/m.bin", "http://host:0/m.bin"])
def test_an_address_without_a_host(tmp_path: Path, uri: str) -> None:
    assert failure(uri, tmp_path / "out") == f"{uri}: the address has no valid host and port"


# What the server says.


@pytest.mark.parametrize(
    ("status", "expected", "requests"),
    [
        (401, "HTTP authentication failed (status 401); credentials are read from the variable 127.0.0.1-headers", 1),
        (403, "HTTP access denied (status 403)", 1),
        (404, "HTTP resource not found (status 404)", 1),
        (410, "HTTP request failed with status code 410", 1),
        (206, "HTTP request failed with status code 206", 1),
        (429, "HTTP request failed with status code 429 (tried 3 times)", 3),
        (503, "HTTP request failed with status code 503 (tried 3 times)", 3),
    ],
)
def test_statuses(site: Site, tmp_path: Path, status: int, expected: str, requests: int) -> None:
    site.answers["/m.bin"] = send(b"no", status=status)
    assert failure(site.url("/m.bin?sig=S3cr3t"), tmp_path / "out") == f"{site.url('/m.bin?sig=***')}: {expected}"
    assert len(site.requests) == requests


def test_a_server_that_recovers(site: Site, tmp_path: Path) -> None:
    site.answers["/m.bin"] = in_turn(send(b"no", status=500), send(MODEL, length=len(MODEL) + 1), send(MODEL))
    seen: list[Transfer] = []
    assert files_in(download(site.url("/m.bin"), tmp_path, progress=seen.append)) == {"m.bin": MODEL}
    assert [each.trouble for each in seen if each.trouble] == [
        "HTTP request failed with status code 500",
        f"the download was cut off after {len(MODEL)} of {len(MODEL) + 1} bytes",
    ]


@pytest.mark.parametrize(
    "answer",
    [
        send(PAGE, kind="text/html; charset=utf-8"),
        send(PAGE, kind="application/octet-stream"),
        send(b"\xef\xbb\xbf \n" + PAGE, kind=None),
    ],
    ids=["by type", "by content", "with a byte order mark"],
)
@pytest.mark.parametrize("name", ["model.joblib", "model.tar.gz"])
def test_a_page_instead_of_a_model(site: Site, tmp_path: Path, name: str, answer: object) -> None:
    site.answers[f"/{name}"] = answer  # type: ignore[assignment]
    message = failure(site.url(f"/{name}"), tmp_path / "out")
    assert "the server sent an HTML page with the title 'Sign in · Example' instead of a model" in message


def test_a_page_behind_a_redirect_names_the_page(site: Site, tmp_path: Path) -> None:
    site.answers["/m.bin"] = send(b"", status=302, Location="/login?next=S3cr3t")
    site.answers["/login"] = send(b"<html>", kind="text/html")
    message = failure(site.url("/m.bin"), tmp_path / "out")
    assert f"instead of a model, from {site.url('/login?next=***')} after a redirect" in message


def test_xml_is_no_page(site: Site, tmp_path: Path) -> None:
    site.answers["/m.pmml"] = send(b"<?xml version='1.0'?><PMML/>", kind="text/xml")
    assert list(files_in(download(site.url("/m.pmml"), tmp_path))) == ["m.pmml"]


def test_an_empty_file(site: Site, tmp_path: Path) -> None:
    site.answers["/m.bin"] = send(b"")
    assert "the server sent an empty file" in failure(site.url("/m.bin"), tmp_path / "out")


def test_an_encoding_that_was_not_asked_for(site: Site, tmp_path: Path) -> None:
    site.answers["/m.bin"] = send(MODEL, Content_Encoding="br")
    assert "Content-Encoding 'br', which was not asked for" in failure(site.url("/m.bin"), tmp_path / "out")
    assert site.requests[0][1]["accept-encoding"] == "identity"


# What the network does.


def stops_after(count: int, announced: int) -> object:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        send(MODEL[:count], length=announced)(handler)
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)

    return answer


def chunked(handler: BaseHTTPRequestHandler, *, end: bool) -> None:
    handler.protocol_version = "HTTP/1.1"
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for start in range(0, len(MODEL), 1000):
        part = MODEL[start : start + 1000]
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
    handler.wfile.write(b"0\r\n\r\n" if end else b"ff\r\nhalf")
    handler.close_connection = True


def test_a_download_that_is_cut_off_is_no_model(site: Site, tmp_path: Path) -> None:
    site.answers["/m.bin"] = stops_after(1000, len(MODEL))  # type: ignore[assignment]
    message = failure(site.url("/m.bin"), tmp_path / "out")
    assert f"the download was cut off after 1000 of {len(MODEL)} bytes (tried 3 times)" in message


def test_chunks(site: Site, tmp_path: Path) -> None:
    site.answers["/m.bin"] = lambda handler: chunked(handler, end=True)
    assert files_in(download(site.url("/m.bin"), tmp_path / "whole")) == {"m.bin": MODEL}
    site.answers["/m.bin"] = lambda handler: chunked(handler, end=False)
    assert "the download was cut off after" in failure(site.url("/m.bin"), tmp_path / "cut")


def test_more_than_announced_is_not_taken(site: Site, tmp_path: Path) -> None:
    site.answers["/m.bin"] = send(MODEL + b"more", length=len(MODEL))
    assert files_in(download(site.url("/m.bin"), tmp_path)) == {"m.bin": MODEL}


def test_an_answer_of_unknown_length(site: Site, tmp_path: Path) -> None:
    site.answers["/m.bin"] = send(MODEL, length=-1)
    assert files_in(download(site.url("/m.bin"), tmp_path)) == {"m.bin": MODEL}


def test_a_slow_server_is_waited_for_and_a_silent_one_is_not(site: Site, tmp_path: Path) -> None:
    def slow(handler: BaseHTTPRequestHandler) -> None:
        send(MODEL[:10], length=20)(handler)
        for byte in MODEL[10:20]:
            time.sleep(0.05)
            handler.wfile.write(bytes([byte]))

    silence = threading.Event()

    def silent(handler: BaseHTTPRequestHandler) -> None:
        send(MODEL[:10], length=20)(handler)
        silence.wait(30)

    settings = {STALL_SECONDS: "0.4"}
    site.answers["/slow.bin"], site.answers["/silent.bin"] = slow, silent
    site.answers["/mute.bin"] = lambda handler: silence.wait(30) and None
    fetch(site.url("/slow.bin"), tmp_path / "slow", environ=settings)
    assert files_in(tmp_path / "slow") == {"slow.bin": MODEL[:20]}
    message = failure(site.url("/silent.bin"), tmp_path / "out", environ=settings)
    assert "the download stopped after 10 bytes: nothing came for 0.4 s" in message
    message = failure(site.url("/mute.bin"), tmp_path / "out", environ=settings)
    assert "did not answer the request within 0.4 s" in message
    silence.set()


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan"])
def test_a_time_out_that_is_none(site: Site, tmp_path: Path, text: str) -> None:
    message = failure(site.url("/m.bin"), tmp_path / "out", environ={STALL_SECONDS: text})
    assert f"{STALL_SECONDS} must be a number of seconds such as 30, not '{text}'" in message


def test_nobody_listens(site: Site, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        message = failure(f"http://127.0.0.1:{port}/m.bin", tmp_path / "out")
    assert f"Failed to connect to HTTP endpoint '127.0.0.1:{port}': Connection refused (tried 3 times)" in message


def test_a_host_without_an_address(tmp_path: Path) -> None:
    message = failure("http://no-such-host.invalid/m.bin", tmp_path / "out")
    assert "Failed to connect to HTTP endpoint 'no-such-host.invalid:80': its name cannot be resolved" in message


@pytest.fixture
def stranger() -> Iterator[int]:
    """A server of another protocol, which closes the first connection without a word."""
    server = socket.create_server(("127.0.0.1", 0))
    first = True

    def serve() -> None:
        nonlocal first
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                if not first:
                    connection.sendall(b"220 mail.example ESMTP\r\n")
                first = False

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


def test_a_server_of_another_protocol(stranger: int, tmp_path: Path) -> None:
    uri = f"http://127.0.0.1:{stranger}/m.bin?sig=S3cr3t"
    assert "does not answer in HTTP (BadStatusLine)" in failure(uri, tmp_path / "out")


def test_a_download_goes_on_where_it_broke_off(site: Site, tmp_path: Path) -> None:
    whole = served(MODEL, ETag='"1"')
    site.answers["/m.bin"] = in_turn(send(MODEL[:1000], length=len(MODEL), ETag='"1"'), send(b"", status=503), whole)
    seen: list[Transfer] = []
    assert files_in(download(site.url("/m.bin"), tmp_path, progress=seen.append)) == {"m.bin": MODEL}
    asked = [(headers.get("range"), headers.get("if-range")) for _, headers in site.requests]
    assert asked == [(None, None), ("bytes=1000-", '"1"'), ("bytes=1000-", '"1"')]
    assert [each.trouble for each in seen if each.trouble] == [
        f"the download was cut off after 1000 of {len(MODEL)} bytes",
        "HTTP request failed with status code 503",
    ]
    assert seen[-1].done == len(MODEL)


@pytest.mark.parametrize(
    "then",
    [
        served(b"new" * 1000, ETag='"2"'),
        send(b"new" * 1000, ETag='"2"'),
        send(b"", status=416),
        send(MODEL[5:], status=206, Content_Range=f"bytes 5-{len(MODEL) - 1}/{len(MODEL)}", ETag='"1"'),
        send(MODEL[1000:], status=206, Content_Range=f"bytes 1000-{len(MODEL) - 1}/99", ETag='"1"'),
        send(MODEL[1000:], status=206, Content_Range="nonsense", ETag='"1"'),
    ],
    ids=["another length", "changed", "shorter", "another part", "another size", "nonsense"],
)
def test_what_does_not_continue_it_is_not_put_behind_it(site: Site, tmp_path: Path, then: object) -> None:
    cut = send(MODEL[:1000], length=len(MODEL), ETag='"1"')
    new = b"new" * 1000
    site.answers["/m.bin"] = in_turn(cut, then, send(new, ETag='"2"'))  # type: ignore[arg-type]
    assert files_in(download(site.url("/m.bin"), tmp_path)) == {"m.bin": new}


def test_a_server_that_does_not_send_parts_sends_it_all_again(site: Site, tmp_path: Path) -> None:
    site.answers["/m.bin"] = in_turn(send(MODEL[:1000], length=len(MODEL), ETag='"1"'), send(MODEL, ETag='"1"'))
    seen: list[Transfer] = []
    assert files_in(download(site.url("/m.bin"), tmp_path, progress=seen.append)) == {"m.bin": MODEL}
    assert seen[-1].done == len(MODEL)


def test_a_weak_etag_permits_no_continuation(site: Site, tmp_path: Path) -> None:
    site.answers["/m.bin"] = in_turn(
        send(MODEL[:1000], length=len(MODEL), ETag='W/"1"'), send(MODEL[::-1], ETag='W/"1"')
    )
    assert files_in(download(site.url("/m.bin"), tmp_path)) == {"m.bin": MODEL[::-1]}
    assert all("range" not in headers for _, headers in site.requests)


def test_a_server_that_breaks_off_again_and_again(site: Site, tmp_path: Path) -> None:
    """As long as a megabyte comes each time, there is no reason to give up."""
    contents = os.urandom(5 << 20)

    def cut(handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        fields = {"Content-Range": f"bytes {start}-{len(contents) - 1}/{len(contents)}"} if asked else {}
        part = contents[start : start + (1 << 20)]
        send(part, status=206 if asked else 200, length=len(contents) - start, ETag='"1"', **fields)(handler)

    site.answers["/m.bin"] = cut
    assert files_in(download(site.url("/m.bin"), tmp_path)) == {"m.bin": contents}
    assert len(site.requests) == 5


# Redirects and credentials.


def test_ten_redirects_are_followed_and_no_more(site: Site, tmp_path: Path) -> None:
    for step in range(1, 12):
        site.answers[f"/{step}/m.bin"] = send(b"", status=301 + step % 2, Location=f"../{step - 1}/m.bin")
    site.answers["/0/m.bin"] = send(MODEL)
    assert files_in(download(site.url("/10/m.bin"), tmp_path / "ten")) == {"m.bin": MODEL}
    message = failure(site.url("/11/m.bin"), tmp_path / "eleven")
    assert f"more than 10 redirects, the last of them to {site.url('/0/m.bin')}" in message


def test_a_redirect_in_a_circle(site: Site, tmp_path: Path) -> None:
    site.answers["/m.bin"] = send(b"", status=308, Location="/m.bin")
    assert "more than 10 redirects" in failure(site.url("/m.bin"), tmp_path / "out")
    assert len(site.requests) == 11


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("file:///etc/passwd", "the server redirects to file:///etc/passwd, which is not http(s)://"),
        ("", "the server redirects (status 302) without saying where to"),
        ("http://[::1/x?S3cr3t", "the server redirects to http://[::1/x?***, which is no address"),
        ("http://host:none/", "the address has no valid host and port"),
    ],
)
def test_a_redirect_to_nowhere(site: Site, tmp_path: Path, location: str, expected: str) -> None:
    site.answers["/m.bin"] = send(b"", status=302, Location=location)
    assert expected in failure(site.url("/m.bin"), tmp_path / "out")


def test_the_name_is_that_of_the_first_address(site: Site, tmp_path: Path) -> None:
    site.answers["/m.bin"] = send(b"", status=307, Location="/blobs/1f3a9c")
    site.answers["/blobs/1f3a9c"] = send(MODEL)
    assert files_in(download(site.url("/m.bin"), tmp_path)) == {"m.bin": MODEL}


def test_credentials_go_to_their_own_host_only(site: Site, tmp_path: Path) -> None:
    site.answers["/m.bin"] = send(b"", status=302, Location=site.url("/here", "127.0.0.1"))
    site.answers["/here"] = send(b"", status=302, Location=site.url("/there", "localhost"))
    site.answers["/there"] = send(MODEL)
    environ = {
        "127.0.0.1-headers": json.dumps({"X-Key": "S3cr3t", "Accept": "application/x-model"}),
        "Localhost-headers": json.dumps({"Authorization": "Bearer other"}),
    }
    fetch(site.url("/m.bin").replace("//", "//me:p%40ss@"), tmp_path, environ=environ)
    sent = [(r[1].get("authorization"), r[1].get("x-key"), r[1]["accept"]) for r in site.requests]
    assert sent == [
        ("Basic bWU6cEBzcw==", "S3cr3t", "application/x-model"),
        ("Basic bWU6cEBzcw==", "S3cr3t", "application/x-model"),
        ("Bearer other", None, "*/*"),
    ]


def test_the_user_of_an_address_is_unknown_to_another_host(site: Site, tmp_path: Path) -> None:
    site.answers["/m.bin"] = send(b"", status=302, Location=site.url("/there", "localhost"))
    site.answers["/there"] = send(MODEL)
    download(site.url("/m.bin").replace("//", "//me:S3cr3t@"), tmp_path)
    assert ["authorization" in headers for _, headers in site.requests] == [True, False]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Bearer S3cr3t", 'must be a JSON object such as {"Name": "value"}'),
        ('["S3cr3t"]', "must be a JSON object"),
        ('{"X-Key": ["S3cr3t"]}', "must be a JSON object"),
        ('{"X-Key": "S3cr3t\\r\\nHost: x"}', "characters that HTTP does not permit"),
        ('{"X Key: S3cr3t": "x"}', "characters that HTTP does not permit"),
    ],
)
def test_bad_headers_are_reported_without_their_value(site: Site, tmp_path: Path, value: str, expected: str) -> None:
    message = failure(site.url("/m.bin"), tmp_path / "out", environ={"127.0.0.1-headers": value})
    assert expected in message
    assert "S3cr3t" not in message


# Archives and patterns.


@pytest.mark.parametrize("path", ["/iris.tar.gz", "/iris.tgz?sig=x", "/get?file=iris.tar.gz", "/get"])
def test_an_archive_is_unpacked_and_removed(site: Site, tmp_path: Path, path: str) -> None:
    archive = tarball(("model/iris.joblib", MODEL), ("README.md", b"words"))
    site.answers[path.partition("?")[0]] = send(
        archive, kind="application/x-tar", Content_Encoding="gzip", Content_Disposition="attachment; filename=a.tgz"
    )
    seen: list[Transfer] = []
    fetched = fetch(site.url(path), tmp_path, ignore_patterns=["*.md"], progress=seen.append)
    assert files_in(tmp_path) == {"model/iris.joblib": MODEL}
    assert (fetched.files, fetched.bytes) == (1, len(MODEL))
    assert [(each.action, each.done) for each in seen if each.finished] == [
        ("download", len(archive)),
        ("unpack", len(MODEL)),
    ]


def test_a_broken_archive_leaves_nothing(site: Site, tmp_path: Path) -> None:
    site.answers["/m.tar.gz"] = send(tarball(("a", MODEL), ("b", os.urandom(9999)))[:-2000])
    message = failure(site.url("/m.tar.gz"), tmp_path / "out")
    assert "Failed to unpack archive file. The file format is not valid" in message


def test_a_file_that_no_pattern_admits_is_not_downloaded(site: Site, tmp_path: Path) -> None:
    site.answers["/m.bin"] = send(MODEL, length=1 << 50)
    message = failure(site.url("/m.bin"), tmp_path / "out", allow_patterns=["*.json"])
    assert "Failed to fetch model. No model found: m.bin does not match the patterns (allow *.json)" in message


def test_a_file_larger_than_the_disk_is_not_begun(site: Site, tmp_path: Path) -> None:
    site.answers["/m.bin"] = send(MODEL, length=1 << 60)
    message = failure(site.url("/m.bin"), tmp_path / "out")
    assert f"the file needs {1 << 60} bytes in {tmp_path}/out" in message
    assert "bytes are free" in message


def test_a_folder_in_the_way(site: Site, tmp_path: Path) -> None:
    site.answers["/m.bin"] = send(MODEL)
    (tmp_path / "m.bin" / "1").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"cannot put the file m\.bin into .*: a folder has that name"):
        download(site.url("/m.bin"), tmp_path)
    assert os.listdir(tmp_path) == ["m.bin"]
