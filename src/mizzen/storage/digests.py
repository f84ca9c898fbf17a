"""Check sums of files, as the services state them.

What they state differs: S3 and Azure an MD5, Google MD5 or CRC32C, Hugging Face the SHA-256 of large files and Git's
own sum of small ones. A file is read once for all that are wanted of it; the cache always wants SHA-256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

_CHUNK = 1 << 20


class _Sum(Protocol):
    def update(self, data: bytes, /) -> object: ...
    def hexdigest(self) -> str: ...


def sums_of(path: Path, algorithms: Iterable[str], interrupted: Callable[[], None] = lambda: None) -> dict[str, str]:
    """The file's sums in hex, by algorithm; one that cannot be computed here (CRC32C without its library) is missing.

    ``interrupted`` is called now and then, and may raise.
    """
    sums = {name: found for name in set(algorithms) if (found := _sum(name, path)) is not None}
    if sums:
        buffer = memoryview(bytearray(_CHUNK))
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(buffer):
                for each in sums.values():
                    each.update(buffer[:count])  # type: ignore[arg-type]
                interrupted()
    return {name: found.hexdigest() for name, found in sums.items()}


def _sum(algorithm: str, path: Path) -> _Sum | None:
    if algorithm == "git":
        begun = hashlib.sha1(usedforsecurity=False)
        begun.update(f"blob {path.stat().st_size}\0".encode())
        return begun
    if algorithm == "crc32c":
        try:
            from google_crc32c import Checksum
        except ImportError:
            return None
        checksum: Any = Checksum
        return _Crc32c(checksum())
    return hashlib.new(algorithm, usedforsecurity=False)


class _Crc32c:
    def __init__(self, checksum: Any) -> None:
        self._checksum = checksum

    def update(self, data: bytes) -> None:
        self._checksum.update(bytes(data))

    def hexdigest(self) -> str:
        found: bytes = self._checksum.digest()
        return found.hex()
