"""The database, and units of work in it.

A unit of work is a function of an open transaction. It runs on a worker thread, is committed as a whole, and is run
again from the start when the database says that it is busy or gone; so whatever it says to the outside, it says by what
it leaves in its :class:`Work`. A database that stays away is a sentence, never a state that is lost: nothing has
happened then.

SQLite has one writer, so all writing units queue for one thread, which costs less than contending for the file's lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from mizzen.acm.runtime.service import Change, Refused

log = logging.getLogger(__name__)

T = TypeVar("T")

_READERS = 4
_WRITERS = 4
# A unit is run again this long before whoever asked is told, and with these pauses.
_PATIENCE = 8.0
_PAUSES = (0.02, 0.05, 0.1, 0.2, 0.5)
# PostgreSQL's names for transactions that got into each other's way and may be run again at once.
_AGAIN = ("40001", "40P01")


class Unavailable(Refused):
    """The database is away, or has been busy for too long."""

    def __init__(self, why: str) -> None:
        super().__init__(503, f"The database cannot be used now, nothing has been changed: {why}")


class Work:
    """An open transaction.

    Attributes:
        changes: what whoever watches is told once it is committed.
        sends: whether a message was put into the outbox.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.changes: set[Change] = set()
        self.sends = False
        # What rows were when they were read: those that are the same are not written.
        self.read: dict[object, Any] = {}

    def changed(self, kind: str, key: object) -> None:
        self.changes.add(Change(kind, str(key)))


class Store:
    """A database by its URL: ``sqlite:///FILE`` or ``postgresql+psycopg://...``.

    Args:
        on_commit: told about every unit that wrote, on the event loop.
    """

    def __init__(self, url: str, on_commit: Callable[[Work], None] = lambda work: None) -> None:
        self.url = normal_url(url)
        self.sqlite = self.url.startswith("sqlite")
        self.file = Path(make_url(self.url).database or "") if self.sqlite else None
        self._on_commit = on_commit
        self._engine = self._open()
        self._writers = ThreadPoolExecutor(1 if self.sqlite else _WRITERS, thread_name_prefix="acm-write")
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="acm-read")
        self._inode: int | None = None

    @property
    def engine(self) -> Engine:
        return self._engine

    async def write(self, unit: Callable[[Work], T]) -> T:
        """Run a unit of work.

        Raises:
            Unavailable: the database is away; nothing was changed.
        """
        loop = asyncio.get_running_loop()

        def committed(work: Work) -> None:
            # Whoever asked may have given up by now; what is in the database is told all the same.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._on_commit, work)

        return await loop.run_in_executor(self._writers, self._attempts, unit, True, committed)

    async def read(self, unit: Callable[[Work], T]) -> T:
        """The same, of one that writes nothing."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._attempts, unit, False, lambda work: None)

    def pin(self) -> None:
        """From now on the file has to stay the one it is: SQLite would write to one that was deleted without a word."""
        if self.file is not None:
            self._inode = self.file.stat().st_ino

    def close(self) -> None:
        self._writers.shutdown(wait=True, cancel_futures=True)
        self._readers.shutdown(wait=True, cancel_futures=True)
        self._engine.dispose()

    def _attempts(self, unit: Callable[[Work], T], writing: bool, committed: Callable[[Work], None]) -> T:
        deadline, attempt = monotonic() + _PATIENCE, 0
        while True:
            try:
                self._same_file()
                result, work = self._once(unit, writing)
                committed(work)
                return result
            except _Gone as error:
                self._engine.dispose()
                raise Unavailable(str(error)) from None
            except SQLAlchemyError as error:
                # Somebody else may have been first: looked at again, the unit says so in its own words.
                if not _passes(error) and not (isinstance(error, IntegrityError) and attempt == 0):
                    raise
                pause = _PAUSES[min(attempt, len(_PAUSES) - 1)]
                attempt += 1
                if monotonic() + pause > deadline:
                    raise Unavailable(_said(error)) from error
                sleep(pause)

    def _once(self, unit: Callable[[Work], T], writing: bool) -> tuple[T, Work]:
        with self._engine.connect() as connection:
            connection = connection.execution_options(writing=writing)
            with connection.begin():
                work = Work(connection)
                return unit(work), work

    def _same_file(self) -> None:
        if self.file is None or self._inode is None:
            return
        try:
            same = self.file.stat().st_ino == self._inode
        except FileNotFoundError:
            same = False
        if not same:
            raise _Gone(f"the file {self.file} has been removed or replaced while the runtime had it open")

    def _open(self) -> Engine:
        if not self.sqlite:
            return create_engine(
                self.url,
                pool_size=_READERS + _WRITERS,
                pool_pre_ping=True,
                pool_timeout=_PATIENCE,
                connect_args={"connect_timeout": 5},
            )
        engine = create_engine(
            self.url,
            poolclass=QueuePool,
            pool_size=_READERS + 1,
            connect_args={"timeout": 2.0, "check_same_thread": False},
        )
        event.listen(engine, "connect", _sqlite_connected)
        event.listen(engine, "begin", _sqlite_begins)
        return engine


def normal_url(url: str) -> str:
    """A database's URL with the driver that is used here; a plain path is a file of SQLite's."""
    if "://" not in url:
        return f"sqlite:///{Path(url).expanduser()}"
    scheme, rest = url.split("://", 1)
    if scheme in ("postgresql", "postgres", "jdbc:postgresql"):
        return f"postgresql+psycopg://{rest}"
    return url


class _Gone(Exception):
    pass


def _sqlite_connected(connection: Any, _: Any) -> None:
    # Transactions are begun by us, with the kind of lock that is meant.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _sqlite_begins(connection: Connection) -> None:
    writing = connection.get_execution_options().get("writing", True)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _passes(error: SQLAlchemyError) -> bool:
    """Whether the same unit may go through later."""
    if not isinstance(error, DBAPIError):
        # The pool gave none of its connections in time.
        return type(error).__name__ == "TimeoutError"
    if error.connection_invalidated or getattr(error.orig, "sqlstate", None) in _AGAIN:
        return True
    return isinstance(error, OperationalError)


def _said(error: SQLAlchemyError) -> str:
    text = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    return " ".join(text.split()) or type(error).__name__
