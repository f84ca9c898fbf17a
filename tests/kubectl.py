"""kubectl in its versions, where they are installed: beside ``kubectl`` lie ``kubectl.1.28`` and its successors."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from apiserver_fixture import Server

VERSIONS = ("1.28", "1.29", "1.30", "1.31", "1.32", "1.33")


class Kubectl:
    """One version of kubectl, pointed at one server, with caches of its own."""

    def __init__(self, version: str, server: Server) -> None:
        self.version = version
        self._server = server
        self._binary = _binary(version)

    def start(self, *arguments: str, stdin: int | None = subprocess.DEVNULL) -> subprocess.Popen[str]:
        cache = str(self._server.home / f"kube-cache-{self.version}")
        return subprocess.Popen(
            [str(self._binary), f"--cache-dir={cache}", *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._server.environment | {"HOME": str(self._server.home)},
        )

    def result(self, *arguments: str, input: str | None = None) -> tuple[int, str]:
        """The exit code, and everything it says."""
        child = self.start(*arguments, stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL)
        out, err = child.communicate(input, timeout=60)
        return child.returncode, out + err

    def __call__(self, *arguments: str, input: str | None = None) -> str:
        """What it says; fails if it does."""
        code, said = self.result(*arguments, input=input)
        assert code == 0, f"kubectl {self.version} {' '.join(arguments)}: {code}\n{said}"
        return said


def _binary(version: str) -> Path:
    found = shutil.which("kubectl")
    if found is not None:
        beside = Path(os.path.realpath(found)).with_name(f"kubectl.{version}")
        if beside.exists():
            return beside
    pytest.skip(f"there is no kubectl.{version} on this machine: no kubectl to drive")
