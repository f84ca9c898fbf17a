"""An installation in a temporary home, driven by the command as users drive it, and gone with all its processes after.

Nothing but the standard library is imported here: what the measuring process maps, it shares with what it measures.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import processes

PATIENCE = 90.0
# They would make clients of the installation trust somebody else's authority instead of its own.
_FOREIGN = ("KUBECONFIG", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE")


class Home:
    """One home; nothing runs in it until :meth:`up`."""

    def __init__(self, root: Path) -> None:
        self.root = root / "home"
        self.models = root / "models"
        self.environment = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
        self.environment["MIZZEN_HOME"] = str(self.root)

    def mizzen(self, *arguments: str) -> str:
        """Run the command, and return what it prints.

        Raises:
            RuntimeError: it failed; the message is its own.
        """
        done = subprocess.run(
            [sys.executable, "-m", "mizzen.cli", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"mizzen {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def up(self) -> float:
        """Start it in the background; seconds until the command said that it is ready."""
        begun = time.perf_counter()
        self.mizzen("up", "-d", "--api-port", "0", "--gateway-port", "0")
        return time.perf_counter() - begun

    def down(self) -> None:
        self.mizzen("down")

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def state(self) -> dict[str, Any]:
        """What the supervisor says of itself."""
        found: dict[str, Any] = json.loads((self.root / "run/state.json").read_text())
        return found

    @property
    def gateway(self) -> tuple[str, int]:
        host, _, port = self.state["gateway_url"].removeprefix("http://").partition(":")
        return host, int(port)

    def zygotes(self) -> list[Path]:
        """The sockets of the pod parents that have frameworks imported, or are about to."""
        return [path for path in (self.root / "run/parents").glob("*.sock") if path.stem != "launcher"]

    def processes(self) -> dict[int, str]:
        """Every process of the installation, and its role: a role's name, a pod parent's, or ``pods``."""
        state = self.state
        supervisor = state["supervisor"]["pid"]
        roles = {supervisor: "supervisor"} | {role["pid"]: name for name, role in state["roles"].items()}
        for word in (self.root / "run/parents").glob("*/parent.json"):
            kind = "launcher" if word.parent.name == "launcher" else f"zygote {word.parent.name.rpartition('-')[0]}"
            roles[json.loads(word.read_text())["pid"]] = kind
        return {pid: roles.get(pid, "pods") for pid in processes.descendants(supervisor)}

    def end(self) -> None:
        """Leave nothing running, in whatever condition it is."""
        with suppress(RuntimeError, subprocess.TimeoutExpired):
            self.down()
        for pid in self._left():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _left(self) -> Iterator[int]:
        """Processes that name this home, which nobody else knows of, in their environment or command line."""
        marks = f"MIZZEN_HOME={self.root}".encode(), str(self.root).encode()
        for folder in processes.PROC.glob("[0-9]*"):
            with suppress(OSError):
                if int(folder.name) != os.getpid() and (
                    marks[0] in (folder / "environ").read_bytes().split(b"\0")
                    or marks[1] in (folder / "cmdline").read_bytes()
                ):
                    yield int(folder.name)


@contextmanager
def new_home() -> Iterator[Home]:
    """A home that was never used. Its path is short, because those of Unix sockets have to be."""
    root = Path(tempfile.mkdtemp(prefix="mzb-"))
    home = Home(root)
    try:
        yield home
    finally:
        home.end()
        shutil.rmtree(root, ignore_errors=True)
