"""The pages of ``docs/`` as something to run, so that what they print is what comes out.

Three marks after a fence's language say what a block is:

``yaml file=iris.yaml``
    the block is the content of a file; it is written when the page's turn comes to it.
``console run``
    lines that begin with ``$`` are typed in, in their order, and what stands below each must come out.
``console run kubectl``
    the same, left out on a machine without kubectl.

Everything else is text to read. What differs from run to run (times, addresses, hashes) is masked on both sides, a line
``...`` stands for any lines, and a command that looks at what is still on its way is asked again for a while.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

DOCS = Path(__file__).parent.parent / "docs"
# Where the pages' reader is at home.
HOME = "/home/user"
PATIENCE = 20.0

_IMPORT = re.compile(r"^\s*(?:from|import) (\w+)", re.MULTILINE)
_FENCE = re.compile(r"^```(\S*)[ ]?(.*)$")
_LOOKS = re.compile(
    r"(mizzen (get|describe|logs|predict|(acm )?status|acm participants)|"
    r"kubectl (get|describe|logs|rollout)|curl|tail|grep)\b"
)
_UP = re.compile(r"^mizzen (acm )?up\b|(?<=&& )mizzen (acm )?up\b")
_STAYS = re.compile(r"(export|unset|eval)\b")
_MASKS = (
    # What one sees on the way depends on when one looks.
    (re.compile(r"^ +\d+\.\d+ s  \S+  \w+ING\b.*\n", re.MULTILINE), ""),
    (re.compile(r"\b\d+ (s|min|h) ago\b"), "<age> ago"),
    (re.compile(r"(Kafka +)127\.0\.0\.1:\d+"), r"\1<address>"),
    (re.compile(r"((?:acm prime|acm deploy) )[0-9a-f]{8}\b"), r"\1<id>"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d([.,]\d+)?Z?( \d+ mizzen)?"), "<time>"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "<uuid>"),
    (re.compile(r"\b127\.\d+\.\d+\.\d+(?<!127\.0\.0\.1)"), "<address>"),
    (re.compile(r"(?<=-)[bcdfghjklmnpqrstvwxz2456789]{8,10}(-[bcdfghjklmnpqrstvwxz2456789]{5})?\b"), "<id>"),
    (re.compile(r"\b\d+(\.\d+)? (ms|s|MiB/s|KiB/s|GiB/s)\b"), "<amount>"),
    (re.compile(r"(?<![\w.])(\d+[dhms]){1,2}( \(x\d+\))?(?!\w)"), "<age>"),
    (re.compile(r"\(pid \d+"), "(pid <pid>"),
    (re.compile(r"\bprocess \d+"), "process <pid>"),
    (re.compile(r"(?<=uid: )\S+"), "<uuid>"),
    (re.compile(r'(?<="created":)\d+'), "<time>"),
    (re.compile(r'(?<="id":")(chat)?cmpl-[0-9a-f-]+'), "<id>"),
)


class Block(msgspec.Struct, frozen=True):
    """One fenced block: the page and line it begins at, its language, the words after that, and its text."""

    page: str
    line: int
    language: str
    words: tuple[str, ...]
    text: str

    @property
    def file(self) -> str:
        """The file whose content it is, or empty."""
        return next((word.removeprefix("file=") for word in self.words if word.startswith("file=")), "")

    @property
    def runs(self) -> bool:
        return "run" in self.words

    @property
    def needs_kubectl(self) -> bool:
        return "kubectl" in self.words


class Step(msgspec.Struct, frozen=True):
    """One command of a block, and what the page says comes out."""

    where: str
    command: str
    printed: str


def pages() -> list[Path]:
    return sorted(DOCS.glob("**/*.md"))


def modules(page: Path) -> set[str]:
    """The modules that the programs of a page import."""
    programs = [block.text for block in blocks(page) if block.file.endswith(".py")]
    return {name for text in programs for name in _IMPORT.findall(text)}


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in their order."""
    opened: tuple[int, str, str] | None = None
    text: list[str] = []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is None and fence:
            opened, text = (number, fence[1], fence[2]), []
        elif opened is not None and line == "```":
            yield Block(page.name, opened[0], opened[1], tuple(opened[2].split()), "".join(f"{one}\n" for one in text))
            opened = None
        elif opened is not None:
            text.append(line)
    assert opened is None, f"{page.name}:{opened[0] if opened else 0}: the block is not closed"


def steps(block: Block) -> list[Step]:
    """The commands of a block. A command that ends with a backslash goes on in the next line."""
    found: list[tuple[int, list[str], list[str]]] = []
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if line.startswith("$ "):
            found.append((number, [line[2:]], []))
        elif found and found[-1][1][-1].endswith("\\") and not found[-1][2]:
            found[-1][1].append(line)
        else:
            assert found, f"{block.page}:{number}: the block begins with an answer"
            found[-1][2].append(line)
    return [Step(f"{block.page}:{number}", "\n".join(command), "\n".join(out)) for number, command, out in found]


# A page does not know what else runs on this machine.
_ELSEWHERE = re.compile(r"port \d+ on [\d.]+ is taken by another process; .* gRPC is spoken on port \d+\n")


def masked(text: str) -> list[str]:
    """The lines of an output without what differs from run to run, and without the width of columns."""
    text = _ELSEWHERE.sub("", text)
    for pattern, word in _MASKS:
        text = pattern.sub(word, text)
    return [line for line in (" ".join(line.split()) for line in text.splitlines()) if line]


def agrees(printed: str, came_out: str) -> bool:
    """Whether an output is what a page prints; a line ``...`` stands for any number of lines."""
    pattern = "".join("(.*\n)*" if line == "..." else re.escape(line) + "\n" for line in masked(printed))
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in masked(came_out))) is not None


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Programs on the pages listen on the ports that they are told to, so two pages cannot be followed at once."""
    file = os.open(Path(tempfile.gettempdir()) / f"mizzen-pages-{os.getuid()}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _on_any_port(start: re.Match[str]) -> str:
    ports = "--rest-port 0" if start[0].endswith("acm up") else "--api-port 0 --gateway-port 0"
    return f"{start[0]} {ports}"


class Reader:
    """Somebody who follows pages, in a home of their own.

    Args:
        folder: stands for the home that the pages speak of; short, because sockets are made below it.
        kubectl: the binary to be found as ``kubectl``, if there is one.
    """

    def __init__(self, folder: Path, kubectl: Path | None) -> None:
        self._folder = folder
        self._has_kubectl = kubectl is not None
        self._server: subprocess.Popen[bytes] | None = None
        self._real = {HOME: str(folder)}
        commands = folder / ".commands"
        commands.mkdir()
        for name, words in (("mizzen", f"{sys.executable} -m mizzen.cli"), ("python", sys.executable)):
            (commands / name).write_text(f'#!/bin/sh\nexec {words} "$@"\n')
            (commands / name).chmod(0o755)
        if kubectl is not None:
            (commands / "kubectl").symlink_to(kubectl)
        hidden = re.compile(r"KUBECONFIG|MIZZEN_\w+|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|SSL_CERT_\w+|\w+_proxy", re.I)
        self._environment = {name: value for name, value in os.environ.items() if not hidden.fullmatch(name)}
        self._environment |= {"HOME": str(folder), "PATH": f"{commands}:{os.environ['PATH']}", "COLUMNS": "120"}
        self._first_environment = dict(self._environment)

    def follow(self, page: Path) -> None:
        """Do what a page says from its top to its end; stops at the first thing that is not as printed."""
        self._environment = dict(self._first_environment)
        with one_at_a_time():
            self._follow(page)

    def _follow(self, page: Path) -> None:
        for block in blocks(page):
            if block.file:
                file = self._folder / block.file
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(self._here(block.text))
            elif block.runs and (self._has_kubectl or not block.needs_kubectl):
                for step in steps(block):
                    self.take(step)

    def take(self, step: Step) -> None:
        """Type a command in, and compare what comes out."""
        if _STAYS.match(step.command):
            self._environment = self._changed_environment(self._here(step.command))
            return
        if step.command.startswith("mizzen serve"):
            came_out = self._serve(step.command)
        else:
            came_out = self.output(step.command)
        deadline = time.monotonic() + (PATIENCE if _LOOKS.match(step.command) else 0.0)
        while not agrees(step.printed, came_out) and time.monotonic() < deadline:
            time.sleep(0.2)
            came_out = self.output(step.command)
        assert agrees(step.printed, came_out), (
            f"{step.where}: $ {step.command}\nthe page says:\n{step.printed}\nit came out:\n{came_out}"
        )

    def output(self, command: str) -> str:
        """What a command prints on both streams, as it would read in the home that the pages speak of."""
        printed = self._printed(_UP.sub(_on_any_port, command))
        if _UP.search(command):
            self._learn_addresses()
        return self._there(printed)

    def _printed(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", self._here(command)],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout

    def ensure_up(self) -> None:
        if '"ready": true' not in self.output("mizzen status -o json"):
            self.output("mizzen up -d")

    def end(self) -> None:
        self._end_server()
        self.output("mizzen acm down")
        self.output("mizzen down")

    def _changed_environment(self, command: str) -> dict[str, str]:
        """The shell's variables after a command that changes them."""
        done = subprocess.run(
            ["bash", "-c", f"{command}\nenv -0"], env=self._environment, stdout=subprocess.PIPE, text=True, check=True
        )
        return dict(pair.split("=", 1) for pair in done.stdout.split("\0") if pair)

    def _learn_addresses(self) -> None:
        status = json.loads(self._printed("mizzen status -o json"))
        if status["ready"]:
            self._real["127.0.0.1:7443"] = status["api"]["url"].removeprefix("https://")
            self._real["127.0.0.1:7080"] = status["gateway"]["url"].removeprefix("http://")
        runtime = re.match(r"runtime http://(\S+)", self._printed("mizzen acm status"))
        if runtime:
            self._real["127.0.0.1:6969"] = runtime[1]

    def _serve(self, command: str) -> str:
        """A server in the background, on any port; what it prints before it is silent."""
        self._end_server()
        words = [sys.executable, "-m", "mizzen.cli", *shlex.split(command)[1:], "--port", "0"]
        self._server = subprocess.Popen(
            words,
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._server.stdout is not None
        output = self._server.stdout.fileno()
        told = b""
        # It says at once what it has to say.
        while select.select([output], [], [], 0.3 if told else 60.0)[0] and (piece := os.read(output, 1 << 16)):
            told += piece
        said = told.decode()
        found = re.search(r"127\.0\.0\.1:\d+", said)
        assert found, f"{command}: it says {said!r}"
        self._real["127.0.0.1:8080"] = found[0]
        return self._there(said)

    def _end_server(self) -> None:
        if self._server is not None:
            with suppress(ProcessLookupError):
                self._server.send_signal(signal.SIGINT)
            self._server.wait(timeout=PATIENCE)
            assert self._server.stdout is not None
            self._server.stdout.close()
            self._server = None

    def _here(self, text: str) -> str:
        for theirs, ours in self._real.items():
            text = text.replace(theirs, ours)
        return text

    def _there(self, text: str) -> str:
        for theirs, ours in self._real.items():
            text = text.replace(ours, theirs)
        return text.replace(f"{HOME}/.commands/", "").replace(shutil.which("bash") or "bash", "bash")
