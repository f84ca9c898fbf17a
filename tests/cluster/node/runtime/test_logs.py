from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mizzen.cluster.node.runtime import logs
from mizzen.cluster.node.runtime.logfiles import PART_LIMIT, stamp
from mizzen.cluster.node.runtime.logwriter import LogWriter

MIB = 1 << 20
T0 = 1_700_000_000_000_000_000


def writer(path: Path, max_bytes: int = MIB, max_files: int = 5, **options: Any) -> LogWriter:
    return LogWriter(path, max_bytes, max_files, **options)


async def text_of(path: Path, **options: Any) -> bytes:
    return b"".join([chunk async for chunk in logs.read(path, **options)])


async def test_a_long_line_is_stored_in_parts_and_read_as_one(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    log = writer(path)
    line = b"x" * (2 * PART_LIMIT + 5) + b"\n"
    log.feed("stdout", b"before\n" + line[:20_000], T0)
    log.feed("stdout", line[20_000:] + b"after\n", T0)
    log.close()
    tags = [entry.split(" ", 3)[2] for entry in path.read_text().splitlines()]
    assert tags == ["F", "P", "P", "F", "F"]
    assert all(len(entry.split(" ", 3)[3]) <= PART_LIMIT for entry in path.read_text().splitlines())
    assert await text_of(path) == b"before\n" + line + b"after\n"
    assert await text_of(path, tail_lines=2) == line + b"after\n"
    assert (await text_of(path, tail_lines=2, timestamps=True)).count(stamp(T0)) == 2


@given(
    chunks=st.lists(st.tuples(st.sampled_from(["stdout"]), st.binary(max_size=80)), max_size=30),
    max_bytes=st.integers(60, 400),
    tail=st.integers(0, 30),
    limit=st.integers(0, 300),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
def test_what_goes_in_comes_out(
    tmp_path: Path, chunks: list[tuple[str, bytes]], max_bytes: int, tail: int, limit: int
) -> None:
    path = tmp_path / str(time.monotonic_ns()) / "0.log"
    log = writer(path, max_bytes, 10_000)
    for stream, data in chunks:
        log.feed(stream, data, T0)
    log.close(T0)
    written = b"".join(data for _, data in chunks)
    lines = written.splitlines(keepends=True) if b"\r" not in written else _split(written)

    async def check() -> None:
        assert await text_of(path) == written
        assert await text_of(path, limit_bytes=limit) == written[:limit]
        assert await text_of(path, tail_lines=tail) == b"".join(
            lines[len(lines) - tail :] if tail < len(lines) else lines
        )
        assert logs.tail_text(path, tail, 10**6) == b"".join(lines[max(0, len(lines) - tail) :]).decode(
            errors="replace"
        )

    asyncio.run(check())


def _split(data: bytes) -> list[bytes]:
    parts = data.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


async def test_since_and_timestamps(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    log = writer(path)
    for second in range(10):
        log.feed("stdout", b"%d\n" % second, T0 + second * 10**9)
    log.close()
    since = T0 / 1e9 + 7
    assert await text_of(path, since=since) == b"7\n8\n9\n"
    assert await text_of(path, since=since, tail_lines=1) == b"9\n"
    assert await text_of(path, since=since + 2, timestamps=True) == b"2023-11-14T22:13:29.000000000Z 9\n"


async def test_a_log_that_does_not_exist_is_empty(tmp_path: Path) -> None:
    assert await text_of(tmp_path / "no" / "0.log") == b""
    assert await text_of(tmp_path / "no" / "0.log", tail_lines=5) == b""
    assert logs.tail_text(tmp_path / "no" / "0.log") == ""


def test_the_previous_run_is_the_next_smaller_number(tmp_path: Path) -> None:
    for name in ("0.log", "2.log", "10.log", "2.log.1", "x.log"):
        (tmp_path / name).touch()
    assert logs.previous(tmp_path / "10.log") == tmp_path / "2.log"
    assert logs.previous(tmp_path / "2.log") == tmp_path / "0.log"
    assert logs.previous(tmp_path / "0.log") is None
    assert logs.previous(tmp_path / "x.log") is None


def test_the_tail_for_a_termination_message_is_bounded_twice(tmp_path: Path) -> None:
    log = writer(tmp_path / "0.log")
    log.feed("stderr", b"".join(b"%03d %s\n" % (number, b"x" * 36) for number in range(200)))
    log.close()
    text = logs.tail_text(tmp_path / "0.log", 80, 2048)
    assert len(text) == 2048 and text.endswith("199 " + "x" * 36 + "\n")
    assert logs.tail_text(tmp_path / "0.log", 3, 2048).startswith("197 ")


async def test_following_reads_all_lines_across_rotations_and_ends(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    over = False
    count = 20_000

    async def write() -> None:
        nonlocal over
        log = writer(path, 5_000, 10_000)
        for number in range(count):
            log.feed("stdout", b"line %d\n" % number)
            if number % 500 == 0:
                await asyncio.sleep(0.002)
        log.close()
        over = True

    async def follow() -> list[bytes]:
        return (await text_of(path, follow=True, ended=lambda: over)).split(b"\n")[:-1]

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        readers = [group.create_task(follow()) for _ in range(3)]
        group.create_task(write())
    for reader in readers:
        assert reader.result() == [b"line %d" % number for number in range(count)]


async def test_a_follower_that_was_left_behind_goes_on_with_what_there_is(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    log = writer(path, 1000, 2)
    over = False
    log.feed("stdout", b"first\n")
    reader = logs.read(path, follow=True, ended=lambda: over)
    assert await anext(reader) == b"first\n"
    for number in range(1000):
        log.feed("stdout", b"line %d\n" % number)
    log.close()
    over = True
    rest = b"".join([chunk async for chunk in reader]).split(b"\n")[:-1]
    # The rest of the file it had open, and then, those between being deleted, the newest.
    jump = next(index for index in range(len(rest) - 1) if rest[index + 1] != b"line %d" % (index + 1))
    assert rest[: jump + 1] == [b"line %d" % number for number in range(jump + 1)]
    newest = rest[jump + 1 :]
    assert newest == [b"line %d" % number for number in range(1000 - len(newest), 1000)] and newest


async def test_following_waits_for_a_log_that_is_not_there_yet(tmp_path: Path) -> None:
    path = tmp_path / "later" / "0.log"
    over = False

    async def write() -> None:
        nonlocal over
        await asyncio.sleep(0.1)
        log = writer(path)
        log.feed("stdout", b"late\n")
        log.close()
        over = True

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        reader = group.create_task(text_of(path, follow=True, ended=lambda: over))
        group.create_task(write())
    assert reader.result() == b"late\n"


async def test_an_idle_follower_costs_next_to_nothing(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    log = writer(path)
    log.feed("stdout", b"one\n")
    until = time.monotonic() + 2
    before = time.process_time()
    assert await text_of(path, follow=True, ended=lambda: time.monotonic() > until) == b"one\n"
    # One that polled without a pause would use all of the two seconds.
    assert time.process_time() - before < 1.0
    log.close()
