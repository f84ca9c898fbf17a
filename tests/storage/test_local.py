from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mizzen.storage import StorageError, download, fetch
from storage.served import files_in, tarball
from storage.users import as_nobody


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "iris"
    (folder / "1").mkdir(parents=True)
    (folder / "model.joblib").write_bytes(b"model")
    (folder / "README.md").write_bytes(b"words")
    (folder / "1" / "weights.bin").write_bytes(b"weights")
    (folder / ".git").mkdir()
    return folder


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, as pytest's own is not, with one in it that they may write."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    (folder / "anyone").mkdir()
    (folder / "anyone").chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("prefix", ["", "file://", "file://localhost"])
def test_each_entry_is_linked(model: Path, tmp_path: Path, prefix: str) -> None:
    out = tmp_path / "new" / "out"
    assert download(f"{prefix}{model}", out) == out
    assert {entry.name: entry.readlink() for entry in out.iterdir()} == {
        name: model / name for name in ("model.joblib", "README.md", "1")
    }
    assert (out / "1" / "weights.bin").read_bytes() == b"weights"


def test_without_a_target_the_path_itself_is_the_answer(model: Path) -> None:
    assert download(f"file://{model}") == model
    assert download(model / "model.joblib") == model / "model.joblib"


def test_a_relative_path_is_linked_absolutely(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model.parent)
    download("iris/model.joblib", tmp_path / "out")
    assert (tmp_path / "out" / "model.joblib").readlink() == model / "model.joblib"


def test_existing_names_are_kept_but_not_dead_links(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "model.joblib").write_bytes(b"mine")
    (out / "README.md").symlink_to(tmp_path / "gone")
    assert fetch(model, out).links == 3
    assert (out / "model.joblib").read_bytes() == b"mine"
    assert (out / "README.md").read_bytes() == b"words"


def test_an_escaped_file_url_and_a_literal_percent_sign(tmp_path: Path) -> None:
    for name in ("my model", "50%20off"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    assert download(f"file://{tmp_path}/my%20model") == tmp_path / "my model"
    assert download(f"file://{tmp_path}/50%20off") == tmp_path / "50%20off"


def test_patterns_are_compared_with_top_level_names(model: Path, tmp_path: Path) -> None:
    download(model, tmp_path / "out", allow_patterns=["*.joblib", "*.md"], ignore_patterns=["README*"])
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["model.joblib"]


def test_patterns_from_the_environment(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_IGNORE_PATTERNS", '["README.md", "1"]')
    download(model, tmp_path / "out")
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["model.joblib"]


@pytest.mark.parametrize("inside", [True, False], ids=["in a folder", "by itself"])
def test_a_single_archive_is_unpacked_and_stays(tmp_path: Path, inside: bool) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "iris.tgz").write_bytes(tarball(("model.joblib", b"model"), ("deep/notes.md", b"words")))
    out = tmp_path / "out"
    fetched = fetch(folder if inside else folder / "iris.tgz", out, allow_patterns=["*.joblib"])
    assert files_in(out) == {"model.joblib": b"model"}
    assert (fetched.files, fetched.bytes) == (1, 5)
    assert os.listdir(out) == ["model.joblib"]
    assert (folder / "iris.tgz").exists()


def test_an_archive_among_others_is_a_file(model: Path, tmp_path: Path) -> None:
    (model / "more.zip").write_bytes(b"whatever")
    download(model, tmp_path / "out")
    assert (tmp_path / "out" / "more.zip").read_bytes() == b"whatever"


def test_a_missing_path_says_where_the_way_ends(tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/models/iris"
    with pytest.raises(StorageError) as raised:
        download(uri, tmp_path / "out")
    assert str(raised.value) == f"{uri}: it does not exist: there is no 'models' in {tmp_path}"
    assert not (tmp_path / "out").exists()


def test_a_dead_link_says_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to("v7")
    with pytest.raises(StorageError, match="current is a link to v7, and that does not exist"):
        download(tmp_path / "current")


@pytest.mark.parametrize("uri", ["models/iris", "file://models/iris"])
def test_a_relative_path_that_leads_nowhere(tmp_path: Path, uri: str) -> None:
    with pytest.raises(StorageError, match="the path models/iris is relative; a path of this machine begins with /"):
        download(uri, tmp_path / "out")


def test_a_path_through_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"/file/model: it does not exist: \S*/file is no folder"):
        download(tmp_path / "file" / "model")


@pytest.mark.parametrize("names", [[], [".hidden"]])
def test_an_empty_folder_is_no_model(tmp_path: Path, names: list[str]) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    for name in names:
        (folder / name).touch()
    with pytest.raises(StorageError, match=r"Failed to fetch model\. No model found: .*/empty is empty"):
        download(folder, tmp_path / "out")


def test_nothing_matches(model: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"No model found: .* \(allow \*\.onnx; ignore 1\)"):
        download(model, tmp_path / "out", allow_patterns=["*.onnx"], ignore_patterns=["1"])


def test_a_pipe_is_no_model(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StorageError, match="neither a file nor a folder"):
        download(tmp_path / "pipe")


def test_a_target_inside_the_model_would_go_round_in_circles(model: Path) -> None:
    with pytest.raises(StorageError, match="inside"):
        download(model, model / "1" / "out")
    assert not (model / "1" / "out").exists()


def test_a_target_that_is_the_model(model: Path) -> None:
    before = files_in(model)
    assert download(model, model) == model
    assert files_in(model) == before


def test_a_target_that_is_a_file(model: Path, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(StorageError, match=f"cannot write {tmp_path}/out"):
        download(model, tmp_path / "out")


@pytest.mark.parametrize(
    ("closed", "mode", "expected"),
    [
        ("models/iris/model.bin", 0o600, "may not read {base}/models/iris/model.bin: change its permissions"),
        ("models/iris/part", 0o700, "may not read {base}/models/iris/part: change its permissions"),
        ("models/iris", 0o700, "may not read {base}/models/iris"),
        ("models", 0o700, "may not read {base}/models/iris: permission denied at {base}/models"),
    ],
)
def test_what_may_not_be_read_is_said(open_folder: Path, closed: str, mode: int, expected: str) -> None:
    model = open_folder / "models" / "iris"
    (model / "part").mkdir(parents=True)
    (model / "model.bin").touch()
    for path in (model, model.parent, model / "part"):
        path.chmod(0o755)
    (open_folder / closed).chmod(mode if os.geteuid() == 0 else 0)

    def attempt() -> str:
        try:
            download(f"file://{model}", open_folder / "anyone" / "out")
        except StorageError as error:
            return str(error)
        return "no error"

    try:
        message = as_nobody(attempt)
        assert message.startswith(f"file://{model}: user ")
        assert expected.format(base=open_folder) in message
    finally:
        (open_folder / closed).chmod(0o755)


def test_an_unreadable_file_may_be_left_out(open_folder: Path) -> None:
    (open_folder / "model").mkdir()
    for name in ("model.bin", "secret.txt"):
        (open_folder / "model" / name).touch()
    (open_folder / "model" / "secret.txt").chmod(0o600 if os.geteuid() == 0 else 0)

    def attempt() -> str:
        out = download(open_folder / "model", open_folder / "anyone" / "out", ignore_patterns=["secret*"])
        return ",".join(os.listdir(out))

    assert as_nobody(attempt) == "model.bin"


def test_a_target_that_may_not_be_written(open_folder: Path, model: Path) -> None:
    target = open_folder / "closed"
    target.mkdir(mode=0o555)
    source = open_folder / "source"
    source.mkdir(mode=0o755)
    (source / "model.bin").touch()

    def attempt() -> str:
        try:
            download(source, target / "out")
        except StorageError as error:
            return str(error)
        return "no error"

    message = as_nobody(attempt)
    assert f"may not write {target}/out (" in message
    assert "bytes free" in message
