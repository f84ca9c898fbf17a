"""A model server as a process of its own: started by a test, read, asked, and ended."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import threading
from collections.abc import Callable
from typing import Any, TextIO

from mizzen.http.client import Client


class Process:
    """A server in a process of its own."""

    def __init__(self, command: list[str], environ: dict[str, str], stdin: TextIO | None = None) -> None:
        base = {name: value for name, value in os.environ.items() if not name.startswith(("MIZZEN_", "KSERVE_"))}
        self.popen = subprocess.Popen(
            command,
            env=base | {"OMP_NUM_THREADS": "1"} | environ,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self.told: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=(self.popen.stderr, self.lines), daemon=True),
            threading.Thread(target=self._read, args=(self.popen.stdout, self.told), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream: Any, lines: list[str]) -> None:
        for line in stream:
            lines.append(line.rstrip("\n"))

    async def url(self) -> str:
        """Where it listens, once it does."""
        async with asyncio.timeout(60):
            while True:
                for line in self.lines:
                    if found := re.search(r"(?:is|are) served(?: by \d+ processes)? at (\S+) \(\d+ ms\)$", line):
                        return found.group(1)
                assert self.popen.poll() is None, self.lines
                await asyncio.sleep(0.01)

    async def ended(self) -> int:
        """Its exit code."""
        async with asyncio.timeout(60):
            while self.popen.poll() is None:
                await asyncio.sleep(0.01)
        for reader in self._readers:
            reader.join(10)
        assert self.popen.returncode is not None
        return self.popen.returncode


Start = Callable[..., Process]


async def ask(client: Client, url: str, body: Any = None) -> tuple[int, Any]:
    method = "GET" if body is None else "POST"
    async with asyncio.timeout(30):
        async with await client.request(
            method, url, body=None if body is None else json.dumps(body).encode()
        ) as answer:
            return answer.status, json.loads(await answer.read())
