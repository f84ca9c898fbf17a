"""Which objects of a bucket are a model: what stands under a path, as if there were folders.

An object store has none, only keys. A path means the object of exactly that key, or else every object whose key goes on
from it with a slash: ``models/iris`` is never ``models/iris-old/...``, which a mere prefix would take along (KServe
does that for S3 and Azure). Keys that end in a slash are marks that tools leave for folders, and no files. Everything
else is a file of the model, empty ones too (KServe passes those over, and a package without its ``__init__.py`` does
not load).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from mizzen.storage.errors import StorageError
from mizzen.storage.source import Remote
from mizzen.storage.uris import kind_of


class Place(NamedTuple):
    """A bucket and a path in it; an empty one is the whole bucket. A path with a slash at its end means a folder."""

    bucket: str
    path: str

    def __str__(self) -> str:
        return f"{self.bucket}/{self.path}" if self.path else self.bucket


class Object(NamedTuple):
    """An object as it is listed; the fields are those of :class:`~mizzen.storage.source.Remote`."""

    key: str
    size: int | None
    version: str
    digest: str = ""


def place_of(uri: str, example: str) -> Place:
    """Where an address such as ``s3://bucket/path`` points to. A key is taken as it is written, and never unescaped.

    Raises:
        StorageError: it names no bucket.
    """
    rest = uri.partition("://")[2]
    bucket, _, path = rest.partition("/")
    if not bucket:
        raise StorageError(f"the address names no bucket: it is written {example}")
    return Place(bucket, path.lstrip("/"))


def model_at(
    path: str, under: Callable[[str], Iterable[Object]], exactly: Callable[[str], Object | None]
) -> list[Remote]:
    """The files of the model at ``path``.

    Args:
        under: lists the objects whose keys begin with a prefix.
        exactly: the object of a key, if there is one.
    """
    if path and not path.endswith("/"):
        found = exactly(path)
        if found is not None:
            name = path.rpartition("/")[2]
            return [_remote(found, name)]
        path += "/"
    # A list that comes in pages may name an object twice when something is written meanwhile.
    return list({remote.path: remote for remote in _files(under(path), path)}.values())


def _files(found: Iterable[Object], prefix: str) -> Iterator[Remote]:
    for each in found:
        if each.key.startswith(prefix) and not each.key.endswith("/"):
            yield _remote(each, each.key[len(prefix) :].lstrip("/"))


def _remote(found: Object, path: str) -> Remote:
    return Remote(path, found.size, found.version, found.digest, key=found.key, archive=kind_of(path))
