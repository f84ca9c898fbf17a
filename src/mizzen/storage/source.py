"""Where the files of a remote model come from: what there is, and the bytes of each.

A provider of remote models is a :class:`Source`. It says what it has, with whatever identifies a file's contents, and
reads any part of one. Everything that is the same for all of them is done once, elsewhere: trying again, going on after
a break, several files at a time, check sums, the cache, archives, and that nothing half-done is ever seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from mizzen.storage.errors import TransientError
from mizzen.storage.uris import Kind


class Remote(NamedTuple):
    """One file of a model.

    Attributes:
        path: where it goes, relative to the model's folder; not yet trusted.
        size: in bytes; ``None`` when only the transfer will tell.
        version: changes whenever the contents do (an ETag, a generation); empty when nothing tells. Only a file with
            a version can be gone on with after a break, or be recognised in the cache.
        digest: of the contents, ``algorithm:hex``; empty when the server tells none.
        key: what the source itself calls it.
        archive: the kind of archive that its name promises.
        executable: whether it may be executed.
    """

    path: str
    size: int | None
    version: str = ""
    digest: str = ""
    key: str = ""
    archive: Kind | None = None
    executable: bool = False


class Changed(TransientError):
    """What is being read is no longer what was listed: the whole model has to be looked at again."""


class Source:
    """A remote model. Used by several threads at once, if ``files_at_once`` or ``parts_at_once`` says so.

    Attributes:
        identity: what the cache knows the model by: everything that decides which bytes come, and no secret.
        label: what it is called towards people, in a phrase such as "nothing in ... matches the patterns".
        files_at_once: how many files are fetched side by side.
        parts_at_once: how many parts of one large file are; 1 where a server's ability to send parts is not known.
        attempts: how often something is tried that may work the next time.
    """

    identity: str
    label: str
    files_at_once: int = 4
    parts_at_once: int = 1
    attempts: int = 3

    def list(self, known: Sequence[Remote], scratch: Path) -> list[Remote]:
        """All files of the model.

        Args:
            known: what the list was when it was last fetched, if the cache still has all of it. To answer with the
                same list is to say that nothing changed.
            scratch: an existing folder for the source's own use, gone when the model is there.

        Raises:
            TransientError: the server cannot be reached or has difficulties.
            StorageError: there is no such model, or it may not be read.
        """
        raise NotImplementedError

    def read(self, remote: Remote, start: int, stop: int | None) -> Iterator[bytes]:
        """The bytes from ``start`` up to ``stop`` (``None``: to the end), exactly, or an error.

        Raises:
            Changed: it is no longer what was listed.
            TransientError: the server went away, or has difficulties.
            StorageError: it may not be read, or is gone.
        """
        raise NotImplementedError

    def digest(self, remote: Remote) -> str:
        """The digest to compare with once ``remote`` was read, when it may be known better than from the list."""
        return remote.digest

    def close(self) -> None:
        """Let go of connections."""
