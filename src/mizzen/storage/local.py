"""Models on a file system that this process sees: a path, ``file://`` with one, or a claim that is mounted.

Nothing is copied. The target gets a symbolic link for each top-level entry, so it costs nothing and the model stays
where its owner updates it; only an archive, when it is all there is, is unpacked. Names that begin with a dot are
passed over, as KServe does, and a name that is in the target already is left alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote

from mizzen.storage.errors import StorageError, writing
from mizzen.storage.provider import Fetched, Order, nothing_found
from mizzen.storage.uris import Kind, kind_of, scheme_of

# Where KServe's controller mounts a claim for the initializer.
_CLAIM = Path("/mnt/pvc")


def fetch(order: Order) -> Fetched:
    """Link the model into ``out_dir``; without one, the answer is the path itself."""
    path = _claimed(order.uri) if scheme_of(order.uri) == "pvc" else _path(order.uri)
    _require(path)
    entries = _entries(path)
    if order.out_dir is None:
        return Fetched(path)
    if len(entries) == 1 and entries[0].is_file() and (kind := kind_of(entries[0].name)):
        return _unpack(entries[0], kind, order.out_dir, order)
    wanted = [entry for entry in entries if order.patterns.admits(entry.name)]
    if not wanted:
        raise StorageError(nothing_found(f"nothing in {path} matches the patterns ({order.patterns})"))
    for entry in wanted:
        _require_readable(entry)
    _refuse_circle(path, order.out_dir)
    with writing(order.out_dir):
        order.out_dir.mkdir(parents=True, exist_ok=True)
        for entry in wanted:
            _link(entry, order.out_dir / entry.name)
    return Fetched(order.out_dir, links=len(wanted))


def _unpack(archive: Path, kind: Kind, out_dir: Path, order: Order) -> Fetched:
    # Most models are no archives, and these modules cost 20 ms.
    from mizzen.storage.staging import Staging
    from mizzen.storage.unpack import Limits, unpack_into

    _require_readable(archive)
    with Staging(out_dir) as staging:
        unpacked = unpack_into(
            staging, archive, kind, archive.name, order.patterns, Limits.of(order.environ), order.progress
        )
    return Fetched(out_dir, files=unpacked.files, bytes=unpacked.bytes)


def _path(uri: str) -> Path:
    if scheme_of(uri) != "file":
        return Path(uri)
    text = uri[len("file://") :]
    if text.startswith("localhost/"):
        text = text[len("localhost") :]
    # KServe takes the text as it is; the URL's own rules would decode it. Both kinds of address are in use.
    if "%" in text and not os.path.lexists(text) and os.path.lexists(unquote(text)):
        text = unquote(text)
    return Path(text)


def _claimed(uri: str) -> Path:
    """Where the path of ``pvc://claim/path`` is in a pod whose controller has mounted the claim for its initializer."""
    claim, _, path = uri.partition("://")[2].partition("/")
    if not claim:
        raise StorageError("the address names no claim: it is written pvc://claim/path")
    if ".." in path.split("/"):
        raise StorageError("a path in a claim must not lead out of it")
    if not _CLAIM.is_dir():
        raise StorageError(
            f"a claim's volume is mounted into the pod by its controller, and there is none at {_CLAIM}: outside of a "
            "pod, name the path of the files themselves"
        )
    return _CLAIM / path


def _require(path: Path) -> None:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StorageError(_missing(path)) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    if not (path.is_dir() or path.is_file()):
        raise StorageError(f"{path} is neither a file nor a folder")


def _missing(path: Path) -> str:
    if path.is_relative_to(_CLAIM):
        return f"Cannot locate source uri {path} for PVC"
    if path.is_symlink():
        return f"{path} is a link to {path.readlink()}, and that does not exist here"
    if not path.is_absolute():
        return f"the path {path} is relative; a path of this machine begins with /"
    whole = path.absolute()
    there = next((place for place in whole.parents if os.path.lexists(place)), Path("/"))
    if not there.is_dir():
        return f"it does not exist: {there} is no folder"
    return f"it does not exist: there is no {whole.relative_to(there).parts[0]!r} in {there}"


def _entries(path: Path) -> list[Path]:
    if path.is_file():
        _require_readable(path)
        return [path.absolute()]
    try:
        entries = sorted(entry for entry in path.absolute().iterdir() if not entry.name.startswith("."))
    except OSError as error:
        raise _unreadable(path, error) from error
    if not entries:
        raise StorageError(nothing_found(f"{path} is empty"))
    return entries


def _require_readable(entry: Path) -> None:
    try:
        entry.stat()
    except FileNotFoundError:
        return  # A link that leads nowhere does not hinder the model beside it.
    except OSError as error:
        raise _unreadable(entry, error) from error
    mode = os.R_OK | (os.X_OK if entry.is_dir() else 0)
    if not os.access(entry, mode, effective_ids=os.access in os.supports_effective_ids):
        raise StorageError(
            f"user {os.geteuid()} may not read {entry}: change its permissions, or leave it out with "
            "STORAGE_IGNORE_PATTERNS"
        )


def _unreadable(path: Path, error: OSError) -> StorageError:
    if isinstance(error, PermissionError):
        closed = next((place for place in path.absolute().parents[::-1] if not os.access(place, os.X_OK)), path)
        return StorageError(f"user {os.geteuid()} may not read {path}: permission denied at {closed}")
    return StorageError(f"cannot read {path}: {error.strerror}")


def _refuse_circle(path: Path, out_dir: Path) -> None:
    source, target = path.resolve(), out_dir.resolve()
    if source != target and source in target.parents:
        raise StorageError(f"the target {out_dir} is inside {path}: its links would lead round in a circle")


def _link(entry: Path, link: Path) -> None:
    if link.is_symlink() and not link.exists():
        link.unlink()  # Left by an earlier attempt, when the model was somewhere else.
    if not os.path.lexists(link):
        link.symlink_to(entry)
