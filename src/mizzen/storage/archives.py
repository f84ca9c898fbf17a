"""What a tar or zip archive holds, member by member, read in a way that a hostile one cannot use.

The standard library parses; this module bounds what it reads while it does (a header may claim to be gigabytes long),
and notices what it lets pass: a tar that was cut off between two members, or whose check sum nobody has read to.
Where members may land is decided in :mod:`mizzen.storage.unpack`.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, NamedTuple, cast

from mizzen.storage.errors import StorageError
from mizzen.storage.uris import Kind

# One member's headers in a tar, the whole directory of a zip. Real ones are a few KiB and below 10 MiB.
_MAX_TAR_HEADER = 1 << 20
_MAX_ZIP_DIRECTORY = 16 << 20
_MAX_PADDING = 16 << 20
_MAX_LINK = 4096
_CHUNK = 256 << 10


class Member(NamedTuple):
    """One entry. ``name`` is as written, not yet trusted; ``target`` is that of a link; ``size`` is in bytes."""

    name: str
    type: Literal["file", "folder", "symlink", "hardlink"]
    size: int
    executable: bool
    target: str
    open: Callable[[], IO[bytes]]

    def chunks(self) -> Iterator[bytes]:
        """The contents of a file. Raises :class:`StorageError` when they are damaged or cut off."""
        with _parsing(), self.open() as file:
            while chunk := file.read(_CHUNK):
                yield chunk


def members(path: Path, kind: Kind) -> Iterator[Member]:
    """The entries in their order. Each must be read, or passed over, before the next one is asked for.

    Raises:
        StorageError: the file is no such archive, is damaged or cut off, or holds a device.
    """
    with path.open("rb") as file, _parsing():
        yield from _tar_members(file) if kind == "tar" else _zip_members(file)


def promised_size(path: Path, kind: Kind) -> int:
    """The unpacked bytes that a zip's directory promises. A tar has none: its own size is what it takes at least."""
    return sum(member.size for member in members(path, kind)) if kind == "zip" else path.stat().st_size


@contextmanager
def _parsing() -> Iterator[None]:
    try:
        yield
    except (StorageError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        # What is damaged surfaces as almost anything: struct.error, ValueError, RecursionError, an OSError of bz2...
        raise _invalid(error) from error


def _invalid(error: object) -> StorageError:
    return StorageError(f"Failed to unpack archive file. The file format is not valid: {error or 'it is cut off'}")


class _Bounded(io.RawIOBase):
    """A file of which no more than ``budget`` bytes (``None``: any number) can be read, set anew for each header."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.budget: int | None = 0

    def read(self, count: int | None = -1, /) -> bytes:
        if self.budget is None:
            return self._file.read(-1 if count is None else count)
        if count is None or count < 0:
            count = self.budget + 1
        if count <= self.budget + 1:
            data = self._file.read(count)
            self.budget -= len(data)
            if self.budget >= 0:
                return data
        raise _invalid("a header claims to be larger than headers are")

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True


def _decompressor(file: IO[bytes]) -> Callable[[IO[bytes]], IO[bytes]] | None:
    """By content, for servers that unzip what is named ``.tar.gz`` on the way."""
    magic = file.read(6)
    file.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        return lambda file: cast(IO[bytes], gzip.GzipFile(fileobj=file))
    if magic.startswith(b"BZh"):
        return lambda file: cast(IO[bytes], bz2.BZ2File(file))
    if magic == b"\xfd7zXZ\x00":
        return lambda file: cast(IO[bytes], lzma.LZMAFile(file))
    return None


def _tar_members(file: IO[bytes]) -> Iterator[Member]:
    decompressor = _decompressor(file)
    bounded = _Bounded(decompressor(file) if decompressor else file)
    bounded.budget = _MAX_TAR_HEADER
    with tarfile.TarFile(fileobj=bounded, mode="r") as archive:
        position = -1
        while True:
            bounded.budget = _MAX_TAR_HEADER
            info = archive.next()
            if info is None:
                break
            if info.size < 0 or archive.offset <= position:
                raise _invalid(f"the size of {info.name!r} is negative")
            position = archive.offset
            bounded.budget = None
            yield _tar_member(archive, info)
            archive.members.clear()  # type: ignore[attr-defined]  # a million members would fill the memory
        _expect_end(bounded, archive.offset)


def _tar_member(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Member:
    if info.isreg():
        kind: Literal["file", "folder", "symlink", "hardlink"] = "file"
    elif info.isdir():
        kind = "folder"
    elif info.issym():
        kind = "symlink"
    elif info.islnk():
        kind = "hardlink"
    else:
        raise StorageError(f"the archive holds {info.name!r}, which is a device or pipe: nothing of it is unpacked")
    return Member(
        info.name,
        kind,
        info.size if kind == "file" else 0,
        bool(info.mode & stat.S_IXUSR),
        info.linkname,
        lambda: cast(IO[bytes], archive.extractfile(info)),
    )


def _expect_end(file: _Bounded, offset: int) -> None:
    """The parser takes whatever is no header for the end. Only zeros are; and the check sum of a gzip comes after."""
    file.budget = None
    file.seek(offset)
    block = file.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        raise _invalid(f"it is cut off after {offset + len(block)} bytes")
    if any(block):
        raise _invalid(f"it is damaged at byte {offset}")
    left = _MAX_PADDING
    while left > 0 and (padding := file.read(1 << 16)):
        left -= len(padding)


def _zip_members(file: IO[bytes]) -> Iterator[Member]:
    bounded = _Bounded(file)
    bounded.budget = _MAX_ZIP_DIRECTORY
    with zipfile.ZipFile(cast(IO[bytes], bounded)) as archive:
        bounded.budget = None
        for info in archive.infolist():
            yield _zip_member(archive, info)


def _zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    mode = info.external_attr >> 16
    # Some tools on Windows write backslashes, against the format's rules.
    name = info.filename.replace("\\", "/")
    if info.flag_bits & 1:
        raise StorageError(f"the archive is encrypted ({name!r} needs a password): unpack it and offer the files")
    kind: Literal["file", "folder", "symlink", "hardlink"] = "file"
    target = ""
    if name.endswith("/"):
        kind = "folder"
    elif stat.S_ISLNK(mode):
        kind = "symlink"
        if info.file_size > _MAX_LINK:
            raise _invalid(f"the target of the link {name!r} is {info.file_size} bytes long")
        target = archive.read(info).decode("utf-8", "surrogateescape")
    elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise StorageError(f"the archive holds {name!r}, which is a device or pipe: nothing of it is unpacked")
    return Member(
        name,
        kind,
        info.file_size if kind == "file" else 0,
        bool(mode & stat.S_IXUSR),
        target,
        lambda: archive.open(info),
    )
