"""The SQLite file: an append-only log of writes, one row a revision.

The newest row of a key is the object; older rows are history, kept until the store says that they may go; a row
without a value is a deletion. A write is one insert, so a group of them is one transaction and one fsync. Everything
here blocks and runs in the store's one worker thread, which is also why the file can be locked exclusively: a second
process on the same home is told so instead of corrupting anything.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from mizzen.cluster.apiserver.store.errors import DiskFull, StoreError
from mizzen.cluster.apiserver.store.reserve import DEFAULT_SIZE, Reserve

FORMAT = 1
_APPLICATION = 0x4D697A6E  # "Mizn": tells our file from anybody's SQLite file

_TABLES = """
CREATE TABLE log (
    revision INTEGER PRIMARY KEY,
    resource TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    time INTEGER NOT NULL,
    value BLOB
);
CREATE TABLE floor (revision INTEGER NOT NULL);
"""
# How much of the write-ahead log stays on disk after a checkpoint, in bytes.
_LOG_KEPT = 4 * 1024 * 1024
_MANY = 500


class Row(NamedTuple):
    """One write as it lies in the log. ``value`` is ``None`` for a deletion; ``time`` in seconds since the epoch."""

    revision: int
    resource: str
    namespace: str
    name: str
    time: int
    value: bytes | None


class Database:
    """The open file. ``floor`` is the revision up to which history may be missing.

    Raises:
        StoreError: the file is held by another process, damaged, not ours, or written by a newer Mizzen.
    """

    def __init__(self, path: Path, reserve: int = DEFAULT_SIZE) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # The log holds secrets, so the file is the owner's alone from its first byte.
            path.touch(mode=0o600)
            self._reserve = Reserve(path.with_name(path.name + ".reserve"), reserve)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{path}: the store cannot be opened: {error}") from error
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._db.close()
            raise self._explained(error, "opened") from error
        except StoreError:
            self._db.close()
            raise
        self._reserve.refill()

    def _prepare(self) -> None:
        execute = self._db.execute
        execute("PRAGMA locking_mode=EXCLUSIVE")
        execute("PRAGMA journal_mode=WAL")
        execute("PRAGMA synchronous=FULL")
        execute(f"PRAGMA journal_size_limit={_LOG_KEPT}")
        execute("PRAGMA cache_size=-2048")
        # Takes the lock now rather than at the first write.
        execute("BEGIN IMMEDIATE")
        try:
            application = execute("PRAGMA application_id").fetchone()[0]
            version = execute("PRAGMA user_version").fetchone()[0]
            empty = execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
            if empty and not application and not version:
                self._create()
            elif application != _APPLICATION:
                raise StoreError(
                    f"{self.path}: this SQLite file is not a Mizzen store; move it away or choose another home"
                )
            elif version > FORMAT:
                raise StoreError(
                    f"{self.path}: the store has format {version}, this Mizzen reads up to {FORMAT};"
                    " use the newer Mizzen that wrote it, or another home"
                )
            self.floor: int = execute("SELECT revision FROM floor").fetchone()[0]
        except BaseException:
            execute("ROLLBACK")
            raise
        execute("COMMIT")

    def _create(self) -> None:
        for statement in _TABLES.split(";"):
            self._db.execute(statement)
        # A store that was lost and made anew must not hand out revisions its clients have seen: start at the clock.
        self._db.execute("INSERT INTO floor VALUES (?)", (int(time.time()) << 20,))
        self._db.execute(f"PRAGMA application_id={_APPLICATION}")
        self._db.execute(f"PRAGMA user_version={FORMAT}")

    def rows(self) -> Iterator[Row]:
        """The whole log, oldest first."""
        try:
            for row in self._db.execute("SELECT revision, resource, namespace, name, time, value FROM log ORDER BY 1"):
                yield Row(*row)
        except sqlite3.Error as error:
            raise self._explained(error, "read") from error

    def append(self, rows: Sequence[Row], dropped: Iterable[int] = (), floor: int = 0) -> None:
        """Commit ``rows`` together; take the revisions ``dropped`` out of the log and remember the new ``floor``.

        Returns once everything is on disk. Raises :class:`DiskFull` or :class:`StoreError`; then nothing of it is.
        """
        execute = self._db.execute
        try:
            execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?)", rows)
            if floor > self.floor:
                self._db.executemany("DELETE FROM log WHERE revision = ?", ((revision,) for revision in dropped))
                execute("UPDATE floor SET revision = ?", (floor,))
            execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                execute("ROLLBACK")
            raise self._explained(error, "written") from error
        self.floor = max(self.floor, floor)
        self._reserve.refill()

    def append_from_reserve(self, rows: Sequence[Row]) -> None:
        """Like :meth:`append`, with the space that was held back for this."""
        self._reserve.give_up()
        try:
            self.append(rows)
        finally:
            self._reserve.refill()

    def values(self, revisions: Sequence[int]) -> dict[int, bytes]:
        """The stored bytes of these revisions, as far as they are still in the log."""
        found: dict[int, bytes] = {}
        try:
            for start in range(0, len(revisions), _MANY):
                part = revisions[start : start + _MANY]
                places = ",".join("?" * len(part))
                found.update(
                    self._db.execute(f"SELECT revision, value FROM log WHERE revision IN ({places})", part).fetchall()
                )
        except sqlite3.Error as error:
            raise self._explained(error, "read") from error
        return found

    def replace(self, values: Iterable[tuple[bytes, int]]) -> None:
        """Replace the bytes of revisions in place: the same objects, written by another schema."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("UPDATE log SET value = ? WHERE revision = ?", values)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise self._explained(error, "written") from error

    def close(self) -> None:
        self._db.close()

    def _explained(self, error: sqlite3.Error, verb: str) -> StoreError:
        """The sentence for what SQLite reports."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return DiskFull(
                f"disk full: {self.path} cannot be written. Free some space on that disk, or delete objects"
                " (deletes still work); nothing that was stored is lost"
            )
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StoreError(f"{self.path}: another process holds the store; is an installation running on this home?")
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return StoreError(
                f"{self.path}: the store is damaged or is not an SQLite file ({error});"
                " restore it from a backup, or move it away to start anew"
            )
        return StoreError(f"{self.path}: the store cannot be {verb}: {error}")
