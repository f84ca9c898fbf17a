from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mizzen.storage.staging import Staging

HOLD = """
import sys, time
from pathlib import Path
from mizzen.storage.staging import Staging
with Staging(Path(sys.argv[1])) as staging:
    (staging.path / "half").write_bytes(b"half a model")
    print("here", flush=True)
    time.sleep(60)
"""


def test_the_folder_goes_whatever_happens(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Staging(tmp_path / "new") as staging:
        assert staging.path.parent == tmp_path / "new"
        (staging.path / "half").touch()
        raise KeyboardInterrupt
    assert os.listdir(tmp_path / "new") == []


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_has_is_not(tmp_path: Path) -> None:
    holders = [
        subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        for holder in holders:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "here\n"
        assert len(os.listdir(tmp_path)) == 2
        holders[0].send_signal(signal.SIGKILL)
        holders[0].wait()
        assert len(os.listdir(tmp_path)) == 2
        with Staging(tmp_path):
            assert len(os.listdir(tmp_path)) == 2
        assert len(os.listdir(tmp_path)) == 1
    finally:
        for holder in holders:
            holder.kill()
            holder.communicate()
    with Staging(tmp_path):
        pass
    assert os.listdir(tmp_path) == []
