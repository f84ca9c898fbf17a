from __future__ import annotations

import gzip
import os
import stat
import struct
import tarfile
import tempfile
import tracemalloc
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mizzen.storage import StorageError, Transfer, fetch
from mizzen.storage.unpack import MAX_BYTES, MAX_RATIO
from storage.served import files_in, tar_link, tarball

HARD = tarfile.LNKTYPE


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, contents in members:
            archive.writestr(name, contents)
    return buffer.getvalue()


def zip_entry(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def tar_entry(name: str, kind: bytes = tarfile.REGTYPE, mode: int = 0o644, size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.size = kind, mode, size
    return info


def unpacked(tmp_path: Path, name: str, archive: bytes, **settings: object) -> Path:
    (tmp_path / name).write_bytes(archive)
    return fetch(tmp_path / name, tmp_path / "out", **settings).path  # type: ignore[arg-type]


def refusal(tmp_path: Path, name: str, archive: bytes, **settings: object) -> str:
    """Why an archive is refused, after it was seen that nothing of it is anywhere."""
    with pytest.raises(StorageError) as raised:
        unpacked(tmp_path, name, archive, **settings)
    assert os.listdir(tmp_path / "out") == []
    assert sorted(os.listdir(tmp_path)) == sorted([name, "out"])
    assert str(raised.value).startswith(f"{tmp_path / name}: ")
    return str(raised.value)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("m.tar", "w"),
        ("m.tar.gz", "w:gz"),
        ("m.tgz", "w:gz"),
        ("m.tar.bz2", "w:bz2"),
        ("m.tar.xz", "w:xz"),
        ("m.tar.gz", "w"),
        ("m.tar", "w:xz"),
    ],
)
def test_a_tar_of_every_compression(tmp_path: Path, name: str, mode: str) -> None:
    out = unpacked(tmp_path, name, tarball(("./1/model.bin", b"model"), ("config.json", b"{}"), mode=mode))
    assert files_in(out) == {"1/model.bin": b"model", "config.json": b"{}"}


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_tar_of_every_format(tmp_path: Path, format: int) -> None:
    buffer = BytesIO()
    name = "/".join(["long"] * 40) + "/é.bin" if format != tarfile.USTAR_FORMAT else "é.bin"
    with tarfile.open(fileobj=buffer, mode="w", format=format) as archive:
        info = tar_entry(name, size=5)
        archive.addfile(info, BytesIO(b"model"))
    assert files_in(unpacked(tmp_path, "m.tar", buffer.getvalue())) == {name: b"model"}


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_of_every_compression(tmp_path: Path, compression: int) -> None:
    archive = zipped(("1/", b""), ("1/model.bin", b"model" * 99), ("win\\dir\\a", b"a"), compression=compression)
    assert files_in(unpacked(tmp_path, "m.zip", archive)) == {"1/model.bin": b"model" * 99, "win/dir/a": b"a"}


def test_empty_folders_links_and_the_right_to_execute_are_kept(tmp_path: Path) -> None:
    out = unpacked(
        tmp_path,
        "m.tar",
        tarball(
            (tar_entry("triton/1", tarfile.DIRTYPE), b""),
            (tar_entry("bin/run", mode=0o4700), b"#!"),
            ("blobs/abc", b"model"),
            tar_link("snapshots/main/model.bin", "../../blobs/abc"),
            tar_link("latest", "./snapshots/main"),
            tar_link("bin/again", "bin/run", HARD),
            mode="w",
        ),
    )
    assert (out / "triton" / "1").is_dir()
    assert (out / "latest" / "model.bin").read_bytes() == b"model"
    mode = (out / "bin" / "run").stat().st_mode
    assert mode & stat.S_IXUSR
    assert not mode & (stat.S_ISUID | stat.S_IWOTH)
    assert (out / "bin" / "run").samefile(out / "bin" / "again")
    assert not (out / "blobs" / "abc").stat().st_mode & stat.S_IXUSR


def test_links_and_modes_of_a_zip(tmp_path: Path) -> None:
    out = unpacked(
        tmp_path,
        "m.zip",
        zipped((zip_entry("run", stat.S_IFREG | 0o755), b"#!"), (zip_entry("d/link", stat.S_IFLNK | 0o777), b"../run")),
    )
    assert (out / "d" / "link").read_bytes() == b"#!"
    assert (out / "run").stat().st_mode & stat.S_IXUSR


def test_the_last_of_several_members_counts(tmp_path: Path) -> None:
    archive = tarball(("a", b"1"), tar_link("b", "a"), ("a", b"22"), ("b", b"3"))
    assert files_in(unpacked(tmp_path, "m.tgz", archive)) == {"a": b"22", "b": b"3"}


def test_what_is_there_already_is_filled_and_replaced(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "1").mkdir(parents=True)
    out = tmp_path / "out"
    (out / "1").mkdir(parents=True)
    (out / "1" / "old").write_bytes(b"old")
    (out / "1" / "model.bin").write_bytes(b"old")
    (out / "2").symlink_to(outside / "1")
    unpacked(tmp_path, "m.tgz", tarball(("1/model.bin", b"new"), ("2/model.bin", b"new")))
    assert files_in(out) == {"1/old": b"old", "1/model.bin": b"new", "2/model.bin": b"new"}
    assert list((outside / "1").iterdir()) == []


def test_patterns_are_compared_with_the_paths_inside(tmp_path: Path) -> None:
    archive = tarball(("a/x.bin", b"x"), ("a/x.md", b"x"), ("b/y.bin", b"y"), ("c/z.txt", b"z"))
    out = unpacked(tmp_path, "m.tgz", archive, allow_patterns=["*.bin", "*.md"], ignore_patterns=["a/*.md"])
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*")) == ["a", "a/x.bin", "b", "b/y.bin"]


def test_progress_of_unpacking(tmp_path: Path) -> None:
    seen: list[Transfer] = []
    unpacked(tmp_path, "m.tgz", tarball(("a", bytes(1000)), ("b", bytes(500))), progress=seen.append)
    assert [(each.action, each.name, each.done, each.finished) for each in seen] == [("unpack", "m.tgz", 1500, True)]


ESCAPES: list[tuple[str, list[tuple[tarfile.TarInfo | str, bytes]], str]] = [
    ("traversal", [("ok", b"1"), ("../evil", b"x")], "'../evil' leads out of the folder"),
    ("traversal inside", [("a/../../evil", b"x")], "leads out of the folder"),
    ("harmless dots are refused too", [("a/../b", b"x")], "leads out of the folder"),
    ("absolute", [("/tmp/evil", b"x")], "'/tmp/evil' is an absolute path"),
    ("a folder outside", [(tar_entry("../evil", tarfile.DIRTYPE), b"")], "leads out of the folder"),
    ("no name", [(".", b"x")], "'.' has no name"),
    ("link out", [tar_link("a", "../evil")], "'a' is a link to '../evil', which may lead out"),
    ("link out of a folder", [tar_link("d/a", "../../evil")], "which may lead out"),
    ("absolute link", [tar_link("a", "/etc/passwd")], "is a link to '/etc/passwd'"),
    ("link that climbs later", [("d/e/f", b""), tar_link("up", "d/e"), tar_link("x", "up/../..")], "'up/../..'"),
    ("through a link", [tar_link("d", "."), ("d/evil", b"x")], "'d/evil' goes through 'd', a file or link"),
    ("through a file", [("d", b""), ("d/evil", b"x")], "goes through 'd'"),
    ("a folder over a link", [tar_link("d", "."), (tar_entry("d", tarfile.DIRTYPE), b"")], "goes through 'd'"),
    ("a file over a folder", [("d/a", b"x"), ("d", b"x")], "'d' is a folder and a file in one"),
    ("hard link out", [tar_link("a", "../evil", HARD)], "'a' leads out of the folder"),
    ("absolute hard link", [tar_link("a", "/etc/passwd", HARD)], "'a' has the absolute path '/etc/passwd'"),
    ("hard link to nothing", [tar_link("a", "b", HARD)], "is a hard link to 'b', which is no file"),
    ("hard link to a link", [tar_link("b", "c"), tar_link("a", "b", HARD)], "is a hard link to 'b'"),
    ("hard link through a link", [("c/f", b"x"), tar_link("b", "c"), tar_link("a", "b/f", HARD)], "hard link to 'b/f'"),
    ("device", [("ok", b"1"), (tar_entry("null", tarfile.CHRTYPE), b"")], "'null', which is a device or pipe"),
    ("block device", [(tar_entry("disk", tarfile.BLKTYPE), b"")], "is a device or pipe"),
    ("pipe", [(tar_entry("pipe", tarfile.FIFOTYPE), b"")], "is a device or pipe"),
    ("a name too long", [("x" * 300, b"")], "File name too long"),
    ("a path too long", [("/".join(["x" * 200] * 30), b"")], "File name too long"),
]


@pytest.mark.parametrize(("members", "expected"), [case[1:] for case in ESCAPES], ids=[case[0] for case in ESCAPES])
def test_a_tar_that_wants_out(tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]], expected: str) -> None:
    assert expected in refusal(tmp_path, "m.tar.gz", tarball(*members))


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ([("ok", b"1"), ("../evil", b"x")], "'../evil' leads out of the folder"),
        ([("..\\evil", b"x")], "'../evil' leads out of the folder"),
        ([("/tmp/evil", b"x")], "is an absolute path"),
        ([("\\tmp\\evil", b"x")], "is an absolute path"),
        ([(zip_entry("a", stat.S_IFLNK | 0o777), b"../evil")], "may lead out of the folder"),
        ([(zip_entry("d", stat.S_IFLNK | 0o777), b"."), ("d/evil", b"x")], "goes through 'd'"),
        ([(zip_entry("a", stat.S_IFLNK | 0o777), b"x" * 5000)], "the target of the link 'a' is 5000 bytes long"),
        ([(zip_entry("a", stat.S_IFLNK | 0o777), b"a\0b")], "may lead out of the folder"),
        ([(zip_entry("pipe", stat.S_IFIFO), b"")], "is a device or pipe"),
    ],
)
def test_a_zip_that_wants_out(tmp_path: Path, members: list[tuple[str, bytes]], expected: str) -> None:
    assert expected in refusal(tmp_path, "m.zip", zipped(*members))


def changed(data: bytes, position: int, new: bytes) -> bytes:
    return data[:position] + new + data[position + len(new) :]


PLAIN = tarball(("a", b"a" * 2000), ("b", b"b" * 2000), mode="w")
SQUEEZED = tarball(("a", os.urandom(2000)), ("b", os.urandom(2000)))
ZIP = zipped(("a", os.urandom(2000)), ("b", os.urandom(2000)))


@pytest.mark.parametrize(
    ("name", "archive"),
    [
        ("empty.tar", b""),
        ("empty.zip", b""),
        ("page.tar.gz", b"<html>" * 200),
        ("page.zip", b"<html>" * 200),
        ("cut within a file.tar", PLAIN[:1000]),
        ("cut between files.tar", PLAIN[: 512 + 2048]),
        ("cut within a header.tar", PLAIN[: 512 + 2048 + 100]),
        ("without an end.tar", PLAIN[: 2 * (512 + 2048)]),
        ("damaged header.tar", changed(PLAIN, 512 + 2048 + 10, b"x")),
        ("negative size.tar", changed(PLAIN, 124, b"\xff" * 12)),
        ("cut.tar.gz", SQUEEZED[:-700]),
        ("without its check sum.tar.gz", SQUEEZED[:-8]),
        ("wrong check sum.tar.gz", changed(SQUEEZED, len(SQUEEZED) - 8, b"oops")),
        ("damaged.tar.gz", changed(SQUEEZED, 1000, bytes(64))),
        ("cut.tar.bz2", tarball(("a", os.urandom(5000)), mode="w:bz2")[:-700]),
        ("damaged.tar.bz2", changed(tarball(("a", os.urandom(5000)), mode="w:bz2"), 1000, bytes(64))),
        ("cut.tar.xz", tarball(("a", os.urandom(5000)), mode="w:xz")[:-700]),
        ("damaged.tar.xz", changed(tarball(("a", os.urandom(5000)), mode="w:xz"), 1000, bytes(64))),
        ("cut.zip", ZIP[:-700]),
        ("wrong check sum.zip", changed(ZIP, 500, bytes(64))),
    ],
)
def test_a_damaged_archive(tmp_path: Path, name: str, archive: bytes) -> None:
    message = refusal(tmp_path, name, archive)
    assert "Failed to unpack archive file. The file format is not valid" in message or "bytes too early" in message


def test_an_encrypted_zip_says_so(tmp_path: Path) -> None:
    archive = zipped(("model.bin", b"x"))
    archive = changed(archive, archive.index(b"PK\x01\x02") + 8, b"\x01")
    assert "the archive is encrypted ('model.bin' needs a password)" in refusal(tmp_path, "m.zip", archive)


def test_an_archive_of_nothing(tmp_path: Path) -> None:
    for name, archive in (("m.tar", tarball(mode="w")), ("m.zip", zipped(("folder/", b"")))):
        assert f"No model found: nothing in the archive {name} is a file" in refusal(tmp_path, name, archive)
        (tmp_path / name).unlink()


# Bombs: each claims more than it may have, and is refused before that is written.


def test_a_tar_that_unpacks_to_far_more_than_it_is(tmp_path: Path) -> None:
    header = tar_entry("zeros", size=1 << 30).tobuf()
    message = refusal(tmp_path, "m.tar.gz", gzip.compress(header + bytes(1 << 20)))
    assert "unpacks to 1.0 GiB or more" in message
    assert f"set {MAX_RATIO} above" in message


def test_a_zip_that_unpacks_to_far_more_than_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("mizzen.storage.unpack._Unpacking._put")  # Its directory alone is enough.
    archive = zipped(*((f"{number}", bytes(1 << 20)) for number in range(3)))
    directory = archive.index(b"PK\x01\x02")
    archive = changed(archive, directory + 24, struct.pack("<I", 1 << 31))
    assert f"set {MAX_RATIO} above" in refusal(tmp_path, "m.zip", archive)


def test_limits_are_set_by_the_environment(tmp_path: Path) -> None:
    archive = tarball(("a", bytes(3000)), ("b", bytes(3000)))
    message = refusal(tmp_path, "m.tgz", archive, environ={MAX_BYTES: "5000"})
    assert f"the archive unpacks to 5.9 KiB or more, and {MAX_BYTES} permits 4.9 KiB" in message
    message = refusal(tmp_path, "m.tgz", archive, environ={MAX_RATIO: "many"})
    assert f"{MAX_RATIO} must be a whole number (0: no limit), not 'many'" in message
    assert sorted(files_in(unpacked(tmp_path, "m.tgz", archive, environ={MAX_BYTES: "6000"}))) == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "archive", "needed"),
    [
        ("m.tgz", tarball(("a", bytes(800)), ("b", bytes(900)), ("c", bytes(2000))), "2.0 KiB"),
        ("m.tar", tarball(("a", bytes(800)), ("c", bytes(2000)), mode="w"), "10.0 KiB"),
        ("m.zip", zipped(("a", bytes(800)), ("b", bytes(900))), "1.7 KiB"),
    ],
)
def test_what_the_disk_cannot_hold_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, archive: bytes, needed: str
) -> None:
    monkeypatch.setattr("mizzen.storage.unpack.free_bytes", lambda path: 1000)
    message = refusal(tmp_path, name, archive)
    assert f"the archive needs {needed} more in {tmp_path}/out/" in message
    assert message.endswith("where 1000 bytes are free")


def test_headers_do_not_fill_the_memory(tmp_path: Path) -> None:
    size = 64 << 20
    header = tar_entry("pax", tarfile.XHDTYPE, size=size).tobuf(tarfile.GNU_FORMAT)
    archive = gzip.compress(header + bytes(size))
    tracemalloc.start()
    try:
        message = refusal(tmp_path, "m.tar.gz", archive)
        assert tracemalloc.get_traced_memory()[1] < size // 2
    finally:
        tracemalloc.stop()
    assert "a header claims to be larger than headers are" in message


@pytest.mark.parametrize(("kind", "size"), [(tarfile.REGTYPE, -1536), (tarfile.REGTYPE, -9999), (tarfile.XHDTYPE, -1)])
def test_a_tar_that_goes_round_in_circles(tmp_path: Path, kind: bytes, size: int) -> None:
    backwards = tar_entry("b", kind).tobuf()
    backwards = changed(backwards, 124, (256**12 + size).to_bytes(12, "big"))
    backwards = changed(backwards, 148, b"%06o\0 " % tarfile.calc_chksums(backwards)[0])
    archive = PLAIN[: 512 + 2048] + backwards + bytes(4096)
    assert "Failed to unpack archive file" in refusal(tmp_path, "m.tar", archive)


def test_a_million_entries_are_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mizzen.storage.unpack._MAX_ENTRIES", 10)
    archive = tarball(*((f"{number}", b"") for number in range(11)))
    assert "more than 10 entries, as no model has" in refusal(tmp_path, "m.tgz", archive)


# Whatever the members are called, nothing lands outside.

paths = st.lists(
    st.sampled_from(["..", ".", "", "a", "b", "c", "é", "a\\..", "\udcff", "..\\..", "a\0b", "outside"]),
    min_size=1,
    max_size=5,
).map("/".join)
targets = paths | st.just("OUTSIDE") | st.just("OUTSIDE/secret")
kinds = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE])
# Names that obey the rules, so that links meet links as often as possible.
plain = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map("/".join)
members = st.tuples(st.one_of(plain, plain, paths), kinds, st.one_of(plain, targets))


def check_nothing_outside(make: Callable[[Path], bytes], name: str) -> None:
    with tempfile.TemporaryDirectory() as top:
        base = Path(top)
        outside = base / "outside"
        outside.mkdir()
        (outside / "secret").write_bytes(b"secret")
        inside = base / "inside"
        inside.mkdir()
        (inside / name).write_bytes(make(outside))
        out = inside / "deep" / "out"
        try:
            fetch(inside / name, out)
        except StorageError as error:
            assert str(error).isprintable()
            assert os.listdir(out) == []
        assert files_in(outside) == {"secret": b"secret"}
        assert sorted(os.listdir(base)) == ["inside", "outside"]
        assert sorted(os.listdir(inside)) == sorted(["deep", name])
        assert os.listdir(inside / "deep") == ["out"]
        for folder, folders, files in os.walk(out):
            for entry in folders + files:
                assert Path(os.path.realpath(Path(folder, entry))).is_relative_to(out.resolve())


@settings(max_examples=300, deadline=None)
@given(st.lists(members, min_size=1, max_size=7))
def test_no_tar_reaches_outside(entries: list[tuple[str, bytes, str]]) -> None:
    def make(outside: Path) -> bytes:
        archive = []
        for name, kind, target in entries:
            info = tar_entry(name, kind)
            info.linkname = target.replace("OUTSIDE", str(outside)) if kind in (tarfile.SYMTYPE, HARD) else ""
            archive.append((info, b"evil" if kind == tarfile.REGTYPE else b""))
        return tarball(*archive, mode="w")

    check_nothing_outside(make, "m.tar")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@settings(max_examples=150, deadline=None)
@given(st.lists(members, min_size=1, max_size=7))
def test_no_zip_reaches_outside(entries: list[tuple[str, bytes, str]]) -> None:
    def make(outside: Path) -> bytes:
        archive = []
        for name, kind, target in entries:
            name = name.replace("\udcff", "y")
            target = target.replace("OUTSIDE", str(outside)).replace("\udcff", "y")
            if kind == tarfile.SYMTYPE:
                archive.append((zip_entry(name, stat.S_IFLNK | 0o777), target.encode()))
            elif kind == tarfile.DIRTYPE:
                archive.append((zip_entry(f"{name}/", stat.S_IFDIR | 0o755), b""))
            else:
                archive.append((zip_entry(name, stat.S_IFREG | 0o644), b"evil"))
        return zipped(*archive)

    check_nothing_outside(make, "m.zip")


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([PLAIN, SQUEEZED, ZIP]), st.integers(0, 6000), st.binary(min_size=1, max_size=40))
def test_damage_anywhere_is_a_sentence(archive: bytes, position: int, noise: bytes) -> None:
    name = {id(PLAIN): "m.tar", id(SQUEEZED): "m.tar.gz"}.get(id(archive), "m.zip")
    position %= len(archive)
    with tempfile.TemporaryDirectory() as top:
        path = Path(top, name)
        path.write_bytes(changed(archive, position, noise))
        try:
            fetch(path, Path(top, "out"))
        except StorageError as error:
            assert str(error).isprintable()
            assert os.listdir(Path(top, "out")) == []
