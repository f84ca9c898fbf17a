"""A parent with preloaded modules, and the entries that are forked from it."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from cluster.node.runtime.pod_bench import Bench, can_mount, exit_of, until
from mizzen.cluster.node.runtime.client import PodParent
from mizzen.cluster.node.runtime.errors import ParentUnreachable
from mizzen.cluster.node.runtime.identity import is_alive
from mizzen.cluster.node.runtime.spec import Mount


def private(pid: int) -> int:
    """The bytes of memory that a process shares with no other."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


async def look(bench: Bench, parent: PodParent, *arguments: str, **fields: Any) -> dict[str, Any]:
    _, text = await bench.finish(parent, bench.spec(*arguments, entry="mizzen_entries:look", **fields))
    lines = text.splitlines()
    assert lines[1:] == ["thread done", "at exit"], text
    return json.loads(lines[0])


async def test_an_entry_finds_itself_in_a_process_of_its_own(bench: Bench, parent: PodParent) -> None:
    seen = await look(
        bench,
        parent,
        "--port",
        "80 80",
        env={"PATH": "/bin", "WHO": "me"},
        cwd="/usr",
        title="kserve-container-x",
        cpu=1.0,
    )
    assert seen["arguments"] == ["--port", "80 80"]
    assert seen["argv"] == ["mizzen_entries:look", "--port", "80 80"]
    assert {name: seen["env"][name] for name in ("PATH", "WHO", "MIZZEN_CPU", "OMP_NUM_THREADS")} == {
        "PATH": "/bin",
        "WHO": "me",
        "MIZZEN_CPU": "1",
        "OMP_NUM_THREADS": "1",
    }
    assert "HOME" not in seen["env"] and "PYTHONPATH" not in seen["env"]
    # 3 is that of the directory just being read.
    assert seen["fds"] == [0, 1, 2, 3] and seen["stdin"] == "/dev/null"
    assert (seen["pgid"], seen["sid"], seen["blocked"]) == (0, 0, [])
    assert seen["sigint"] and seen["sighup"]
    assert seen["cwd"] == "/usr" and seen["name"] == "kserve-containe"
    assert seen["modules"] == []


@pytest.mark.parametrize(
    ("entry", "argument", "code", "log"),
    [
        ("hello", "world", 0, "hello world\nto stderr\n"),
        ("code", "0", 0, ""),
        ("code", "3", 3, ""),
        ("leave", "4", 4, ""),
        ("leave", "in words", 1, "in words\n"),
        ("fail", "", 1, "ValueError: what went wrong\n"),
    ],
)
async def test_how_an_entry_ends_is_its_exit_code(
    bench: Bench, parent: PodParent, entry: str, argument: str, code: int, log: str
) -> None:
    ended, text = await bench.finish(parent, bench.spec(argument, entry=f"mizzen_entries:{entry}"))
    assert ended.exit is not None and ended.exit.exit_code == code
    assert sorted(text.splitlines())[-2:] == sorted(log.splitlines())[-2:] or text.endswith(log)
    if entry == "fail":
        assert text.startswith("Traceback") and "mizzen_entries.py" in text


async def test_an_entry_that_is_terminated_or_interrupted(bench: Bench, parent: PodParent) -> None:
    for signum, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, 137)):
        spec = bench.spec(entry="mizzen_entries:idle")
        await parent.start(spec)
        await bench.says(spec, "idle")
        events = parent.events()
        await parent.signal(spec.id, signum)
        ended = (await exit_of(events, spec.id)).exit
        assert ended is not None and ended.exit_code == code


async def test_children_share_what_was_preloaded_but_not_their_randomness(bench: Bench) -> None:
    async with await bench.ensure("zygote", preload=["json", "numpy.random"]) as zygote:
        assert set(zygote.info.preloaded) >= {"numpy"} and zygote.info.preloaded["numpy"]
        assert zygote.info.preload_seconds > 0
        seen = [await look(bench, zygote) for _ in range(3)]
        assert all("numpy" in one["modules"] for one in seen)
        assert len({one["random"] for one in seen}) == len({one["numpy"] for one in seen}) == 3
        # Never an event loop before a fork.
        assert not any(name.partition(".")[0] in ("asyncio", "uvloop") for name in seen[0]["modules"])


async def test_a_model_server_forked_from_scikit_learn_runs_models(bench: Bench) -> None:
    pytest.importorskip("sklearn")
    (bench.folder / "code" / "mizzen_model.py").write_text(
        """
def fit(arguments):
    import numpy, threadpoolctl
    from sklearn.ensemble import RandomForestClassifier, HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    x = numpy.arange(400.0).reshape(100, 4); y = numpy.arange(100) % 3
    models = LogisticRegression(), HistGradientBoostingClassifier(max_iter=3), RandomForestClassifier(5, n_jobs=2)
    for model in models:
        print(type(model).__name__, len(model.fit(x, y).predict(x)))
    counts = {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
    print("threads", sorted(counts), flush=True)
    import signal; signal.pause()
"""
    )
    modules = ["sklearn.linear_model", "sklearn.ensemble", "sklearn.svm", "sklearn.pipeline"]
    cores = len(os.sched_getaffinity(0))
    async with await bench.ensure("sklearn", preload=modules) as zygote:
        assert set(zygote.info.preloaded) == {"numpy", "scipy", "sklearn"}
        tasks = os.listdir(f"/proc/{zygote.info.identity.pid}/task")
        assert len(tasks) == 1
        one = bench.spec(entry="mizzen_model:fit", cpu=1.0)
        two = bench.spec(entry="mizzen_model:fit", cpu=2.0)
        for spec in (one, two):
            await zygote.start(spec)
        for spec, count in ((one, 1), (two, min(2, cores))):
            await bench.says(spec, "threads")
            text = await bench.log(spec)
            assert text.splitlines()[:3] == [
                "LogisticRegression 100",
                "HistGradientBoostingClassifier 100",
                "RandomForestClassifier 100",
            ]
            assert f"threads [{count}]" in text
        # A child that only waits shares nearly everything.
        idle = bench.spec(entry="mizzen_entries:idle")
        identity = (await zygote.start(idle)).identity
        await bench.says(idle, "idle")
        assert identity is not None and private(identity.pid) < 20 << 20


async def test_a_killed_zygote_takes_its_children_and_theirs_along(bench: Bench) -> None:
    (bench.folder / "code" / "mizzen_forks.py").write_text(
        """
import os, signal, sys
def main(arguments):
    # A grandchild that executes nothing, in a session of its own: only the zygote's mark is on it.
    if os.fork() == 0:
        os.setsid()
        open(arguments[0], "w").write(str(os.getpid()))
    signal.pause()
"""
    )
    file = bench.folder / "pid"
    async with await bench.ensure("zygote", preload=["json"]) as zygote:
        await zygote.start(bench.spec(str(file), entry="mizzen_forks:main"))
        await until(lambda: file.exists() and bool(file.read_text()))
        os.kill(zygote.info.identity.pid, signal.SIGKILL)
        async for _ in zygote.events():
            pass
        await until(lambda: bench.leftovers() == [])
        assert not is_alive(zygote.info.identity)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("no_such_framework", r"no_such_framework cannot be preloaded: ModuleNotFoundError: No module named"),
        ("mizzen_broken", r"mizzen_broken cannot be preloaded: ZeroDivisionError"),
        ("mizzen_threads", r"mizzen_threads cannot be preloaded: its import started 1 threads"),
        ("mizzen_exits", r"ended with exit code 7 before it listened; .*parent.log may say why"),
    ],
)
async def test_what_cannot_be_preloaded_is_named(bench: Bench, module: str, words: str) -> None:
    code = bench.folder / "code"
    (code / "mizzen_broken.py").write_text("1 / 0\n")
    (code / "mizzen_threads.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(5,), daemon=True).start()\n"
    )
    (code / "mizzen_exits.py").write_text("import os\nos._exit(7)\n")
    with pytest.raises(ParentUnreachable, match=words):
        await bench.ensure("zygote", preload=["json", module])
    assert bench.leftovers() == []
    # The socket is free for a better one.
    async with await bench.ensure("zygote", preload=["json"]) as zygote:
        assert zygote.info.preloaded == {"json": json.__version__}


async def test_imports_that_take_too_long_are_ended(bench: Bench) -> None:
    (bench.folder / "code" / "mizzen_slow.py").write_text("import time\ntime.sleep(1000)\n")
    with pytest.raises(ParentUnreachable, match="was not ready after 1 s"):
        await PodParent.ensure(
            bench.socket("slow"),
            bench.folder / "slow",
            name="slow",
            preload=["mizzen_slow"],
            env=bench.env,
            timeout=1.0,
        )
    assert bench.leftovers() == []


async def test_at_its_end_a_child_cleans_up_its_own_and_nothing_of_the_zygotes(bench: Bench) -> None:
    (bench.folder / "code" / "mizzen_temporary.py").write_text(
        """
import atexit, logging, tempfile, os, weakref
folder = os.environ["TEMPORARY"]
before = tempfile.TemporaryDirectory(dir=folder, prefix="zygote")
atexit.register(print, "the zygote's exit")
def main(arguments):
    main.mine = tempfile.TemporaryDirectory(dir=folder, prefix="child")
    print(sorted(name[:5] for name in os.listdir(folder)))
"""
    )
    (bench.folder / "temporary").mkdir()
    bench.env["TEMPORARY"] = str(bench.folder / "temporary")
    async with await bench.ensure("zygote", preload=["mizzen_temporary"]) as zygote:
        ended, text = await bench.finish(zygote, bench.spec(entry="mizzen_temporary:main"))
        assert ended.exit is not None and (ended.exit.exit_code, text) == (0, "['child', 'zygot']\n")
        assert [name[:6] for name in os.listdir(bench.folder / "temporary")] == ["zygote"]
        await zygote.shutdown(grace=1)
    assert os.listdir(bench.folder / "temporary") == []


@pytest.mark.skipif(not can_mount(), reason="mounts are not permitted here")
async def test_entries_have_mounts_too(bench: Bench) -> None:
    (bench.folder / "model").mkdir()
    (bench.folder / "model" / "x").write_text("weights")
    (bench.folder / "code" / "mizzen_reads.py").write_text(
        "def main(arguments):\n    print(open('/mnt/models/x').read())\n"
    )
    async with await bench.ensure("zygote", preload=["json"]) as zygote:
        mounts = [Mount(str(bench.folder / "model"), "/mnt/models", read_only=True)]
        ended, text = await bench.finish(zygote, bench.spec(entry="mizzen_reads:main", mounts=mounts))
        assert ended.exit is not None and (ended.exit.exit_code, text) == (0, "weights\n")
