"""What tests of the pod runtime do over and over: parents in a folder of their own, and code in forked children."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import sys
import textwrap
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from mizzen.cluster.node.runtime import logs, namespaces, syscalls
from mizzen.cluster.node.runtime.client import PodParent
from mizzen.cluster.node.runtime.processes import CONTAINER_MARK, PARENT_MARK, environment, table
from mizzen.cluster.node.runtime.spec import Container, ProcessSpec

PR_SET_DUMPABLE = 4

ENTRIES = """
import os, random, signal, sys, threading, time

def idle(arguments):
    print("idle", flush=True)
    signal.pause()

def hello(arguments):
    print("hello", *arguments)
    print("to stderr", file=sys.stderr)

def code(arguments):
    return int(arguments[0])

def leave(arguments):
    sys.exit(arguments[0] if not arguments[0].isdigit() else int(arguments[0]))

def fail(arguments):
    raise ValueError("what went wrong")

def look(arguments):
    import json, atexit
    atexit.register(lambda: print("at exit"))
    threading.Thread(target=lambda: (time.sleep(0.2), print("thread done"))).start()
    numpy = sys.modules.get("numpy")
    print(json.dumps({
        "argv": sys.argv,
        "arguments": arguments,
        "env": dict(os.environ),
        "fds": sorted(int(name) for name in os.listdir("/proc/self/fd")),
        "stdin": os.readlink("/proc/self/fd/0"),
        "pgid": os.getpgid(0) - os.getpid(),
        "sid": os.getsid(0) - os.getpid(),
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "sigint": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        "sighup": signal.getsignal(signal.SIGHUP) == signal.SIG_DFL,
        "cwd": os.getcwd(),
        "name": open("/proc/self/comm").read().strip(),
        "random": random.random(),
        "numpy": float(numpy.random.random()) if numpy else None,
        "modules": sorted(name for name in sys.modules if name.partition(".")[0] in ("asyncio", "uvloop", "numpy")),
    }))

def eat(arguments):
    held = bytearray(int(arguments[0]) << 20)
    held[::4096] = b"x" * len(held[::4096])
    print("full", flush=True)
    signal.pause()

def daemon(arguments):
    # A grandchild that leaves its parent, its session, and its output.
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            with open(arguments[0], "w") as file:
                file.write(str(os.getpid()))
            os.execvp("sleep", ["sleep", "1000"])
        os._exit(0)
    while not (os.path.exists(arguments[0]) and open(arguments[0]).read()):
        time.sleep(0.01)
    if arguments[1:] == ["stay"]:
        signal.pause()

not_callable = 3
"""


class Bench:
    """A folder with sockets, states and logs, and what a test does with a parent over and over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "code").mkdir()
        (folder / "code" / "mizzen_entries.py").write_text(textwrap.dedent(ENTRIES))
        path = os.pathsep.join(filter(None, [str(folder / "code"), os.environ.get("PYTHONPATH", "")]))
        self.env = os.environ | {"PYTHONPATH": path}
        self._sockets: set[Path] = set()
        self._count = 0

    def socket(self, name: str) -> Path:
        socket = self.folder / f"{name}.sock"
        self._sockets.add(socket)
        return socket

    async def ensure(self, name: str = "launcher", **options: Any) -> PodParent:
        return await PodParent.ensure(
            self.socket(name), self.folder / name, name=name, env=self.env, timeout=60.0, **options
        )

    def spec(self, *argv: str, id: str = "", **fields: Any) -> ProcessSpec:
        self._count += 1
        id = id or f"pod/c{self._count}/0"
        fields.setdefault("env", {"PATH": os.environ["PATH"]})
        return ProcessSpec(
            id=id,
            argv=list(argv),
            state_dir=str(self.folder / "pods" / id),
            log_path=str(self.folder / "logs" / id / "0.log"),
            **fields,
        )

    async def finish(self, parent: PodParent, spec: ProcessSpec) -> tuple[Container, str]:
        """Run a container to its end; how it ended, and its log."""
        events = parent.events()
        await parent.start(spec)
        ended = await exit_of(events, spec.id)
        events.close()
        return ended, await self.log(spec)

    async def log(self, spec: ProcessSpec) -> str:
        return b"".join([chunk async for chunk in logs.read(Path(spec.log_path))]).decode()

    async def says(self, spec: ProcessSpec, text: str) -> None:
        """Wait until a container has logged something."""

        async def said() -> bool:
            return text in await self.log(spec)

        await until(said)

    def leftovers(self) -> list[tuple[int, bytes]]:
        """The processes that stem from any parent of this bench, with what they execute."""
        marks = tuple(
            f"{name}={socket}#".encode() for socket in self._sockets for name in (CONTAINER_MARK, PARENT_MARK)
        )
        return [
            (pid, Path(f"/proc/{pid}/cmdline").read_bytes())
            for pid in table()
            if any(value.startswith(marks) for value in environment(pid))
        ]

    async def close(self) -> None:
        for socket in self._sockets:
            await PodParent.end(socket, self.folder / socket.stem, grace=0.0)


async def exit_of(events: Any, id: str) -> Container:
    async with asyncio.timeout(60):
        async for event in events:
            container = getattr(event, "container", None)
            if container is not None and container.id == id and container.exit is not None:
                return container
    raise AssertionError(f"{id} never ended")


async def until(condition: Callable[[], Awaitable[bool]] | Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for something that happens elsewhere."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found if isinstance(found, bool) else await found:
            return
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.02)


def in_child(work: Callable[[], Any], uid: int | None = None) -> Any:
    """The JSON-able result of ``work``, done in a forked process of one thread, as another user if ``uid`` is given."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if uid is not None:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
                # Else /proc/self belongs to root still, as that of no process does which an ordinary user starts.
                syscalls._call("prctl", PR_SET_DUMPABLE, ctypes.c_ulong(1), 0, 0, 0)
            os.write(writer, json.dumps(work()).encode())
            code = 0
        except BaseException:
            os.write(writer, traceback.format_exc().encode())
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        text = file.read().decode()
    status = os.waitpid(pid, 0)[1]
    assert status == 0, text
    return json.loads(text)


def second_user() -> bool:
    """Whether another user can be taken on: as root, save in a user namespace that knows no other."""
    return os.geteuid() == 0 and Path("/proc/self/uid_map").read_text().split()[2] == "4294967295"


def users() -> list[int | None]:
    """Who can be tried here: this user, and as root an ordinary one too."""
    return [None, 65534] if second_user() else [None]


def can_mount(uid: int | None = None) -> bool:
    return in_child(lambda: namespaces.probe().mode, uid) != "none"
