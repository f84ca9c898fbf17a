"""The store keeps what it has acknowledged, in order, and remembers the last minutes."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mizzen.cluster.apiserver.store import Change, Compacted, Entry, Key, Store, StoreError

SHELF = "configmaps"


def key(name: str, namespace: str = "default") -> Key:
    return Key(SHELF, namespace, name)


def value(name: str, namespace: str = "default", **data: str) -> dict[str, Any]:
    return {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": namespace, "labels": {"name": name}},
        "data": data,
    }


async def put(store: Store, name: str, namespace: str = "default", **data: str) -> Entry:
    async with store.exclusive(key(name, namespace)) as turn:
        return await turn.put(value(name, namespace, **data))


async def remove(store: Store, name: str) -> Entry:
    async with store.exclusive(key(name)) as turn:
        assert turn.current is not None
        return await turn.delete(turn.current.decode())


def names(entries: list[Entry]) -> list[str]:
    return [entry.key.name for entry in entries]


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


async def test_each_write_takes_one_revision_and_reads_see_it_at_once(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "s.db") as store:
        start = store.revision
        first = await put(store, "a")
        second = await put(store, "a", x="1")
        gone = await remove(store, "a")
        assert [first.revision, second.revision, gone.revision] == [start + 1, start + 2, start + 3]
        assert store.revision == start + 3
        assert store.get(key("a")) is None
        assert gone.decode()["metadata"]["resourceVersion"] == str(start + 3)
        assert gone.decode()["data"] == {"x": "1"}


async def test_stored_bytes_begin_with_version_and_kind(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "s.db") as store:
        entry = await put(store, "a")
        assert entry.data.startswith(b'{"apiVersion":"v1","kind":"ConfigMap",')
        assert entry.labels == {"name": "a"}


async def test_a_restart_finds_everything_and_goes_on_counting(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "s.db") as store:
        for name in ("b", "a", "c"):
            await put(store, name)
        await remove(store, "c")
        revision = store.revision
    async with Store.open(tmp_path / "s.db") as store:
        assert store.revision == revision
        assert names(store.shelf(SHELF).newest()) == ["a", "b"]
        assert (await put(store, "d")).revision == revision + 1


async def test_a_new_store_begins_beyond_whatever_an_older_one_has_issued(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "one.db") as store:
        await put(store, "a")
        before = store.revision
    await asyncio.sleep(1.1)
    async with Store.open(tmp_path / "two.db") as store:
        assert store.revision > before


async def test_writers_of_one_key_take_turns(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "s.db") as store:
        await put(store, "n", count="0")

        async def increment() -> None:
            for _ in range(20):
                async with store.exclusive(key("n")) as turn:
                    assert turn.current is not None
                    found = turn.current.decode()
                    found["data"]["count"] = str(int(found["data"]["count"]) + 1)
                    await turn.put(found)

        await asyncio.gather(*(increment() for _ in range(10)))
        entry = store.get(key("n"))
        assert entry is not None
        assert entry.decode()["data"]["count"] == "200"


async def test_a_cancelled_writer_leaves_no_gap_for_the_next(tmp_path: Path) -> None:
    """Whoever comes next sees the cancelled write, because it is under way all the same."""
    async with Store.open(tmp_path / "s.db") as store:
        writing = asyncio.create_task(put(store, "a", x="1"))
        while store.pending(key("a")) is None:
            await asyncio.sleep(0)
        writing.cancel()
        async with store.exclusive(key("a")) as turn:
            assert turn.current is not None
            assert turn.current.decode()["data"] == {"x": "1"}
        await asyncio.wait([writing])
        assert writing.cancelled()


async def test_a_cancelled_waiter_passes_its_turn_on(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "s.db") as store:
        async with store.exclusive(key("a")):
            waiting = [asyncio.create_task(put(store, "a", n=str(n))) for n in range(3)]
            await asyncio.sleep(0)
            waiting[1].cancel()
        await asyncio.wait(waiting)
        assert [task.cancelled() for task in waiting] == [False, True, False]
        entry = store.get(key("a"))
        assert entry is not None and entry.decode()["data"] == {"n": "2"}


async def test_observers_hear_of_changes_after_the_commit_in_order(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    async with Store.open(path) as store:
        heard: list[Change] = []
        stop = store.observe(SHELF, heard.append)
        await asyncio.gather(*(put(store, f"n{number}") for number in range(50)))
        await remove(store, "n7")
        assert [change.revision for change in heard] == sorted(change.revision for change in heard)
        assert len(heard) == 51
        last = heard[-1]
        assert last.deleted and last.before is not None and last.before.key.name == "n7"
        stop()
        await put(store, "n7")
        assert len(heard) == 51


async def test_what_the_history_shows_is_what_was(tmp_path: Path) -> None:
    """Every revision that was ever current can be listed again, also after a restart."""
    path = tmp_path / "s.db"
    seen: dict[int, list[tuple[str, str]]] = {}

    def state(entries: list[Entry]) -> list[tuple[str, str]]:
        return [(entry.key.name, entry.decode()["data"].get("x", "")) for entry in entries]

    async with Store.open(path) as store:
        for step in range(60):
            name = f"n{step * 7 % 11}"
            if step % 3 == 2 and store.get(key(name)) is not None:
                await remove(store, name)
            else:
                await put(store, name, x=str(step))
            seen[store.revision] = state(store.shelf(SHELF).newest())
        for revision, expected in seen.items():
            assert state(store.shelf(SHELF).at(revision)) == expected
    async with Store.open(path) as store:
        for revision, expected in seen.items():
            assert state(store.shelf(SHELF).at(revision)) == expected
        assert [change.revision for change in store.shelf(SHELF).since(min(seen))] == sorted(seen)[1:]


async def test_a_namespace_is_a_slice_of_the_shelf(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "s.db") as store:
        for namespace in ("b", "a", "ab", "a-b"):
            for name in ("y", "x"):
                await put(store, name, namespace)
        shelf = store.shelf(SHELF)
        assert [entry.key[1:] for entry in shelf.newest("a")] == [("a", "x"), ("a", "y")]
        assert len(shelf.newest()) == 8
        assert [entry.key[1:] for entry in shelf.newest("b", ("b", "x"))] == [("b", "y")]


async def test_old_history_is_forgotten_and_leaves_the_file(tmp_path: Path) -> None:
    path, clock = tmp_path / "s.db", Clock()
    async with Store.open(path, history_seconds=300, now=clock) as store:
        for step in range(20):
            await put(store, "a", x=str(step))
        await put(store, "b")
        await remove(store, "b")
        before = store.floor
        clock.now += 299
        await put(store, "c")
        assert store.floor == before
        clock.now += 2
        await put(store, "d")
        forgotten = store.floor
        assert forgotten > before
        # What is removed from the file goes with the next group.
        await put(store, "e")
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT name, value IS NULL FROM log ORDER BY revision").fetchall()
    assert rows == [("a", 0), ("c", 0), ("d", 0), ("e", 0)]
    async with Store.open(path, now=clock) as store:
        assert store.floor == forgotten
        assert names(store.shelf(SHELF).newest()) == ["a", "c", "d", "e"]
        assert store.revision > forgotten


async def test_the_counter_survives_even_if_the_last_thing_was_a_forgotten_deletion(tmp_path: Path) -> None:
    path, clock = tmp_path / "s.db", Clock()
    async with Store.open(path, now=clock) as store:
        await put(store, "a")
        await put(store, "b")
        await remove(store, "b")
        clock.now += 1000
        await put(store, "a", x="1")
        await remove(store, "a")
        last = store.revision
        clock.now += 1000
    async with Store.open(path, now=clock) as store:
        assert (await put(store, "c")).revision > last


async def test_superseded_bytes_leave_memory_and_come_back_on_demand(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "s.db", history_bytes=20_000) as store:
        first = await put(store, "a", x="first" + "." * 1000)
        for step in range(100):
            await put(store, "a", x=f"{step}" + "." * 1000)
        await put(store, "b", x="doomed" + "." * 1000)
        await remove(store, "b")
        for step in range(100):
            await put(store, "c", x=f"{step}" + "." * 1000)
        resident = sum(len(change.before.data) for change in store.shelf(SHELF).since(0) if change.before)
        assert resident < 25_000
        assert not first.data
        (then,) = await store.restored_entries(store.shelf(SHELF).at(first.revision))
        assert then.decode()["data"]["x"].startswith("first")
        changes = await store.restored(store.shelf(SHELF).since(first.revision))
        assert len(changes) == 202
        assert all(change.after.data for change in changes)
        (deletion,) = [change for change in changes if change.deleted]
        assert deletion.after.decode()["data"]["x"].startswith("doomed")
        assert deletion.after.decode()["metadata"]["resourceVersion"] == str(deletion.revision)


async def test_what_has_left_the_log_cannot_come_back(tmp_path: Path) -> None:
    clock = Clock()
    async with Store.open(tmp_path / "s.db", history_bytes=0, now=clock) as store:
        await put(store, "a", x="1")
        old = await put(store, "a", x="2")
        await put(store, "a", x="3")
        clock.now += 1000
        await put(store, "b")
        await put(store, "c")
        with pytest.raises(Compacted):
            await store.restored_entries([old])


async def test_waiting_for_a_revision(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "s.db") as store:
        wanted = store.revision + 2
        assert not await store.reached(wanted, 0.01)
        waiting = asyncio.create_task(store.reached(wanted, 20))
        await put(store, "a")
        await put(store, "b")
        assert await waiting


async def test_objects_can_be_rewritten_without_a_new_revision(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    async with Store.open(path) as store:
        await put(store, "a", x="old")
        revision = store.revision
        await store.rewrite(SHELF, lambda data: data.replace(b"old", b"new"))
        entry = store.get(key("a"))
        assert entry is not None and b"new" in entry.data and store.revision == revision
    async with Store.open(path) as store:
        entry = store.get(key("a"))
        assert entry is not None and b"new" in entry.data


async def test_a_write_that_is_no_json_fails_alone(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "s.db") as store:
        bad = value("bad")
        bad["data"]["x"] = object()

        async def write_bad() -> None:
            async with store.exclusive(key("bad")) as turn:
                await turn.put(bad)

        results = await asyncio.gather(put(store, "a"), write_bad(), put(store, "b"), return_exceptions=True)
        assert isinstance(results[1], StoreError)
        assert names(store.shelf(SHELF).newest()) == ["a", "b"]


def newer_format(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 99")


def not_a_database(path: Path) -> None:
    path.write_bytes(b"this is a letter, not a database. " * 200)


def somebody_elses(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE recipes (name TEXT)")


def torn(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(bytes(data))


def bad_object(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("UPDATE log SET value = 'no json'")


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (newer_format, "format 99"),
        (not_a_database, "damaged or is not an SQLite file"),
        (somebody_elses, "not a Mizzen store"),
        (torn, "damaged"),
        (bad_object, "damaged at configmaps/default/a, revision"),
    ],
)
async def test_a_file_that_cannot_be_used_is_said_plainly(
    tmp_path: Path, harm: Callable[[Path], None], sentence: str
) -> None:
    path = tmp_path / "s.db"
    async with Store.open(path) as store:
        await put(store, "a")
    harm(path)
    with pytest.raises(StoreError, match=sentence) as raised:
        async with Store.open(path):
            pass
    assert str(path) in str(raised.value)


async def test_a_second_process_is_told_that_the_store_is_held(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "s.db"):
        with pytest.raises(StoreError, match="another process holds the store"):
            async with Store.open(tmp_path / "s.db"):
                pass


async def test_a_place_that_cannot_be_written_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be opened"):
        async with Store.open(tmp_path / "file" / "s.db"):
            pass


async def test_secrets_in_the_file_are_the_owners_alone(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "home" / "s.db") as store:
        await put(store, "a")
        for file in (tmp_path / "home").glob("s.db*"):
            assert file.stat().st_mode & 0o077 == 0, file


async def test_a_failure_inside_a_turn_writes_nothing(tmp_path: Path) -> None:
    async def fail(store: Store) -> None:
        async with store.exclusive(key("a")):
            raise RuntimeError("no")

    attempt: Callable[[Store], Awaitable[None]] = fail
    async with Store.open(tmp_path / "s.db") as store:
        start = store.revision
        with pytest.raises(RuntimeError):
            await attempt(store)
        assert store.revision == start
        await put(store, "a")
