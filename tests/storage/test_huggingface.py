from __future__ import annotations

import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from mizzen.storage import StorageError, Transfer, fetch
from mizzen.storage.huggingface import parsed
from storage.hub import Hub, refuse, served
from storage.served import Site, files_in, in_turn, send

WEIGHTS = bytes(range(256)) * 300
FILES = {
    "config.json": b"{}",
    "model.safetensors": WEIGHTS,
    "onnx/model \u00e9.onnx": WEIGHTS[::-1],
    ".gitattributes": b"",
}


@pytest.fixture
def hub(site: Site) -> Hub:
    return Hub(site)


def failure(uri: str, out: Path, hub: Hub, **changes: str) -> str:
    with pytest.raises(StorageError) as raised:
        fetch(uri, out, environ=hub.environ | changes)
    assert not out.exists() or not os.listdir(out)
    assert "S3cr3t" not in str(raised.value)
    return str(raised.value)


def test_a_model_and_its_revisions(hub: Hub, tmp_path: Path) -> None:
    commit = hub.put("acme/tiny", FILES)
    hub.put("acme/tiny", {"config.json": b"{1}"}, revision="refs/pr/1")
    fetched = fetch("hf://acme/tiny", tmp_path / "main", environ=hub.environ)
    assert files_in(tmp_path / "main") == FILES
    assert fetched.files == 4
    for number, uri in enumerate(("hf://acme/tiny:refs/pr/1", "hf://acme/tiny@refs/pr/1")):
        fetch(uri, tmp_path / str(number), environ=hub.environ)
        assert files_in(tmp_path / str(number)) == {"config.json": b"{1}"}
    fetch(f"hf://acme/tiny:{commit}", tmp_path / "commit", allow_patterns=["*.json"], environ=hub.environ)
    assert files_in(tmp_path / "commit") == {"config.json": b"{}"}


def test_the_emulator_satisfies_the_hubs_own_client(hub: Hub, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub", reason="no huggingface_hub to compare with")
    hub.put("acme/tiny", FILES)
    code = (
        "import sys; from huggingface_hub import snapshot_download;"
        "snapshot_download('acme/tiny', local_dir=sys.argv[1], endpoint=sys.argv[2], token=False)"
    )
    environ = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
    subprocess.run(
        [sys.executable, "-c", code, tmp_path / "out", hub.site.url("")], env=environ, check=True, timeout=60
    )
    found = {path: data for path, data in files_in(tmp_path / "out").items() if not path.startswith(".cache/")}
    assert found == FILES


def test_a_token_goes_to_the_hub_alone(hub: Hub, tmp_path: Path) -> None:
    hub.put("acme/tiny", FILES)
    hub.token = "hf_S3cr3t"
    fetch("hf://acme/tiny", tmp_path / "one", environ=hub.environ | {"HF_TOKEN": hub.token})
    assert files_in(tmp_path / "one") == FILES
    shown = {(path.startswith("/cdn/"), headers.get("authorization")) for path, headers in hub.site.requests}
    assert shown == {(False, "Bearer hf_S3cr3t"), (True, None)}
    (tmp_path / "token").write_text("hf_S3cr3t\n")
    fetch("hf://acme/tiny", tmp_path / "two", environ=hub.environ | {"HF_TOKEN_PATH": str(tmp_path / "token")})


def test_models_share_the_files_that_they_share(hub: Hub, tmp_path: Path) -> None:
    hub.put("acme/tiny", FILES)
    hub.put("other/copy", {"weights.bin": WEIGHTS, "config.json": b"{}"})
    environ = hub.environ | {"MIZZEN_MODEL_CACHE": str(tmp_path / "cache")}
    fetch("hf://acme/tiny", tmp_path / "one", environ=environ)
    seen: list[Transfer] = []
    fetch("hf://other/copy", tmp_path / "two", environ=environ, progress=seen.append)
    assert files_in(tmp_path / "two") == {"weights.bin": WEIGHTS, "config.json": b"{}"}
    assert [each.name for each in seen if each.finished] == ["config.json"]
    assert fetch("hf://other/copy", tmp_path / "three", environ=environ).cached


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("hf://gpt2", "Invalid Hugging Face URI format. Expected 'hf://owner/model[:revision]'"),
        ("hf://a/b/c", "Invalid Hugging Face URI format"),
        ("hf://", "Invalid Hugging Face URI format"),
        ("hf:///model", "needs an owner and a model"),
        ("hf://owner/", "Invalid Hugging Face URI format"),
        ("hf://owner/model:", "needs an owner and a model, and a revision if there is a colon"),
    ],
)
def test_addresses_that_are_none(uri: str, expected: str) -> None:
    with pytest.raises(StorageError, match=expected.replace("[", r"\[").replace("]", r"\]")):
        parsed(uri)


def test_addresses() -> None:
    assert parsed("hf://owner/model") == ("owner/model", "main")
    assert parsed("hf://owner/model:v1.0/") == ("owner/model", "v1.0")
    assert parsed("hf://owner/model@refs/pr/1") == ("owner/model", "refs/pr/1")


def test_what_is_refused(hub: Hub, tmp_path: Path) -> None:
    hub.put("acme/tiny", FILES)
    out = tmp_path / "out"
    hub.site.answers["/api/models/acme/tiny/revision/nothing"] = refuse(404, "RevisionNotFound")
    assert (
        failure("hf://acme/tiny:nothing", out, hub)
        == "hf://acme/tiny:nothing: Hugging Face resource 'acme/tiny' not found. It has no revision 'nothing'"
    )
    hub.site.answers["/api/models/acme/nothing/revision/main"] = refuse(401, "RepoNotFound")
    message = failure("hf://acme/nothing", out, hub)
    assert message.endswith("not found. There is no such model, or it is private and no HF_TOKEN is set")
    hub.gated.add("acme/tiny")
    hub.token = "right"
    for changes in ({}, {"HF_TOKEN": "hf_S3cr3t"}):
        message = failure("hf://acme/tiny", out, hub, **changes)
        assert "It is gated: accept its conditions at http://127.0.0.1" in message
    hub.gated.clear()
    message = failure("hf://acme/tiny", out, hub, HF_TOKEN="hf_S3cr3t")
    assert (
        "Hugging Face authentication failed (the credentials were not accepted). Credentials are read from HF_"
        in message
    )
    message = failure("hf://acme/tiny", out, hub, HF_ENDPOINT="http://127.0.0.1:1")
    assert "Failed to connect to Hugging Face endpoint '127.0.0.1:1': Connection refused (tried 3 times)" in message
    hub.site.answers["/api/models/acme/page/revision/main"] = send(b"<html>", kind="text/html")
    assert "Hugging Face error: it does not answer in JSON: is its address right?" in failure(
        "hf://acme/page", out, hub
    )
    hub.site.answers["/api/models/acme/odd/revision/main"] = send(b"{}", kind="application/json")
    assert "its answer lists no files: is HF_ENDPOINT right?" in failure("hf://acme/odd", out, hub)


def test_a_list_that_goes_on_at_another_server(hub: Hub, tmp_path: Path) -> None:
    commit = hub.put("acme/tiny", FILES)
    elsewhere = f'<{hub.site.url("/x", "localhost")}>; rel="next"'
    hub.site.answers[f"/api/models/acme/tiny/tree/{commit}"] = send(b"[]", kind="application/json", Link=elsewhere)
    assert "its list goes on at another server" in failure("hf://acme/tiny", tmp_path / "out", hub, HF_TOKEN="S3cr3t")
    assert all("localhost" not in headers["host"] for _, headers in hub.site.requests)


def test_a_hub_that_is_busy_is_left_in_peace(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paused: list[float] = []
    monkeypatch.setattr("mizzen.storage.delivery.time.sleep", paused.append)
    hub.put("acme/tiny", {"a": b"1"})
    there = hub.site.answers["/api/models/acme/tiny/revision/main"]
    hub.site.answers["/api/models/acme/tiny/revision/main"] = in_turn(
        send(b"", status=429, Retry_After="7"), send(b"", status=503, Retry_After="9999"), there
    )
    seen: list[Transfer] = []
    fetch("hf://acme/tiny", tmp_path, environ=hub.environ, progress=seen.append)
    assert files_in(tmp_path) == {"a": b"1"}
    assert paused == [7.0, 30.0]
    assert seen[0].trouble == "Hugging Face is not available just now (status 429)"


def test_a_file_that_is_not_what_the_hub_promised(hub: Hub, tmp_path: Path) -> None:
    hub.put("acme/tiny", FILES)
    blob = next(path for path in hub.site.answers if path.startswith("/cdn/"))
    right = hub.site.answers[blob]
    wrong = served(WEIGHTS[:-1] + b"x")
    hub.site.answers[blob] = in_turn(wrong, right)
    fetch("hf://acme/tiny", tmp_path / "one", environ=hub.environ)
    assert files_in(tmp_path / "one") == FILES
    hub.site.answers[blob] = wrong
    message = failure("hf://acme/tiny", tmp_path / "two", hub)
    assert "has the sha256 sum" in message
    assert "and the service promised" in message


def test_a_download_goes_on_where_it_broke_off(hub: Hub, tmp_path: Path) -> None:
    hub.put("acme/tiny", {"model.safetensors": WEIGHTS})
    blob = next(path for path in hub.site.answers if path.startswith("/cdn/"))
    whole = hub.site.answers[blob]

    def cut(handler: BaseHTTPRequestHandler) -> None:
        send(WEIGHTS[:1000], length=len(WEIGHTS))(handler)

    hub.site.answers[blob] = in_turn(cut, whole)
    fetch("hf://acme/tiny", tmp_path, environ=hub.environ)
    assert files_in(tmp_path) == {"model.safetensors": WEIGHTS}
    asked = [headers.get("range") for path, headers in hub.site.requests if path == blob]
    assert asked == [None, f"bytes=1000-{len(WEIGHTS) - 1}"]
