"""Getting hold of each file of a model: out of the cache, from another process that fetches it just now, or fetched.

What the cache has is taken first, so that how much is left to fetch, and whether there is room for it, is known before
the first byte comes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from mizzen.storage.cache import MAX_BYTES, Blob, Cache
from mizzen.storage.errors import StorageError, free_bytes, size, writing
from mizzen.storage.parts import Part
from mizzen.storage.progress import Meter
from mizzen.storage.provider import Order
from mizzen.storage.source import Remote, Source
from mizzen.storage.transfer import Counter, Transfer
from mizzen.storage.workers import Stop, all_of

# Takes a file over: a blob of the cache, which is closed afterwards, or a file that may be moved away.
Receiver = Callable[[Remote, Blob | Path], None]
Speaker = Callable[[str], None]


class Gathering:
    """Gets the files of one model.

    Args:
        folder: where files are put together that the cache does not keep; on the disk of the target.
        shares: whether the target shares what the cache keeps, and takes no room of its own for it.
        trouble: told why something is tried again.
        notice: told what else a person should know.
    """

    def __init__(
        self,
        source: Source,
        cache: Cache | None,
        folder: Path,
        order: Order,
        trouble: Speaker,
        notice: Speaker,
        *,
        shares: bool,
    ) -> None:
        self._source = source
        self._cache = cache
        self._shares = shares
        self._folder = folder
        self._order = order
        self._trouble = trouble
        self._notice = notice
        self._numbers = itertools.count()

    def get(self, files: Sequence[Remote], receive: Receiver) -> int:
        """Hand every file to ``receive``, from several threads. Returns how many of them had to be fetched.

        Raises:
            Changed: one of them is no longer what was listed.
            TransientError: one without a version was not brought.
            StorageError: one cannot be had, or there is no room.
        """
        missing = [remote for remote in files if not self._taken(remote, receive)]
        if not missing:
            return 0
        sizes = [remote.size for remote in missing]
        needed = None if None in sizes else sum(each or 0 for each in sizes)
        cache = self._cache_for(needed or 0)
        if cache is None or not self._shares:
            self._check_free(needed, len(missing))
        name = missing[0].path if len(missing) == 1 else f"{len(missing)} files"
        meter = Meter(self._order.progress, "download", name, needed)
        stop = Stop()
        counter = Counter(meter, self._trouble)
        transfer = Transfer(self._source, counter, stop)
        tasks = [partial(self._fetch, remote, receive, cache, transfer, counter, stop) for remote in missing]
        all_of(tasks, self._source.files_at_once, stop)
        meter.finish()
        return len(missing)

    def _taken(self, remote: Remote, receive: Receiver) -> bool:
        blob = self._cache.find(self._source.identity, remote) if self._cache else None
        if blob is None:
            return False
        with blob.file:
            receive(remote, blob)
        return True

    def _fetch(
        self,
        remote: Remote,
        receive: Receiver,
        cache: Cache | None,
        transfer: Transfer,
        counter: Counter,
        stop: Stop,
    ) -> None:
        if cache is None:
            path = self._folder / f"part-{next(self._numbers)}"
            with Part(path, remote.size, lasting=False) as part:
                transfer.bring(remote, part)
            receive(remote, path)
            return
        identity = self._source.identity
        waits = partial(self._notice, f"another process fetches {remote.path}: waiting for it")
        with cache.claimed(identity, remote, stop, waits) as path:
            blob = cache.find(identity, remote)
            if blob is None:
                with Part(path, remote.size, lasting=bool(remote.version)) as part:
                    counter.add(part.there)
                    sums = transfer.bring(remote, part, also="sha256")
                blob = cache.adopt(path, sums["sha256"], identity, remote)
            else:
                counter.add(blob.size)
        with blob.file:
            receive(remote, blob)

    def _cache_for(self, needed: int) -> Cache | None:
        """The cache, if it is to keep what is fetched. A model must not fail for the want of room for a second copy."""
        cache = self._cache
        if cache is None:
            return None
        permitted = cache.make_room(needed)
        with writing(cache.root):
            one_disk = cache.root.stat().st_dev == self._folder.stat().st_dev
            room = free_bytes(cache.root) - (needed if one_disk and not self._shares else 0)
        if permitted and needed <= room:
            return cache
        why = (
            f"the {size(cache.limit)} that the cache may hold ({MAX_BYTES})"
            if not permitted
            else "its disk has room for"
        )
        self._notice(f"the cache keeps nothing of it for the next start: {size(needed)} are more than {why}")
        return None

    def _check_free(self, needed: int | None, count: int) -> None:
        with writing(self._folder):
            free = free_bytes(self._folder)
        if needed is not None and needed > free:
            what = "the file needs" if count == 1 else f"{count} files need"
            raise StorageError(f"{what} {needed} bytes in {self._folder}, where {free} bytes are free")
