"""``mizzen up``, ``down``, ``status``, ``kubeconfig`` and ``env``, as scripts and people use them."""

import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from installed import ANY_PORTS, Mizzen, installation, iris_manifest, new_home, train, until


def test_up_in_the_background_and_down():
    with new_home() as mizzen:
        told = mizzen("up", "-d", *ANY_PORTS)
        assert re.search(r"ready in \d+\.\d s", told)
        status = mizzen.status()
        assert status["ready"] is True
        assert status["api"]["url"].startswith("https://127.0.0.1:")
        assert status["gateway"]["url"].startswith("http://127.0.0.1:")
        assert status["kubeconfig"] == str(mizzen.home / "kubeconfig") == mizzen("kubeconfig").strip()
        assert os.stat(status["kubeconfig"]).st_mode & 0o777 == 0o600
        assert f"export KUBECONFIG={status['kubeconfig']}" in mizzen("env")
        assert "ready" in mizzen("status")
        mizzen("down")
        assert mizzen.processes() == {}
        stopped = mizzen.run("status", "-o", "json")
        assert stopped.returncode == 1
        assert json.loads(stopped.stdout)["ready"] is False
        assert "nothing runs" in mizzen("down")


def test_what_is_stored_is_there_after_down_and_up(tmp_path):
    train(tmp_path)
    with installation() as mizzen:
        mizzen.apply(iris_manifest(tmp_path))
        mizzen.wait_ready("iris")
        mizzen("down")
        mizzen.up()
        mizzen.wait_ready("iris")
        until(lambda: mizzen.predict("iris", [[5.1, 3.5, 1.4, 0.2]]) == (200, {"predictions": [0]}))


def test_a_second_up_in_the_same_home_is_refused_in_words():
    with installation() as mizzen:
        pid = mizzen.status()["pid"]
        for arguments in (("up", "-d", *ANY_PORTS), ("up", *ANY_PORTS)):
            second = mizzen.run(*arguments)
            assert second.returncode == 1
            assert f"pid {pid}" in second.stderr
            assert "mizzen down" in second.stderr
            assert "Traceback" not in second.stderr
        assert mizzen.status()["ready"] is True


def test_two_homes_run_side_by_side(tmp_path):
    model, flowers = train(tmp_path)
    with installation() as one, installation() as other:
        assert one.status()["addresses"] != other.status()["addresses"]
        for mizzen in (one, other):
            mizzen.apply(iris_manifest(tmp_path))
        for mizzen in (one, other):
            mizzen.wait_ready("iris")
            asked = flowers[::50].tolist()
            status, answer = mizzen.predict("iris", asked)
            assert (status, answer["predictions"]) == (200, model.predict(asked).tolist())
        other("down")
        assert one.predict("iris", [[5.1, 3.5, 1.4, 0.2]])[0] == 200


@pytest.mark.parametrize("option", ["--api-port", "--gateway-port"])
def test_a_port_that_a_stranger_has(option):
    with new_home() as mizzen, socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        other = "--gateway-port" if option == "--api-port" else "--api-port"
        refused = mizzen.run("up", "-d", option, str(port), other, "0")
        assert refused.returncode == 1
        assert f"port {port}" in refused.stderr
        assert f"process {os.getpid()}" in refused.stderr
        assert f"{option} 0" in refused.stderr
        assert mizzen.processes() == {}


@pytest.mark.parametrize("how", [("-d",), ()], ids=["background", "foreground"])
def test_one_port_for_both_is_refused_as_such(how):
    with new_home() as mizzen:
        refused = mizzen.run("up", *how, "--api-port", "5555", "--gateway-port", "5555")
        assert refused.returncode == 1
        assert refused.stderr == "mizzen: both ports are 5555; choose two\n"
        assert not mizzen.home.exists()


def test_what_a_killed_supervisor_has_left_is_told(tmp_path):
    train(tmp_path)
    with installation() as mizzen:
        os.kill(mizzen.status()["pid"], signal.SIGKILL)
        until(lambda: not mizzen.status()["ready"])
        assert "start one with" in mizzen.run("status").stdout, "no pod runs"
        mizzen.up()
        mizzen.apply(iris_manifest(tmp_path))
        mizzen.wait_ready("iris")
        os.kill(mizzen.status()["pid"], signal.SIGKILL)
        until(lambda: mizzen.status()["phase"] == "stopped")
        told = mizzen.run("status")
        assert told.returncode == 1
        assert "still run" in told.stdout
        assert "`mizzen up -d` adopts them, `mizzen down` ends them" in told.stdout
        assert mizzen.status()["podsLeft"] is True
        assert mizzen("down") == "stopped\n"
        assert mizzen.status()["podsLeft"] is False
        assert "start one with" in mizzen.run("status").stdout


def foreground(mizzen: Mizzen) -> subprocess.Popen[str]:
    process = mizzen.start("up", *ANY_PORTS)
    until(lambda: mizzen.status().get("ready"), mizzen.status)
    return process


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_and_a_closed_terminal_end_everything(tmp_path, signum):
    train(tmp_path)
    with new_home() as mizzen:
        process = foreground(mizzen)
        mizzen.apply(iris_manifest(tmp_path))
        mizzen.wait_ready("iris")
        process.send_signal(signum)
        output, _ = process.communicate(timeout=30)
        assert process.returncode == 0
        assert "\nCtrl-C ends it\n" in output
        assert "ready in" in output
        assert "stopped" in output
        assert mizzen.processes() == {}


def test_a_real_terminal_that_closes(tmp_path):
    """The terminal hangs up on its whole foreground group, and writing to it fails from then on."""
    with new_home() as mizzen:
        terminal, end = os.openpty()
        process = subprocess.Popen(
            [*mizzen.command, "up", *ANY_PORTS],
            env=mizzen.environment,
            stdin=end,
            stdout=end,
            stderr=end,
            start_new_session=True,
            preexec_fn=take_terminal,  # noqa: PLW1509 - the test has one thread
        )
        os.close(end)
        until(lambda: mizzen.status().get("ready"))
        os.close(terminal)
        process.wait(timeout=30)
        until(lambda: mizzen.processes() == {}, mizzen.processes)


def take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_in_the_background_a_hangup_is_nothing():
    with installation() as mizzen:
        pid = mizzen.status()["pid"]
        os.kill(pid, signal.SIGHUP)
        time.sleep(0.3)
        assert mizzen.status()["ready"] is True
        assert mizzen.status()["pid"] == pid


def test_a_home_that_cannot_be_made():
    with new_home() as mizzen:
        mizzen.home.parent.joinpath("file").write_text("")
        mizzen.environment["MIZZEN_HOME"] = str(mizzen.home.parent / "file" / "home")
        refused = mizzen.run("up", "-d", *ANY_PORTS)
        assert refused.returncode == 1
        assert "cannot be made" in refused.stderr
        assert "MIZZEN_HOME" in refused.stderr


def test_a_home_whose_path_is_too_long_and_one_that_is_just_not():
    with new_home() as mizzen:
        short = mizzen.home.parent
        for length, fits in ((94, False), (93, True)):
            mizzen.home = short / ("h" * (length - len(str(short)) - 1))
            mizzen.environment["MIZZEN_HOME"] = str(mizzen.home)
            done = mizzen.run("up", "-d", *ANY_PORTS)
            assert (done.returncode == 0) == fits, done.stderr
            if not fits:
                assert "is 94 bytes long, and at most 93 are possible" in done.stderr
                assert "MIZZEN_HOME" in done.stderr
                assert "AF_UNIX" not in done.stderr
                assert not mizzen.home.exists()
        mizzen("down")


def test_a_store_that_is_none():
    with new_home() as mizzen:
        (mizzen.home / "store").mkdir(parents=True)
        (mizzen.home / "store/store.db").write_bytes(b"this is no database at all" * 200)
        refused = mizzen.run("up", "-d", *ANY_PORTS)
        assert refused.returncode == 1
        assert "store.db" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert mizzen.processes() == {}


def test_commands_on_objects_say_that_nothing_runs():
    with new_home() as mizzen:
        for arguments in (("get", "pods"), ("apply", "-f", "x.yaml"), ("env",), ("predict", "iris", "-d", "[]")):
            refused = mizzen.run(*arguments)
            assert refused.returncode == 1
        assert "mizzen up -d" in mizzen.run("get", "pods").stderr
