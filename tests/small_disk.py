"""A disk of a few megabytes, for tests of what happens when it is full."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

_MOUNT = 'mount -t tmpfs -o size="$1"m tmpfs "$2" && shift 2 && exec "$@"'


def run_on_small_disk(script: str, *, megabytes: int, seconds: float = 120) -> str:
    """Run a Python script in a mount namespace of its own; returns what it prints.

    Its first argument is a directory on a fresh file system of ``megabytes``. Modules of the tests can be imported.
    Skips the test where such namespaces are not permitted.
    """
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-Urm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("user and mount namespaces are not permitted on this machine")
    with tempfile.TemporaryDirectory() as directory:
        path = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        command = [unshare, "-Urm", "sh", "-ec", _MOUNT, "sh", str(megabytes), directory]
        done = subprocess.run(
            [*command, sys.executable, "-c", path + script, directory],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    if "mount" in done.stderr and "permi" in done.stderr.lower():
        pytest.skip("user and mount namespaces are not permitted on this machine")
    assert done.returncode == 0, done.stderr
    return done.stdout
