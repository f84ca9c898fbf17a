"""Bringing a database to the present schema, one runtime at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from mizzen.acm.runtime.store.engine import Store, Unavailable

MIGRATIONS = Path(__file__).parent / "migrations"
# Any number, as long as nobody else in the database takes the same.
_LOCK = 0x6D697A7A


def upgrade(store: Store) -> None:
    """Apply the migrations that are missing.

    Raises:
        Unavailable: the database cannot be reached, or its file cannot be made.
    """
    try:
        with _alone(store), store.engine.connect() as connection:
            if not store.sqlite:
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            config = Config()
            config.set_main_option("script_location", str(MIGRATIONS))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
    except (DBAPIError, OSError) as error:
        raise Unavailable(f"{_shown(store)}: {' '.join(str(getattr(error, 'orig', error)).split())}") from error
    store.pin()


def _shown(store: Store) -> str:
    return str(store.file) if store.file else store.engine.url.render_as_string(hide_password=True)


@contextmanager
def _alone(store: Store) -> Iterator[None]:
    """SQLite has no lock that outlasts Alembic's own transactions."""
    if store.file is None:
        yield
        return
    store.file.parent.mkdir(parents=True, exist_ok=True)
    with store.file.with_name(f"{store.file.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
