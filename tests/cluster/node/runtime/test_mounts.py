"""Namespaces and mounts, tried in forked children: as this user, and as root also as an ordinary one."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.node.runtime.pod_bench import can_mount, in_child, users
from mizzen.cluster.node.runtime import namespaces, syscalls
from mizzen.cluster.node.runtime.errors import MountFailed
from mizzen.cluster.node.runtime.spec import Isolation, Mount, ProcessSpec

pytestmark = pytest.mark.skipif(not can_mount(), reason="mounts are not permitted here")

User = pytest.mark.parametrize("uid", users())


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with volumes, which any user may use; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "state").mkdir()
        (folder / "model").mkdir()
        (folder / "model" / "weights").write_text("1 2 3")
        (folder / "empty").mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "state" / "hosts").write_text("127.9.0.1 web\n")
        (folder / "state" / "termination-log").touch()
        for path in folder.rglob("*"):
            path.chmod(0o777)
        yield folder


def inside(place: Path, work: Callable[[], Any], uid: int | None, *mounts: Mount, **fields: Any) -> Any:
    """What ``work`` gives in a process with these mounts."""

    def run() -> Any:
        os.umask(0)
        spec = ProcessSpec(id="x", state_dir=str(place / "state"), log_path="", mounts=list(mounts), **fields)
        warnings = namespaces.enter(spec)
        return [work(), warnings]

    result, warnings = in_child(run, uid)
    assert warnings == []
    return result


@User
def test_a_model_appears_where_nothing_was_and_nowhere_else(place: Path, uid: int | None) -> None:
    beside = sorted(os.listdir("/mnt"))
    mount = Mount(str(place / "model"), "/mnt/models", read_only=True)

    def work() -> Any:
        with pytest.raises(OSError, match="Read-only"):
            Path("/mnt/models/new").touch()
        return Path("/mnt/models/weights").read_text(), sorted(os.listdir("/mnt")), os.geteuid(), os.getegid()

    text, there, user, group = inside(place, work, uid, mount)
    assert text == "1 2 3"
    assert there == sorted([*beside, "models"])
    assert (user, group) == (os.geteuid() if uid is None else uid, os.getegid() if uid is None else uid)
    assert sorted(os.listdir("/mnt")) == beside
    assert (place / "model" / "weights").read_text() == "1 2 3"


@User
def test_targets_of_every_kind_at_once(place: Path, uid: int | None) -> None:
    before = {folder: sorted(os.listdir(folder)) for folder in ("/", "/etc", "/mnt", "/run")}
    mounts = [
        Mount(str(place / "model"), "/data/sub/deep"),
        Mount(str(place / "empty"), "/data"),
        Mount(str(place / "model"), "/models", True),
        Mount(str(place / "model"), "/var/run/secrets/kubernetes.io/serviceaccount", True),
        Mount(str(place / "config.json"), "/etc/newapp/config.json", True),
        Mount(str(place / "config.json"), "/etc/passwd", True),
        Mount(str(place / "model"), "/mnt/models"),
    ]

    def work() -> Any:
        Path("/data/written").write_text("kept")
        Path("/data/sub/deep/too").write_text("kept")
        with open("/dev/termination-log", "w") as file:
            file.write("goodbye")
        Path("/dev/null").write_text("gone")
        subprocess.run(["sh", "-c", "test -e /bin/sh && test -d /proc/self"], check=True)
        return {
            "hosts": Path("/etc/hosts").read_text(),
            "passwd": Path("/etc/passwd").read_text(),
            "config": Path("/etc/newapp/config.json").read_text(),
            "token": sorted(os.listdir("/run/secrets/kubernetes.io/serviceaccount")),
            "models": sorted(os.listdir("/models")),
            "/": sorted(os.listdir("/")),
            "/etc": sorted(os.listdir("/etc")),
            "/mnt": sorted(os.listdir("/mnt")),
            "/run": sorted(os.listdir("/run")),
            "links": sorted(name for name in os.listdir("/") if Path("/", name).is_symlink()),
        }

    seen = inside(place, work, uid, *mounts, hosts="127.9.0.1 web\n", termination_message_path="/dev/termination-log")
    assert seen["hosts"] == "127.9.0.1 web\n"
    assert seen["passwd"] == seen["config"] == "{}"
    assert "weights" in seen["token"] and "weights" in seen["models"]
    assert seen["/"] == sorted({*before["/"], "data", "models"})
    assert seen["/etc"] == sorted({*before["/etc"], "newapp"})
    assert seen["/mnt"] == sorted({*before["/mnt"], "models"})
    assert seen["/run"] == sorted({*before["/run"], "secrets"})
    assert seen["links"] == sorted(name for name in os.listdir("/") if Path("/", name).is_symlink())
    # What was written to volumes is in the volumes, and the machine's own folders are as they were.
    assert (place / "empty" / "written").read_text() == "kept"
    assert (place / "model" / "too").read_text() == "kept"
    assert (place / "state" / "termination-log").read_text() == "goodbye"
    assert {folder: sorted(os.listdir(folder)) for folder in before} == before


@User
def test_a_volume_below_a_read_only_one(place: Path, uid: int | None) -> None:
    mounts = [
        Mount(str(place / "model"), "/mnt/models", True),
        Mount(str(place / "empty"), "/mnt/models/cache/here"),
    ]

    def work() -> Any:
        Path("/mnt/models/cache/here/x").write_text("y")
        return sorted(os.listdir("/mnt/models"))

    assert inside(place, work, uid, *mounts) == ["cache", "weights"]
    assert (place / "empty" / "x").read_text() == "y"
    assert sorted(os.listdir(place / "model")) == ["weights"]


@User
def test_a_source_may_lie_under_another_mounts_target(place: Path, uid: int | None) -> None:
    mounts = [Mount(str(place / "empty"), str(place)), Mount(str(place / "model"), "/mnt/models")]
    assert inside(place, lambda: Path("/mnt/models/weights").read_text(), uid, *mounts) == "1 2 3"


@User
def test_the_capabilities_of_a_user_namespace_are_given_up(place: Path, uid: int | None) -> None:
    def work() -> str:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(line.split()[1] for line in lines if line.startswith("CapEff"))

    found = inside(place, work, uid, Mount(str(place / "model"), "/mnt/models"))
    if os.geteuid() != 0 or uid is not None:
        assert int(found, 16) == 0


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ("nowhere", "/mnt/models", r"cannot mount .*nowhere at /mnt/models: No such file or directory"),
        ("model", "/etc/passwd", r"cannot mount a directory at /etc/passwd: a file is there"),
        ("config.json", "/mnt", r"cannot mount a file at /mnt: a directory is there"),
        ("model", "/etc/passwd/below", r"/etc/passwd is not a directory"),
        ("model", "mnt/models", r"absolute path below /, not 'mnt/models'"),
        ("model", "/", r"absolute path below /, not '/'"),
    ],
)
def test_what_cannot_be_mounted_is_told_in_words(place: Path, source: str, target: str, words: str) -> None:
    def work() -> str:
        spec = ProcessSpec(
            id="x", state_dir=str(place / "state"), log_path="", mounts=[Mount(str(place / source), target)]
        )
        with pytest.raises(MountFailed, match=words):
            namespaces.enter(spec)
        return "refused"

    assert in_child(work) == "refused"


@User
def test_another_process_can_join(place: Path, uid: int | None) -> None:
    def work() -> Any:
        here, there = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            spec = ProcessSpec(
                id="x",
                state_dir=str(place / "state"),
                log_path="",
                mounts=[Mount(str(place / "model"), "/mnt/models"), Mount(str(place / "model"), "/models")],
            )
            namespaces.enter(spec)
            os.write(here[1], b"x")
            os.read(there[0], 1)
            os._exit(0)
        os.close(here[1])
        assert os.read(here[0], 1) == b"x"
        before = Path("/mnt/models").exists()
        door = namespaces.Door(pid)
        door.enter()
        found = [before, Path("/mnt/models/weights").read_text(), sorted(os.listdir("/models")), os.geteuid()]
        os.write(there[1], b"x")
        os.waitpid(pid, 0)
        return found

    assert in_child(work, uid) == [False, "1 2 3", ["weights"], os.geteuid() if uid is None else uid]


@User
def test_the_probe_says_what_is_permitted(uid: int | None) -> None:
    def work() -> Any:
        found = namespaces.probe()
        return [found.mode, found.reason]

    ordinary = os.geteuid() != 0 or uid is not None
    mode, reason = in_child(work, uid)
    assert reason == ""
    assert mode == ("user" if ordinary else "mount")


def test_the_probe_says_in_words_what_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(flags: int) -> None:
        raise PermissionError(1, "unshare: Operation not permitted")

    monkeypatch.setattr(syscalls, "unshare", refuse)
    found = namespaces.probe()
    assert found.mode == "none"
    assert "a mount namespace is refused: unshare: Operation not permitted (" in found.reason


def test_elsewhere_than_on_linux_the_probe_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert namespaces.probe() == Isolation("none", "namespaces are a feature of Linux, and this is darwin")
