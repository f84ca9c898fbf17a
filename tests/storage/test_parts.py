from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.storage import parts
from mizzen.storage.digests import sums_of
from mizzen.storage.errors import StorageError
from mizzen.storage.parts import Part
from mizzen.storage.workers import Stopped

SEGMENT = 100


@pytest.fixture(autouse=True, scope="module")
def small_segments() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "SEGMENT", SEGMENT)
        yield


@given(
    size=st.integers(1, 1000),
    runs=st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 100)), max_size=6), max_size=4),
    at_once=st.sampled_from([1, 4]),
)
def test_what_is_remembered_is_there_and_the_rest_is_missing(
    tmp_path_factory: pytest.TempPathFactory, size: int, runs: list[list[tuple[int, int]]], at_once: int
) -> None:
    """However often a process dies, the pieces that a later one asks for complete the file."""
    contents = os.urandom(size)
    path = tmp_path_factory.mktemp("part") / "part"
    for run in runs:
        with Part(path, size, lasting=True) as part:
            pieces = [(start, stop) for start, stop in part.missing(at_once) if stop is not None]
            for which, count in run:
                if not pieces:
                    break
                start, stop = pieces[which % len(pieces)]
                stop = min(stop, start + count)
                part.write(start, contents[start:stop])
                part.note(start, stop)
    with Part(path, size, lasting=True) as part:
        pieces = [(start, stop) for start, stop in part.missing(at_once) if stop is not None]
        assert part.there + sum(stop - start for start, stop in pieces) == size
        for start, stop in pieces:
            part.write(start, contents[start:stop])
            part.note(start, stop)
        assert part.there == size
        part.finish()
    assert path.read_bytes() == contents
    assert os.listdir(path.parent) == ["part"]


def test_pieces_side_by_side_and_in_one(tmp_path: Path) -> None:
    with Part(tmp_path / "part", 250, lasting=True) as part:
        assert list(part.missing(4)) == [(0, 100), (100, 200), (200, 250)]
        assert list(part.missing(1)) == [(0, 250)]
        part.write(100, bytes(100))
        part.note(100, 200)
        assert list(part.missing(1)) == [(0, 100), (200, 250)]
    with Part(tmp_path / "new", None, lasting=True) as part:
        assert list(part.missing(4)) == [(0, None)]
    with Part(tmp_path / "empty", 0, lasting=True) as part:
        assert list(part.missing(4)) == []
        part.finish()


def test_what_does_not_last_is_begun_anew(tmp_path: Path) -> None:
    for _ in range(2):
        with Part(tmp_path / "part", 200, lasting=False) as part:
            assert list(part.missing(1)) == [(0, 200)]
            part.write(0, bytes(100))
            part.note(0, 100)
    assert os.listdir(tmp_path) == ["part"]


@pytest.mark.parametrize("lines", ["0", "x\n", "99\n", "-1\n", "0\n0\n1", "\n"])
def test_a_list_that_was_cut_off_or_is_none(tmp_path: Path, lines: str) -> None:
    (tmp_path / "part").write_bytes(bytes(150))
    (tmp_path / "part.segments").write_text(lines)
    with Part(tmp_path / "part", 200, lasting=True) as part:
        assert list(part.missing(4)) == ([(100, 200)] if lines.startswith("0\n") else [(0, 100), (100, 200)])


def test_a_part_that_is_shorter_than_its_list(tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(bytes(150))
    (tmp_path / "part.segments").write_text("0\n1\n")
    with Part(tmp_path / "part", 200, lasting=True) as part:
        assert list(part.missing(4)) == [(100, 200)]


def test_a_file_that_is_not_as_long_as_it_should_be(tmp_path: Path) -> None:
    with (
        Part(tmp_path / "part", 200, lasting=False) as part,
        pytest.raises(StorageError, match="has 10 bytes after 200"),
    ):
        part.write(0, bytes(10))
        part.finish()


def test_nobody_writes_after_the_end(tmp_path: Path) -> None:
    with Part(tmp_path / "part", 200, lasting=False) as part:
        pass
    with pytest.raises(Stopped):
        part.write(0, b"late")


def test_sums(tmp_path: Path) -> None:
    contents = os.urandom(3 << 20)
    (tmp_path / "file").write_bytes(contents)
    found = sums_of(tmp_path / "file", ["sha256", "md5", "git"])
    assert found == {
        "sha256": hashlib.sha256(contents).hexdigest(),
        "md5": hashlib.md5(contents).hexdigest(),
        "git": hashlib.sha1(b"blob 3145728\0" + contents).hexdigest(),
    }
    assert sums_of(tmp_path / "file", []) == {}
    pytest.importorskip("google_crc32c", reason="no google-crc32c: install mizzen[gcs]")
    (tmp_path / "file").write_bytes(b"123456789")
    assert sums_of(tmp_path / "file", ["crc32c"]) == {"crc32c": "e3069283"}
