from __future__ import annotations

import os
import signal
import subprocess
import sys

import msgspec
import pytest

from mizzen.cluster.node.runtime.identity import Identity, Process, boot_id, is_alive, kill, parse_stat


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("42 (sh) S 7 42 40 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 9911 1 2 3", Process(42, "S", 7, 40, 9911)),
        ("42 (a b) c) Z 7 42 40 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 9911 1", Process(42, "Z", 7, 40, 9911)),
        ("42 () R 0 R 4) S 7 42 40 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 9911 1", Process(42, "S", 7, 40, 9911)),
    ],
)
def test_a_process_name_may_hold_anything(text: str, expected: Process) -> None:
    assert parse_stat(text) == expected


def test_this_process_is_alive_and_only_as_itself() -> None:
    own = Identity.of(os.getpid())
    assert is_alive(own)
    assert not is_alive(msgspec.structs.replace(own, start_time=own.start_time + 1))
    assert not is_alive(msgspec.structs.replace(own, boot_id="of yesterday"))
    assert own.boot_id == boot_id() != ""


def test_a_process_that_ended_is_dead_before_it_is_reaped() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"], stdout=subprocess.PIPE)
    identity = Identity.of(child.pid)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(identity)
    assert not kill(identity, signal.SIGKILL)
    child.communicate()
    assert not is_alive(identity)
    with pytest.raises(ProcessLookupError):
        Identity.of(child.pid)


def test_a_signal_reaches_the_very_process_or_none() -> None:
    child = subprocess.Popen(["sleep", "1000"])
    identity = Identity.of(child.pid)
    # As if the pid had been given to another process since.
    assert not kill(msgspec.structs.replace(identity, start_time=identity.start_time - 1), signal.SIGKILL)
    assert child.poll() is None
    assert kill(identity, signal.SIGTERM)
    assert child.wait() == -signal.SIGTERM


def test_without_pidfd_the_identity_is_checked_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    child = subprocess.Popen(["sleep", "1000"])
    identity = Identity.of(child.pid)
    assert not kill(msgspec.structs.replace(identity, start_time=1), signal.SIGKILL)
    assert kill(identity, signal.SIGKILL)
    child.wait()
