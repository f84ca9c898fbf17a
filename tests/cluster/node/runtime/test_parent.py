"""The launcher itself: who finds it again, what dies with it, and what is left when it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys

import msgspec
import pytest

from cluster.node.runtime.pod_bench import Bench, exit_of, until
from mizzen.cluster.node.runtime.client import PodParent
from mizzen.cluster.node.runtime.errors import (
    ParentLost,
    ParentUnreachable,
    StartFailed,
)
from mizzen.cluster.node.runtime.identity import Identity, is_alive, process
from mizzen.cluster.node.runtime.network import AddressBlock
from mizzen.cluster.node.runtime.protocol import Lost, Started, socket_address
from mizzen.cluster.node.runtime.spec import read_exit, read_identity, read_parent


async def test_a_parent_survives_its_clients_and_is_found_again(bench: Bench) -> None:
    """The client is a process of its own that is killed outright, with all of its process group."""
    bench.socket("launcher")
    spec = bench.spec("sh", "-c", "echo up; sleep 1000", id="kept")
    short = bench.spec("sh", "-c", "sleep 0.5; exit 5", id="short")
    program = (
        "import asyncio, msgspec, sys, pathlib\n"
        "from mizzen.cluster.node.runtime.client import PodParent\n"
        "from mizzen.cluster.node.runtime.spec import ProcessSpec\n"
        "async def main():\n"
        "    folder = pathlib.Path(sys.argv[1])\n"
        "    parent = await PodParent.ensure(folder / 'launcher.sock', folder / 'launcher')\n"
        "    for text in sys.argv[2:]:\n"
        "        await parent.start(msgspec.json.decode(text, type=ProcessSpec))\n"
        "    print(parent.info.identity.pid, flush=True)\n"
        "    await asyncio.sleep(1000)\n"
        "asyncio.run(main())\n"
    )
    texts = [msgspec.json.encode(one).decode() for one in (spec, short)]
    client = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        str(bench.folder),
        *texts,
        env=bench.env,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert client.stdout is not None
    pid = int(await client.stdout.readline())
    os.killpg(client.pid, signal.SIGKILL)
    await client.wait()
    async with await bench.ensure() as parent:
        assert parent.info.identity.pid == pid
        await until(lambda: read_exit(short.state_dir) is not None)
        states = {one.id: (one.state, one.exit and one.exit.exit_code) for one in await parent.list()}
        assert states == {"kept": ("running", None), "short": ("exited", 5)}
        found = read_identity(spec.state_dir)
        assert found is not None and is_alive(found) and os.getsid(found.pid) == found.pid
        assert (await parent.stop("kept", grace=5)).exit_code == 143


async def test_a_killed_parent_takes_its_containers_along(bench: Bench) -> None:
    file = bench.folder / "pid"
    specs = [
        bench.spec("sleep", "1000"),
        bench.spec("sh", "-c", f"sleep 1000 & echo $! > {file}; wait"),
        bench.spec(str(bench.folder / "daemon"), "stay", entry="mizzen_entries:daemon"),
        bench.spec(entry="mizzen_entries:idle"),
    ]
    async with await bench.ensure() as parent:
        for spec in specs:
            await parent.start(spec)
        await until(lambda: all(path.exists() and path.read_text() for path in (file, bench.folder / "daemon")))
        events = parent.events()
        waiting = asyncio.create_task(parent.stop(specs[0].id, grace=600))
        await asyncio.sleep(0)
        os.kill(parent.info.identity.pid, signal.SIGKILL)
        async with asyncio.timeout(30):
            last = [event async for event in events][-1]
        assert isinstance(last, Lost) and str(parent.info.identity.pid) in last.message
        await asyncio.gather(waiting, return_exceptions=True)
        with pytest.raises(ParentLost):
            await parent.list()
        # Those of the containers die with it, those that they had started are swept up.
        await until(lambda: bench.leftovers() == [])
        assert not is_alive(parent.info.identity) and read_exit(specs[1].state_dir) is None
        # Who asks for events now is told at once.
        assert isinstance(await anext(parent.events()), Lost)


async def test_the_next_parent_sweeps_up_if_nobody_was_there_to_see_it(bench: Bench) -> None:
    file = bench.folder / "pid"
    parent = await bench.ensure()
    await parent.start(bench.spec("sh", "-c", f"sleep 1000 & echo $! > {file}; wait"))
    await until(lambda: file.exists() and bool(file.read_text()))
    stray = Identity.of(int(file.read_text()))
    await parent.close()
    os.kill(parent.info.identity.pid, signal.SIGKILL)
    await until(lambda: not is_alive(parent.info.identity))
    assert is_alive(stray)
    async with await bench.ensure() as again:
        assert again.info.identity != parent.info.identity
        assert not is_alive(stray)
        assert await again.list() == []


async def test_two_parents_side_by_side(bench: Bench) -> None:
    async with await bench.ensure("one") as one, await bench.ensure("two") as two:
        assert one.info.identity != two.info.identity
        await one.start(bench.spec("sleep", "1000", id="same"))
        other = bench.spec("sleep", "1000", id="same")
        other.state_dir, other.log_path = str(bench.folder / "other"), str(bench.folder / "other.log")
        await two.start(other)
        os.kill(one.info.identity.pid, signal.SIGKILL)
        await until(lambda: not is_alive(one.info.identity))
        async with await bench.ensure("one"):
            assert [one.state for one in await two.list()] == ["running"]


async def test_many_who_want_a_parent_get_the_same(bench: Bench) -> None:
    handles = await asyncio.gather(*(bench.ensure() for _ in range(5)))
    assert len({handle.info.identity for handle in handles}) == 1
    streams = [handle.events() for handle in handles]
    await handles[0].start(bench.spec("true", id="seen by all"))
    for stream in streams:
        assert (await exit_of(stream, "seen by all")).exit is not None
    for handle in handles:
        await handle.close()


async def test_shutdown_leaves_nothing(bench: Bench) -> None:
    parent = await bench.ensure()
    specs = [bench.spec("sh", "-c", "trap '' TERM; echo up; sleep 1000 & sleep 1000 & wait; sleep 1000")]
    specs += [bench.spec("sleep", "1000") for _ in range(10)]
    specs += [bench.spec(str(bench.folder / "daemon"), "stay", entry="mizzen_entries:daemon")]
    for spec in specs:
        await parent.start(spec)
    await bench.says(specs[0], "up")
    await until(lambda: (bench.folder / "daemon").exists() and bool((bench.folder / "daemon").read_text()))
    await parent.shutdown(grace=0.5)
    assert bench.leftovers() == []
    assert process(parent.info.identity.pid) is None
    codes = [read_exit(spec.state_dir) for spec in specs]
    assert [code and code.exit_code for code in codes] == [137] + [143] * 11
    assert not (bench.folder / "launcher.sock").exists() and read_parent(bench.folder / "launcher") is None


async def test_asked_by_the_system_to_end_it_shuts_down(bench: Bench) -> None:
    parent = await bench.ensure()
    spec = bench.spec("sh", "-c", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done")
    await parent.start(spec)
    await bench.says(spec, "up")
    events = parent.events()
    for ignored in (signal.SIGINT, signal.SIGHUP):
        os.kill(parent.info.identity.pid, ignored)
    assert [one.state for one in await parent.list()] == ["running"]
    os.kill(parent.info.identity.pid, signal.SIGTERM)
    assert (await exit_of(events, spec.id)).exit.exit_code == 0  # type: ignore[union-attr]
    assert isinstance(await anext(events), Lost)
    assert "bye" in await bench.log(spec)
    await parent.close()


async def test_while_it_shuts_down_nothing_starts(bench: Bench) -> None:
    parent = await bench.ensure()
    spec = bench.spec("sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done")
    await parent.start(spec)
    await bench.says(spec, "up")
    ending = asyncio.create_task(parent.shutdown(grace=2))
    await asyncio.sleep(0.2)
    with pytest.raises(StartFailed, match="is shutting down"):
        await parent.start(bench.spec("true"))
    await ending


async def test_a_parent_that_hangs_is_ended_all_the_same(bench: Bench) -> None:
    parent = await bench.ensure()
    spec = bench.spec("sleep", "1000")
    started = await parent.start(spec)
    await parent.close()
    os.kill(parent.info.identity.pid, signal.SIGSTOP)
    with pytest.raises(
        ParentUnreachable, match=rf"the process {parent.info.identity.pid} listens at .* did not answer"
    ):
        await PodParent.connect(bench.folder / "launcher.sock", timeout=0.3)
    await PodParent.end(bench.folder / "launcher.sock", bench.folder / "launcher")
    assert process(parent.info.identity.pid) is None
    assert started.identity is not None
    await until(lambda: not is_alive(started.identity))  # type: ignore[arg-type]


async def test_a_stale_socket_is_replaced(bench: Bench) -> None:
    path = bench.socket("launcher")
    with socket.socket(socket.AF_UNIX) as stale, socket_address(path) as address:
        stale.bind(address)
    assert path.is_socket()
    async with await bench.ensure() as parent:
        assert parent.info.socket == str(path)
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\x05hello", b"\xff\xff\xff\xff", b"\0\0\0\x02{}"])
async def test_who_speaks_otherwise_is_hung_up_on(bench: Bench, parent: PodParent, data: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as stranger:
        with socket_address(bench.folder / "launcher.sock") as address:
            stranger.connect(address)
        stranger.sendall(data)
        stranger.settimeout(30)
        assert await asyncio.to_thread(stranger.recv, 100) == b""
    assert await parent.list() == []


async def test_a_client_that_does_not_read_is_dropped(bench: Bench, parent: PodParent) -> None:
    with socket.socket(socket.AF_UNIX) as deaf:
        with socket_address(bench.folder / "launcher.sock") as address:
            deaf.connect(address)
        spec = bench.spec(entry="mizzen_entries:hello")
        spec.id = "long/" + "x" * 1_000_000
        spec.state_dir, spec.log_path = str(bench.folder / "s"), str(bench.folder / "l")
        for _ in range(12):
            await bench.finish(parent, spec)
            await parent.forget(spec.id)

        received = 0
        deaf.settimeout(30)
        while data := await asyncio.to_thread(deaf.recv, 1 << 20):
            received += len(data)
        assert 0 < received < 20_000_000
    assert await parent.list() == []


async def test_a_broken_connection_is_made_again_and_what_was_missed_is_told(bench: Bench, parent: PodParent) -> None:
    events = parent.events()
    before = bench.spec("sh", "-c", "sleep 0.4; exit 6", id="ends meanwhile")
    await parent.start(before)
    assert isinstance(await anext(events), Started)
    async with await bench.ensure() as other:
        # What the network never does to a Unix socket: the connection breaks under both.
        parent._connection._writer.transport.abort()
        during = bench.spec("sleep", "1000", id="starts meanwhile")
        await other.start(during)
        await other.stop(before.id, grace=5)
        assert (await exit_of(events, before.id)).exit.exit_code in (6, 143)  # type: ignore[union-attr]
        assert {one.id: one.state for one in await parent.list()} == {before.id: "exited", during.id: "running"}
        assert (await parent.stop(during.id, grace=5)).exit_code == 143


async def test_the_address_block_is_held_as_long_as_the_launcher_lives(bench: Bench) -> None:
    folder = bench.folder / "addresses"
    home, other = bench.folder / "home", bench.folder / "other"
    home.mkdir()
    other.mkdir()
    block = AddressBlock.claim(home, folder=folder)
    parent = await bench.ensure(hold_fd=block.fd)
    assert parent.info.holds == [block.fd]
    spec = bench.spec("sh", "-c", "ls -l /proc/self/fd; sleep 1000")
    await parent.start(spec)
    await bench.says(spec, "->")
    assert "127." not in await bench.log(spec)
    block.release()
    assert AddressBlock.claim(home, folder=folder).fd is None
    await parent.shutdown(grace=1)
    again = AddressBlock.claim(home, folder=folder)
    assert again.number == block.number and again.fd is not None
    again.release()


async def test_a_parent_that_cannot_start_says_why(bench: Bench) -> None:
    with pytest.raises(ParentUnreachable, match=r"cannot be started: .*no-such-python"):
        await bench.ensure(python="/no-such-python")
    by_hand = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-m", "mizzen.cluster.node.runtime.parent", "--hold-fd", "999"),
        *("--socket", str(bench.socket("bad")), "--state", str(bench.folder / "bad")),
        env=bench.env,
        stderr=asyncio.subprocess.PIPE,
    )
    _, error = await by_hand.communicate()
    assert by_hand.returncode == 1
    assert error == b"mizzen pod parent: descriptor 999, which is to be held, is not open\n"


async def test_under_uvloop_it_is_the_same(bench: Bench) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def story() -> tuple[int, str]:
        async with await bench.ensure("uv") as parent:
            spec = bench.spec("sh", "-c", "echo from uvloop; exit 9")
            ended, text = await bench.finish(parent, spec)
            await parent.shutdown(grace=1)
            assert ended.exit is not None
            return ended.exit.exit_code, text

    assert await asyncio.to_thread(uvloop.run, story()) == (9, "from uvloop\n")
