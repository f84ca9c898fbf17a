"""The pages on models of one's own, followed from top to end with servers on any ports."""

from __future__ import annotations

import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import doc_pages
from doc_pages import Block, Reader, Step, blocks, steps


class Follower(Reader):
    """Follows blocks marked ``servers``, too: a command that ends with ``&`` stays, on a port of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, None)
        self._staying: list[subprocess.Popen[str]] = []

    def write(self, block: Block) -> None:
        file = self._folder / block.file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self._here(block.text))

    def take_servers(self, block: Block) -> None:
        for step in steps(block):
            if step.command.endswith("&"):
                self._stay(step)
            else:
                self.take(step)

    def _stay(self, step: Step) -> None:
        (port,) = re.findall(r"--(?:http_)?port (\d+)", step.command)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._real[f"127.0.0.1:{port}"] = f"127.0.0.1:{free.getsockname()[1]}"
            real = str(free.getsockname()[1])
        command = self._here(re.sub(rf"(--(?:http_)?port) {port}", rf"\1 {real}", step.command.rstrip("& ")))
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"], cwd=self._folder, env=self._environment, text=True
        )
        self._staying.append(process)
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", int(real)), 1).close()
                return
            except OSError:
                assert process.poll() is None, f"{step.where}: it has ended"
                assert time.monotonic() < deadline, f"{step.where}: it does not listen"
                time.sleep(0.05)

    def end(self) -> None:
        self._end_server()
        for process in self._staying:
            process.terminate()
        for process in self._staying:
            process.wait(60)


@pytest.fixture
def follower() -> Iterator[Follower]:
    with tempfile.TemporaryDirectory(prefix="mz-") as folder:
        someone = Follower(Path(folder))
        try:
            yield someone
        finally:
            someone.end()


@pytest.mark.parametrize("name", ["custom-models.md", "transformers.md"])
def test_a_page_prints_what_comes_out(name: str, follower: Follower) -> None:
    ran = 0
    for block in blocks(doc_pages.DOCS / name):
        if block.file:
            follower.write(block)
        elif "servers" in block.words:
            follower.take_servers(block)
            ran += 1
        elif block.runs:
            for step in steps(block):
                follower.take(step)
            ran += 1
    assert ran > 2
