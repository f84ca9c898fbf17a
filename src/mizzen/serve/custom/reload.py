"""A custom model loaded anew when one of its files changes, for whoever is writing it.

The new one takes over once it is loaded; one that cannot be loaded is told of in the log, and the one before goes on
answering until the file is changed again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from pathlib import Path

from mizzen.serve.errors import LoadError
from mizzen.serve.repository import Repository

logger = logging.getLogger(__name__)

# How often the files are looked at, in seconds. Editors write a file in several steps: it is read once it rests.
INTERVAL = 0.2

Stamp = dict[Path, tuple[int, int]]


async def watch(repository: Repository, name: str, began: float, interval: float = INTERVAL) -> None:
    """Keep a model as its files are, until cancelled. A model that has no files is left alone.

    Args:
        began: on :func:`time.perf_counter`, before any file was read. What was written since is read again.
    """
    model = repository.get(name).model
    if not model.files:
        return
    files = set(model.files)
    read = time.time_ns() - int((time.perf_counter() - began) * 1e9)
    seen = {file: told for file, told in (await asyncio.to_thread(stamp, files)).items() if told[0] < read}
    while True:
        await asyncio.sleep(interval)
        now = await asyncio.to_thread(stamp, files)
        if now == seen:
            continue
        while (later := await asyncio.to_thread(stamp, files)) != now:
            now = later
            await asyncio.sleep(interval / 4)
        seen = now
        await _anew(repository, name)
        model = repository.get(name).model
        if model.files - files:
            files |= model.files
            seen = await asyncio.to_thread(stamp, files)


def stamp(files: Iterable[Path]) -> Stamp:
    """What tells that one of the files was written; those that are gone are left out."""
    found: Stamp = {}
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue
        found[file] = (status.st_mtime_ns, status.st_size)
    return found


async def _anew(repository: Repository, name: str) -> None:
    began = time.perf_counter()
    try:
        # Where there are several processes, each of them watches.
        await repository.open_here(name)
    except LoadError as error:
        logger.error("model %s has changed; the one before goes on answering: %s", name, error)
    else:
        logger.info("model %s has changed and is loaded anew (%.0f ms)", name, (time.perf_counter() - began) * 1000)
