"""Real containers of a launcher: starting, ending, watching, and running commands in them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cluster.node.runtime.pod_bench import Bench, can_mount, exit_of, until
from mizzen.cluster.node.runtime.client import PodParent
from mizzen.cluster.node.runtime.errors import (
    Refused,
    StartFailed,
    UnknownContainer,
)
from mizzen.cluster.node.runtime.identity import Identity, is_alive, process
from mizzen.cluster.node.runtime.protocol import Exited, Started
from mizzen.cluster.node.runtime.spec import Mount, read_exit, read_identity

mounting = pytest.mark.skipif(not can_mount(), reason="mounts are not permitted here")


async def test_a_command_runs_and_all_that_is_known_of_it_is_on_disk(bench: Bench, parent: PodParent) -> None:
    spec = bench.spec("sh", "-c", "echo out; echo err >&2; printf end; exit 3")
    events = parent.events()
    begun = time.time()
    started = await parent.start(spec)
    assert started.state == "running" and started.identity is not None
    assert read_identity(spec.state_dir) == started.identity
    first = await anext(events)
    assert isinstance(first, Started) and first.container.id == spec.id
    ended = await exit_of(events, spec.id)
    assert ended.exit is not None
    assert (ended.exit.exit_code, ended.exit.signal, ended.exit.reason) == (3, 0, "Error")
    assert begun - 1 < ended.exit.started_at <= ended.exit.finished_at < time.time() + 1  # type: ignore[operator]
    assert read_exit(spec.state_dir) == ended.exit
    assert sorted((await bench.log(spec)).splitlines()) == ["end", "err", "out"]
    assert [one.id for one in await parent.list()] == [spec.id]
    await parent.forget(spec.id)
    assert await parent.list() == []
    assert not is_alive(started.identity)


@pytest.mark.parametrize(
    ("script", "code", "signum", "reason"),
    [
        ("exit 0", 0, 0, "Completed"),
        ("exit 255", 255, 0, "Error"),
        ("kill -9 $$", 137, 9, "Error"),
        ("kill -15 $$", 143, 15, "Error"),
        ("kill -SEGV $$", 139, 11, "Error"),
    ],
)
async def test_exit_codes_are_those_of_kubernetes(
    bench: Bench, parent: PodParent, script: str, code: int, signum: int, reason: str
) -> None:
    ended, _ = await bench.finish(parent, bench.spec("sh", "-c", script))
    assert ended.exit is not None
    assert (ended.exit.exit_code, ended.exit.signal, ended.exit.reason) == (code, signum, reason)


async def test_a_container_has_its_own_environment_session_and_descriptors(bench: Bench, parent: PodParent) -> None:
    spec = bench.spec(
        "sh",
        "-c",
        "env; pwd; readlink /proc/self/fd/0; ls /proc/self/fd; ps -o sid=,pgid= -p $$; echo $$; umask; "
        "exec grep -E 'SigBlk|SigIgn' /proc/self/status",
        env={"PATH": os.environ["PATH"], "NAME": "two words"},
        cwd="/usr",
    )
    _, text = await bench.finish(parent, spec)
    lines = text.splitlines()
    names = {line.partition("=")[0] for line in lines if "=" in line}
    assert names - {"PWD", "OLDPWD", "SHLVL", "_"} == {"PATH", "NAME", "MIZZEN_CONTAINER"}
    assert "NAME=two words" in lines and "/usr" in lines and "/dev/null" in lines
    # 3 is ls's own, of the directory that it reads.
    assert [line for line in lines if line.isdigit() and len(line) == 1] == ["0", "1", "2", "3"]
    own = next(line for line in reversed(lines) if line.isdigit() and len(line) > 1 and line != "0022")
    assert any(line.split() == [own, own] for line in lines)
    assert "0022" in lines
    masks = dict(line.split() for line in lines if line.startswith("Sig"))
    # 32 and 33 are the C library's own: make leaves them ignored, and no program can change it.
    assert int(masks["SigBlk:"], 16) == 0 and int(masks["SigIgn:"], 16) & ~(3 << 31) == 0


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"argv": ["no-such-program"]}, 127, r"'no-such-program' was not found in PATH \("),
        ({"argv": ["/no/such/program"]}, 127, r"there is no file '/no/such/program'"),
        ({"argv": ["/etc/passwd"]}, 126, r"'/etc/passwd' cannot be executed: Permission denied"),
        ({"argv": ["{folder}/script"]}, 127, r"the interpreter it names does not exist"),
        ({"argv": ["{folder}/garbage"]}, 126, r"cannot be executed: Exec format error"),
        ({"argv": []}, 127, r"there is no command"),
        ({"argv": ["true", "a\0b"]}, 128, r"zero byte"),
        ({"argv": ["true"], "cwd": "/no/such"}, 126, r"cannot start in the working directory '/no/such': No such"),
        ({"entry": "no_such_module:main"}, 127, r"'no_such_module:main' cannot be imported: No module named"),
        ({"entry": "mizzen_entries:nothing"}, 127, r"has no attribute 'nothing'"),
        ({"entry": "mizzen_entries:not_callable"}, 126, r"no function but a int"),
        ({"entry": "mizzen_entries"}, 127, r"written 'package.module:function', not 'mizzen_entries'"),
        ({"argv": ["true"], "isolate": False, "hosts": "x"}, 128, r"isolate is false"),
    ],
)
async def test_a_start_that_fails_says_why(
    bench: Bench, parent: PodParent, fields: dict[str, Any], code: int, words: str
) -> None:
    (bench.folder / "script").write_text("#!/no/such/interpreter\n")
    (bench.folder / "garbage").write_bytes(b"\x7fELF and then nothing")
    for name in ("script", "garbage"):
        (bench.folder / name).chmod(0o755)
    argv = [word.format(folder=bench.folder) for word in fields.get("argv", [])]
    spec = bench.spec(*argv, **{name: value for name, value in fields.items() if name != "argv"})
    with pytest.raises(StartFailed, match=words) as failed:
        await parent.start(spec)
    assert (failed.value.exit_code, failed.value.reason) == (code, "StartError")
    listed = await parent.list()
    if listed:
        # It was forked, so there is a folder that tells the same to who comes later.
        found = read_exit(spec.state_dir)
        assert found is not None and found == listed[0].exit
        assert (found.exit_code, found.reason, found.started_at) == (code, "StartError", None)
        assert found.message == str(failed.value)


async def test_an_id_is_taken_until_it_is_forgotten(bench: Bench, parent: PodParent) -> None:
    spec = bench.spec("sleep", "1000", id="one")
    await parent.start(spec)
    with pytest.raises(StartFailed, match="'one' exists already") as taken:
        await parent.start(spec)
    assert taken.value.reason == "AlreadyExists"
    with pytest.raises(Refused, match="still runs"):
        await parent.forget("one")
    await parent.stop("one", grace=10)
    with pytest.raises(StartFailed):
        await parent.start(spec)
    await parent.forget("one")
    await parent.start(spec)
    assert read_exit(spec.state_dir) is None


async def test_who_is_unknown_is_said(parent: PodParent) -> None:
    for ask in (parent.forget("who"), parent.stop("who"), parent.signal("who", 15), parent.exec("who", ["true"])):
        with pytest.raises(UnknownContainer, match="no container 'who'"):
            await ask


async def test_a_start_that_hangs_is_given_up(bench: Bench, parent: PodParent) -> None:
    (bench.folder / "code" / "mizzen_slow.py").write_text("import time\ntime.sleep(1000)\n")
    with pytest.raises(StartFailed, match=r"neither started nor failed after 0.5 s"):
        await parent.start(bench.spec(entry="mizzen_slow:main", start_timeout=0.5))


async def test_stop_is_term_then_kill_for_the_whole_group(bench: Bench, parent: PodParent) -> None:
    polite = bench.spec("sh", "-c", "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.05; done")
    stubborn = bench.spec("sh", "-c", "trap '' TERM; echo up; sleep 1000 & sleep 1000")
    for spec in (polite, stubborn):
        await parent.start(spec)
        await bench.says(spec, "up")
    assert (await parent.stop(polite.id, grace=30)).exit_code == 7
    assert "bye" in await bench.log(polite)
    ended = await parent.stop(stubborn.id, grace=0.3)
    assert (ended.exit_code, ended.signal) == (137, 9)
    # Asked again, the same is answered.
    assert await parent.stop(stubborn.id) == ended
    assert all(b"sleep\x001000" not in line for _, line in bench.leftovers())


async def test_a_later_stop_may_be_less_patient(bench: Bench, parent: PodParent) -> None:
    spec = bench.spec("sh", "-c", "trap '' TERM; echo up; sleep 1000 & wait; sleep 1000")
    await parent.start(spec)
    await bench.says(spec, "up")
    patient = asyncio.create_task(parent.stop(spec.id, grace=600))
    await asyncio.sleep(0.1)
    assert (await parent.stop(spec.id, grace=0)).exit_code == 137
    assert (await patient).exit_code == 137


async def test_signals_reach_one_process_or_all(bench: Bench, parent: PodParent) -> None:
    script = "trap 'echo got it' USR1; echo up; while :; do sleep 0.05; done"
    spec = bench.spec("sh", "-c", script)
    await parent.start(spec)
    await bench.says(spec, "up")
    await parent.signal(spec.id, signal.SIGUSR1, group=False)
    await bench.says(spec, "got it")
    with pytest.raises(Refused, match="4711 is not the number of a signal"):
        await parent.signal(spec.id, 4711)
    events = parent.events()
    await parent.signal(spec.id, signal.SIGKILL)
    assert (await exit_of(events, spec.id)).exit.exit_code == 137  # type: ignore[union-attr]
    with pytest.raises(UnknownContainer, match="has ended"):
        await parent.signal(spec.id, 15)


@pytest.mark.parametrize("how", ["background", "daemon"])
async def test_what_a_container_leaves_behind_ends_with_it(bench: Bench, parent: PodParent, how: str) -> None:
    file = bench.folder / "pid"
    if how == "background":
        spec = bench.spec("sh", "-c", f"sleep 1000 & echo $! > {file}; exit 0")
    else:
        spec = bench.spec(str(file), entry="mizzen_entries:daemon")
    await bench.finish(parent, spec)
    pid = int(file.read_text())
    await until(lambda: process(pid) is None)


async def test_a_daemon_lives_as_long_as_its_container(bench: Bench, parent: PodParent) -> None:
    file = bench.folder / "pid"
    spec = bench.spec(str(file), "stay", entry="mizzen_entries:daemon")
    await parent.start(spec)
    await until(lambda: file.exists() and bool(file.read_text()))
    daemon = Identity.of(int(file.read_text()))
    # Others come and go.
    for _ in range(3):
        await bench.finish(parent, bench.spec("true"))
    assert is_alive(daemon)
    await parent.stop(spec.id, grace=5)
    await until(lambda: not is_alive(daemon))


async def test_output_written_just_before_the_end_is_in_the_log(bench: Bench, parent: PodParent) -> None:
    spec = bench.spec("sh", "-c", "i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done; kill -9 $$")
    _, text = await bench.finish(parent, spec)
    assert text.splitlines() == [f"line {number}" for number in range(500)]


async def test_rotation_under_load_loses_and_tears_nothing(bench: Bench, parent: PodParent) -> None:
    script = "import sys\nfor i in range({n}): print('{name}', i, 'x' * (i % 97))\n"
    count = 60_000
    specs = [
        bench.spec(
            sys.executable,
            "-c",
            script.format(n=count, name=name),
            log_max_bytes=100_000,
            log_max_files=10_000,
        )
        for name in ("a", "b", "c")
    ]
    events = parent.events()
    for spec in specs:
        await parent.start(spec)
    waiting = {spec.id for spec in specs}
    async for event in events:
        if isinstance(event, Exited):
            waiting.discard(event.container.id)
        if not waiting:
            break
    for spec, name in zip(specs, ("a", "b", "c"), strict=True):
        assert (await bench.log(spec)).splitlines() == [f"{name} {i} {'x' * (i % 97)}" for i in range(count)]
        files = list(Path(spec.log_path).parent.iterdir())
        assert len(files) > 20 and max(file.stat().st_size for file in files) <= 100_000


async def test_commands_run_inside_a_container(bench: Bench, parent: PodParent) -> None:
    spec = bench.spec("sleep", "1000", env={"PATH": os.environ["PATH"], "WHO": "me"}, cwd="/usr")
    await parent.start(spec)
    found = await parent.exec(
        spec.id, ["sh", "-c", "echo $WHO $EXTRA; pwd; echo err >&2; exit 4"], {"EXTRA": "more"}, timeout=30
    )
    assert (found.exit_code, found.timed_out) == (4, False)
    assert sorted(found.output.decode().split()) == ["/usr", "err", "me", "more"]
    found = await parent.exec(spec.id, ["no-such-program"], timeout=30)
    assert found.exit_code == 127 and b"'no-such-program' was not found in PATH" in found.output
    found = await parent.exec(spec.id, ["sh", "-c", "echo begun; sleep 1000"], timeout=0.5)
    assert found.timed_out and found.output == b"begun\n"
    found = await parent.exec(spec.id, ["sh", "-c", "yes | head -c 3000000"], timeout=60)
    assert found.exit_code == 0 and len(found.output) == 10 * 1024
    results = await asyncio.gather(*(parent.exec(spec.id, ["sh", "-c", f"exit {n}"], timeout=60) for n in range(20)))
    assert [result.exit_code for result in results] == list(range(20))
    with pytest.raises(Refused, match="no command"):
        await parent.exec(spec.id, [])
    await until(lambda: len(bench.leftovers()) == 2)


@mounting
async def test_mounts_are_seen_by_the_container_and_by_commands_in_it(bench: Bench, parent: PodParent) -> None:
    (bench.folder / "model").mkdir()
    (bench.folder / "model" / "weights").write_text("1 2 3")
    outside = sorted(os.listdir("/mnt"))
    spec = bench.spec(
        "sh",
        "-c",
        "cat /mnt/models/weights /etc/hosts; ls /mnt; echo last words > /dev/termination-log; sleep 1000",
        mounts=[Mount(str(bench.folder / "model"), "/mnt/models", read_only=True)],
        hosts="127.9.9.9 a-host\n",
        termination_message_path="/dev/termination-log",
        cwd="/mnt/models",
    )
    await parent.start(spec)
    await bench.says(spec, "models")
    text = await bench.log(spec)
    assert "1 2 3" in text and "a-host" in text
    assert set(outside) <= set(text.split())
    found = await parent.exec(spec.id, ["sh", "-c", "pwd; cat weights; touch new || echo refused"], timeout=30)
    assert b"/mnt/models\n1 2 3" in found.output and b"refused" in found.output
    assert sorted(os.listdir("/mnt")) == outside
    ended = await parent.stop(spec.id, grace=5)
    assert ended.termination_message == "last words\n"


@mounting
async def test_a_mount_that_fails_is_a_start_that_fails(bench: Bench, parent: PodParent) -> None:
    with pytest.raises(StartFailed, match=r"cannot mount /no/such at /mnt/x: No such file or directory"):
        await parent.start(bench.spec("true", mounts=[Mount("/no/such", "/mnt/x")]))


@mounting
async def test_where_mounts_are_refused_it_is_said_in_words(bench: Bench) -> None:
    """A parent in a user namespace that may make no mount namespaces, as in many containers."""
    wrapper = bench.folder / "python"
    wrapper.write_text(
        f"""#!/bin/sh
exec unshare -U -r sh -c 'echo 0 > /proc/sys/user/max_mnt_namespaces && exec {sys.executable} "$@"' sh "$@"
"""
    )
    wrapper.chmod(0o755)
    async with await bench.ensure("poor", python=str(wrapper)) as parent:
        assert parent.info.isolation.mode == "none"
        reason = parent.info.isolation.reason
        assert "unshare: No space left on device" in reason and "has user.max_mnt_namespaces=0" in reason
        with pytest.raises(StartFailed, match="mounts are not possible here: a mount namespace is refused"):
            await parent.start(bench.spec("true", mounts=[Mount("/etc", "/mnt/x")]))
        _, text = await bench.finish(parent, bench.spec("echo", "runs all the same", isolate=False))
        assert text == "runs all the same\n"


async def test_where_nothing_can_be_mounted_the_message_file_is_in_the_folder(bench: Bench, parent: PodParent) -> None:
    spec = bench.spec("true", isolate=False, termination_message_path="/dev/termination-log")
    spec.argv = ["sh", "-c", f"echo last words > {spec.state_dir}/termination-log; exit 1"]
    ended, _ = await bench.finish(parent, spec)
    assert ended.exit is not None and ended.exit.termination_message == "last words\n"


async def test_over_its_memory_a_container_is_killed_as_such(bench: Bench, parent: PodParent) -> None:
    big = bench.spec("300", entry="mizzen_entries:eat", memory_bytes=100 << 20)
    small = bench.spec("1", entry="mizzen_entries:eat", memory_bytes=100 << 20)
    events = parent.events()
    assert (await parent.start(small)).memory in ("cgroup", "watch")
    await parent.start(big)

    async def watch() -> None:
        while True:
            await parent.enforce_memory()
            await asyncio.sleep(0.1)

    watching = asyncio.create_task(watch())
    ended = await exit_of(events, big.id)
    assert ended.exit is not None
    assert (ended.exit.exit_code, ended.exit.reason, ended.exit.oom_killed) == (137, "OOMKilled", True)
    await asyncio.sleep(0.3)
    watching.cancel()
    assert [one.id for one in await parent.list() if one.state == "running"] == [small.id]
    # Killed for any other reason, it is not called that.
    assert (await parent.stop(small.id, grace=0)).reason == "Error"
