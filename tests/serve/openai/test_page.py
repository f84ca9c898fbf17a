"""The page on OpenAI's protocol, followed from top to end: its program is started, and what it prints comes out."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import doc_pages
from doc_pages import agrees, blocks, steps

PAGE = doc_pages.DOCS / "openai.md"
PATIENCE = 20.0

# What differs from one answer to the next.
_MADE = re.compile(r'"created":\d+')


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The page's own program, at an address."""
    files = {block.file: block.text for block in blocks(PAGE) if block.file}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    [serve] = [step for block in blocks(PAGE) if "serve" in block.words for step in steps(block)]
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    words = [sys.executable, *serve.command.split()[1:], "--http_port", str(port), "--enable_grpc", "false"]
    process = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        asyncio.run(_listens(port, process))
        yield f"127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
        assert process.stderr is not None
        process.stderr.close()


async def _listens(port: int, process: subprocess.Popen[str]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            assert process.poll() is None, process.stderr and process.stderr.read()
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_the_page_prints_what_comes_out(server: str) -> None:
    followed = [step for block in blocks(PAGE) if "follow" in block.words for step in steps(block)]
    assert len(followed) >= 4
    for step in followed:
        command = step.command.replace("127.0.0.1:8080", server)
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
        printed, came_out = (_MADE.sub('"created":0', text) for text in (step.printed, done.stdout))
        assert agrees(printed, came_out), f"{step.where}: {step.command}\nit came out:\n{done.stdout}{done.stderr}"


def test_every_parameter_is_on_the_page() -> None:
    from mizzen.serve.protocols.openai.parameters import ChatFields, CompletionFields
    from mizzen.serve.runtimes import upstream

    text = PAGE.read_text()
    names = {*CompletionFields.__struct_fields__, *ChatFields.__struct_fields__} - {"model"}
    names |= set(upstream.Settings.__struct_fields__)
    assert {name for name in names if f"`{name}" not in text} == set()
