from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mizzen.cluster.node.runtime.cgroup import Hierarchy, MemoryGroups, locate
from mizzen.cluster.node.runtime.identity import Identity
from mizzen.cluster.node.runtime.memory import over_limit, proportional, resident
from mizzen.cluster.node.runtime.processes import descendants, table
from mizzen.cluster.node.runtime.spec import Container

MIB = 1 << 20
EAT = """
import os, signal, sys
held = bytearray(int(sys.argv[1]) << 20)
held[::4096] = b"x" * len(held[::4096])
for _ in range(int(sys.argv[2])):
    if os.fork() == 0:
        break
os.write(1, b"full\\n")
signal.pause()
"""


def eat(megabytes: int, children: int = 0) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", EAT, str(megabytes), str(children)], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    for _ in range(children + 1):
        assert process.stdout.readline() == b"full\n"
    return process


@pytest.fixture
def eaters() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        os.killpg(process.pid, 9)
        process.communicate()


def container(process: subprocess.Popen[bytes], limit: int, memory: str = "watch") -> Container:
    return Container(
        id=f"c{process.pid}",
        state="running",
        state_dir="",
        log_path="",
        created_at=0.0,
        identity=Identity.of(process.pid),
        memory=memory,  # type: ignore[arg-type]
        memory_bytes=limit,
    )


def test_only_those_over_their_limit_are_named(eaters: list[subprocess.Popen[bytes]]) -> None:
    eaters += [eat(100), eat(1)]
    big, small = (container(process, 60 * MIB) for process in eaters)
    (found,) = over_limit([big, small])
    assert found.id == big.id and found.limit == 60 * MIB and 100 * MIB < found.used < 160 * MIB
    assert over_limit([container(eaters[0], 60 * MIB, memory="cgroup"), container(eaters[0], 400 * MIB)]) == []


def test_what_processes_share_counts_once(eaters: list[subprocess.Popen[bytes]]) -> None:
    eaters.append(eat(100, children=3))
    tree = descendants(table(), [eaters[0].pid])
    assert len(tree) == 4
    # Four processes that hold the same 100 MiB: RSS says 400, PSS 100.
    assert sum(map(resident, tree)) > 400 * MIB
    assert sum(map(proportional, tree)) < 200 * MIB
    assert over_limit([container(eaters[0], 200 * MIB)]) == []
    (found,) = over_limit([container(eaters[0], 90 * MIB)])
    assert found.used < 200 * MIB


def test_a_container_that_is_gone_uses_nothing() -> None:
    process = eat(1)
    gone = container(process, 1)
    os.killpg(process.pid, 9)
    process.communicate()
    assert over_limit([gone]) == []


MOUNTS_1 = """\
24 1 0:22 / /proc rw - proc proc rw
30 23 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro
33 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
34 30 0:30 / /sys/fs/cgroup/memory rw shared:3 - cgroup cgroup rw,memory
36 30 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
"""
MOUNTS_2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


@pytest.mark.parametrize(
    ("membership", "mountinfo", "expected"),
    [
        ("4:memory:/user/x\n1:name=systemd:/\n0::/\n", MOUNTS_1, Hierarchy(1, Path("/sys/fs/cgroup/memory/user/x"))),
        ("4:memory:/\n", MOUNTS_1, Hierarchy(1, Path("/sys/fs/cgroup/memory"))),
        ("0::/user.slice/a.scope\n", MOUNTS_2, Hierarchy(2, Path("/sys/fs/cgroup/user.slice/a.scope"))),
        # A container that sees only its own part of the hierarchy.
        (
            "4:memory:/docker/abc\n",
            "34 30 0:30 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
            Hierarchy(1, Path("/sys/fs/cgroup/memory")),
        ),
        # A process outside of what is mounted.
        ("4:memory:/elsewhere\n", "34 30 0:30 /docker/abc /sys/fs/cgroup/memory rw - cgroup c rw,memory\n", None),
        ("0::/\n", "24 1 0:22 / /proc rw - proc proc rw\n", None),
        ("", MOUNTS_2, None),
    ],
)
def test_where_a_process_finds_its_memory_group(membership: str, mountinfo: str, expected: Hierarchy | None) -> None:
    assert locate(membership, mountinfo) == expected


def test_without_a_writable_group_it_is_said_why(tmp_path: Path) -> None:
    own = Identity.of(os.getpid())
    groups = MemoryGroups(own, Hierarchy(1, tmp_path / "missing"))
    assert groups.where is None and "missing is not writable" in groups.reason
    with pytest.raises(OSError, match="not writable"):
        groups.make(MIB)
    assert MemoryGroups(own, Hierarchy(2, tmp_path)).where is None
    assert "not to be seen" in MemoryGroups(own, None).reason
    groups.close()


here = MemoryGroups.here(Identity.of(os.getpid()))


@pytest.mark.skipif(here.where is None, reason=f"no control groups: {here.reason}")
def test_a_real_group_is_made_used_and_removed(eaters: list[subprocess.Popen[bytes]]) -> None:
    groups = MemoryGroups.here(Identity.of(os.getpid()))
    group = groups.make(50 * MIB)
    try:
        child = subprocess.Popen([sys.executable, "-c", "input(); held = b'x' * (200 << 20)"], stdin=subprocess.PIPE)
        group.add(child.pid)
        assert group.members() == [child.pid] and not group.killed_for_memory()
        assert not group.remove()
        child.communicate(b"\n")
        assert child.returncode == -9
        assert group.killed_for_memory()
    finally:
        end = time.monotonic() + 10
        while not group.remove() and time.monotonic() < end:
            time.sleep(0.01)
        groups.close()
    assert not group.folder.exists() and not group.folder.parent.exists()


@pytest.mark.skipif(here.where is None, reason=f"no control groups: {here.reason}")
def test_the_groups_of_a_parent_that_was_killed_are_removed_by_the_next() -> None:
    dead = subprocess.Popen(["true"])
    identity = Identity.of(dead.pid)
    dead.wait()
    stale = MemoryGroups.here(identity)
    left = stale.make(MIB)
    assert left.folder.exists()
    groups = MemoryGroups.here(Identity.of(os.getpid()))
    groups.leave(groups.make(MIB))
    groups.close()
    assert not left.folder.parent.exists()
