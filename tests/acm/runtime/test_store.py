"""The schema that migrations make, units of work, the log's bounds, and who is told of a change."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from mizzen.acm.runtime.feed import Feed
from mizzen.acm.runtime.moments import iso, last_message, now
from mizzen.acm.runtime.service import Change
from mizzen.acm.runtime.store import leases, log, participants, schema
from mizzen.acm.runtime.store.engine import Store, Unavailable, Work, normal_url
from mizzen.acm.runtime.store.tables import metadata


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "below" / "acm.db"))
    schema.upgrade(store)
    return store


def test_migrations_make_what_the_tables_say(store: Store) -> None:
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "mizzen_acm_schema"})
        assert compare_metadata(context, metadata) == []


def test_the_schema_is_made_once_by_many(tmp_path: Path) -> None:
    stores = [Store(f"sqlite:///{tmp_path}/acm.db") for _ in range(6)]
    with ThreadPoolExecutor(len(stores)) as pool:
        list(pool.map(schema.upgrade, stores))
    for store in stores:
        schema.upgrade(store)
        store.close()


def test_a_file_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unavailable, match=r"File exists|Not a directory"):
        schema.upgrade(Store(f"sqlite:///{tmp_path}/file/acm.db"))


def test_no_database_there() -> None:
    with pytest.raises(Unavailable) as error:
        schema.upgrade(Store("postgresql://nobody:geheim@127.0.0.1:1/none"))
    assert "geheim" not in str(error.value)
    assert "127.0.0.1" in str(error.value)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("/var/lib/acm.db", "sqlite:////var/lib/acm.db"),
        ("sqlite:///acm.db", "sqlite:///acm.db"),
        ("postgresql://u@h/d", "postgresql+psycopg://u@h/d"),
        ("jdbc:postgresql://h:5432/d", "postgresql+psycopg://h:5432/d"),
        ("postgresql+psycopg://u@h/d", "postgresql+psycopg://u@h/d"),
    ],
)
def test_urls(given: str, url: str) -> None:
    assert normal_url(given) == url


async def test_a_unit_that_raises_has_not_been(store: Store) -> None:
    from uuid import uuid4

    key = uuid4()

    def unit(work: Work) -> None:
        participants.add(work, key)
        raise KeyError

    with pytest.raises(KeyError):
        await store.write(unit)
    assert await store.read(lambda work: participants.get(work, key)) is None


async def test_durability_and_foreign_keys(store: Store) -> None:
    def pragmas(work: Work) -> list[object]:
        return [
            work.connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]

    assert await store.read(pragmas) == ["wal", 2, 1]


async def test_the_log_is_bounded(store: Store, tmp_path: Path) -> None:
    def fill(work: Work) -> None:
        for _ in range(30):
            log.add(work, "me", at=now(), direction="in", topic="t", type="T", outcome="applied", body={"a": "b" * 9})
        log.add(work, "me", at=now(), direction="in", topic="t", type="T", outcome="applied", body={"a": "b" * 99_999})
        log.trim(work, 10)

    await store.write(fill)

    def shown(work: Work) -> list[object]:
        filters = dict.fromkeys(("type", "composition", "instance", "participant", "direction", "before"))
        return [(one.number, one.body) for one in log.some(work, limit=100, **filters)]  # type: ignore[arg-type]

    found = await store.read(shown)
    assert len(found) == 10
    assert found[0] == (31, {"messageType": "T", "omitted": "100007 bytes"})
    with sqlite3.connect(tmp_path / "below" / "acm.db") as connection:
        assert connection.execute("select count(*) from log").fetchone() == (10,)


async def test_a_lease_is_one_owners(store: Store) -> None:
    me, other = leases.new_owner(), leases.new_owner()
    assert await store.write(lambda work: leases.take(work, "x", me))
    assert await store.write(lambda work: leases.take(work, "x", me))
    assert not await store.write(lambda work: leases.take(work, "x", other))
    await store.write(lambda work: leases.leave(work, me))
    assert await store.write(lambda work: leases.take(work, "x", other))
    await store.write(lambda work: leases.present(work, me))
    assert await store.read(lambda work: leases.gone(work, {me, "elsewhere/b/1/2/3"})) == {"elsewhere/b/1/2/3"}


async def test_whoever_listens_is_told_the_last_of_each() -> None:
    feed = Feed()
    with feed.listen() as slow, feed.listen() as quick:
        feed.tell([Change("instance", "a")])
        assert await anext(quick) == Change("instance", "a")
        for _ in range(3):
            feed.tell([Change("instance", "a"), Change("instance", "b")])
        assert [await anext(slow), await anext(slow)] == [Change("instance", "a"), Change("instance", "b")]
        waiting = asyncio.create_task(anext(slow))
        await asyncio.sleep(0)
        feed.tell([Change("message", "1")])
        assert await waiting == Change("message", "1")
        many = [Change("message", str(number)) for number in range(20_000)]
        feed.tell(many)
        assert await anext(slow) == many[10_000]
    with pytest.raises(StopAsyncIteration):
        while True:
            await anext(slow)


def test_instants() -> None:
    at = 1_787_313_600_250_000
    assert last_message(at) == "2026-08-21 12:00:00.25"
    assert last_message(1_787_313_600_000_000) == "2026-08-21 12:00:00.0"
    assert iso(at) == "2026-08-21T12:00:00.250000Z"
