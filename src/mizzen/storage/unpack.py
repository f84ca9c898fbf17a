"""Unpacking an archive so that nothing of it lands outside the folder, whatever it holds.

The rules are those of the standard library's ``data`` filter, made stricter so that they can be reasoned about without
asking the file system: a name is relative and has no ``..``; no member goes through a link; a link is relative and
climbs (``../``) only at its beginning, no higher than the folder. As no folder on the way is ever a link, climbing is
exact, and whatever links it then descends through obey the same rule: every link ends inside. (The filter itself
follows links by ``realpath``, which could be outwitted with long paths before Python 3.11.13.) What breaks a rule is
refused, never repaired, and then nothing of the archive remains.

Owners and modes are not taken over, only whether a file may be executed: the container that unpacks often runs as
another user than the one that serves.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from mizzen.storage.archives import Member, members, promised_size
from mizzen.storage.errors import StorageError, free_bytes, size, writing
from mizzen.storage.patterns import Patterns
from mizzen.storage.progress import Meter, Progress
from mizzen.storage.provider import nothing_found
from mizzen.storage.staging import Staging
from mizzen.storage.uris import Kind

MAX_BYTES = "MIZZEN_STORAGE_MAX_BYTES"
MAX_RATIO = "MIZZEN_STORAGE_MAX_RATIO"

_DEFAULT_RATIO = 200
# Zeros compress a thousandfold: below this size no ratio is suspicious.
_ALWAYS_PERMITTED = 256 << 20
_MAX_ENTRIES = 200_000


class Unpacked(NamedTuple):
    """How much was written."""

    files: int
    bytes: int


class Limits(NamedTuple):
    """How large an archive may become: ``bytes`` in all (0: as the disk permits), ``ratio`` times its packed size."""

    bytes: int = 0
    ratio: int = _DEFAULT_RATIO

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Limits:
        """The limits that the environment sets. Raises :class:`StorageError` for what is no number."""
        return cls(_number(environ, MAX_BYTES, 0), _number(environ, MAX_RATIO, _DEFAULT_RATIO))

    def check(self, unpacked: int, packed: int) -> None:
        """Raise :class:`StorageError` if ``packed`` bytes may not become ``unpacked`` ones."""
        if self.bytes and unpacked > self.bytes:
            raise StorageError(
                f"the archive unpacks to {size(unpacked)} or more, and {MAX_BYTES} permits {size(self.bytes)}"
            )
        if self.ratio and unpacked > max(_ALWAYS_PERMITTED, self.ratio * packed):
            raise StorageError(
                f"the archive of {size(packed)} unpacks to {size(unpacked)} or more, as one does that is made to fill "
                f"a disk: if it is right, set {MAX_RATIO} above {unpacked // max(packed, 1)} (0: no limit)"
            )


def unpack_into(
    staging: Staging,
    archive: Path,
    kind: Kind,
    name: str,
    patterns: Patterns,
    limits: Limits,
    progress: Progress | None,
) -> Unpacked:
    """Unpack what ``patterns`` admit (paths within the archive) into the target of ``staging``: all of it or nothing.

    ``name`` is what the archive is called towards people; ``archive`` itself stays.

    Raises:
        StorageError: the archive is damaged, breaks a rule or a limit, holds nothing that is wanted, or the disk is
            too small.
    """
    folder = staging.path / "unpacked"
    with writing(folder):
        folder.mkdir()
    meter = Meter(progress, "unpack", name)
    unpacked = _Unpacking(archive, kind, folder, limits, meter).run(patterns)
    if not unpacked.files:
        reason = f"matches the patterns ({patterns})" if patterns != Patterns() else "is a file"
        raise StorageError(nothing_found(f"nothing in the archive {name} {reason}"))
    meter.finish()
    staging.commit(folder)
    return unpacked


class _Unpacking:
    def __init__(self, archive: Path, kind: Kind, folder: Path, limits: Limits, meter: Meter) -> None:
        self._archive = archive
        self._kind = kind
        self._folder = folder
        self._limits = limits
        self._meter = meter
        self._packed = archive.stat().st_size
        self._folders: set[tuple[str, ...]] = {()}
        self._written = 0

    def run(self, patterns: Patterns) -> Unpacked:
        # What patterns leave out needs no space; without them all that is promised is needed.
        if patterns == Patterns():
            promised = promised_size(self._archive, self._kind)
            if self._kind == "zip":
                self._limits.check(promised, self._packed)
            self._check_free(promised)
        files = 0
        for number, member in enumerate(members(self._archive, self._kind)):
            if number >= _MAX_ENTRIES:
                raise StorageError(f"the archive has more than {_MAX_ENTRIES} entries, as no model has")
            parts = _parts(member.name, member.name)
            if member.type == "folder":
                if not patterns.allow:
                    self._make_folders(parts, member.name)
            elif not parts:
                raise _refused(member.name, "has no name")
            elif patterns.admits("/".join(parts)):
                self._make_folders(parts[:-1], member.name)
                self._put(member, parts)
                files += 1
        return Unpacked(files, self._written)

    def _put(self, member: Member, parts: tuple[str, ...]) -> None:
        path = self._folder.joinpath(*parts)
        if parts in self._folders:
            raise _refused(member.name, "is a folder and a file in one")
        with writing(path):
            path.unlink(missing_ok=True)  # Of several members with one name the last counts, as in tar.
            if member.type == "file":
                self._write(member, path)
            elif member.type == "symlink":
                _check_symlink(member, depth=len(parts) - 1)
                path.symlink_to(member.target)
            else:
                path.hardlink_to(self._hard_link_target(member))

    def _write(self, member: Member, path: Path) -> None:
        self._limits.check(self._written + member.size, self._packed)
        self._check_free(member.size)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o777 if member.executable else 0o666)
        left = member.size
        with os.fdopen(descriptor, "wb") as file:
            for chunk in member.chunks():
                left -= len(chunk)
                if left < 0:
                    raise _refused(member.name, f"is larger than the {member.size} bytes that it claims")
                file.write(chunk)
                self._written += len(chunk)
                self._meter.add(len(chunk))
        if left:
            raise _refused(member.name, f"ends {left} bytes too early")

    def _hard_link_target(self, member: Member) -> Path:
        parts = _parts(member.target, member.name)
        path = self._folder.joinpath(*parts)
        if parts[:-1] not in self._folders or path.is_symlink() or not path.is_file():
            raise _refused(member.name, f"is a hard link to {member.target!r}, which is no file unpacked before it")
        return path

    def _make_folders(self, parts: tuple[str, ...], name: str) -> None:
        """Make the folder ``parts`` and those above it, none of which may be anything but a folder made here."""
        for end in range(1, len(parts) + 1):
            if parts[:end] in self._folders:
                continue
            path = self._folder.joinpath(*parts[:end])
            with writing(path):
                try:
                    path.mkdir()
                except FileExistsError:
                    raise _refused(name, f"goes through {'/'.join(parts[:end])!r}, a file or link") from None
            self._folders.add(parts[:end])

    def _check_free(self, needed: int) -> None:
        with writing(self._folder):
            free = free_bytes(self._folder)
        if needed > free:
            raise StorageError(f"the archive needs {size(needed)} more in {self._folder}, where {size(free)} are free")


def _parts(path: str, member: str) -> tuple[str, ...]:
    """The components of a path inside the archive, which ``member`` has as its name or the target of its hard link."""
    if path.startswith("/"):
        raise _refused(member, f"has the absolute path {path!r}" if path != member else "is an absolute path")
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if ".." in parts or "\0" in path:
        raise _refused(member, "leads out of the folder that it is unpacked into")
    return parts


def _check_symlink(member: Member, depth: int) -> None:
    """Refuse a target that may end outside. ``depth`` is how many folders the link is in."""
    parts = [part for part in member.target.split("/") if part not in ("", ".")]
    climbs = next((number for number, part in enumerate(parts) if part != ".."), len(parts))
    if member.target.startswith("/") or "\0" in member.target or climbs > depth or ".." in parts[climbs:]:
        raise _refused(member.name, f"is a link to {member.target!r}, which may lead out of the folder")


def _refused(member: str, reason: str) -> StorageError:
    return StorageError(f"the archive's member {member!r} {reason}: nothing of the archive is unpacked")


def _number(environ: Mapping[str, str], variable: str, default: int) -> int:
    text = environ.get(variable, "").strip()
    if not text:
        return default
    if not text.isdecimal():
        raise StorageError(f"{variable} must be a whole number (0: no limit), not {text!r}")
    return int(text)
