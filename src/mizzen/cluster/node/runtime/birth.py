"""Bringing a pod parent into the world, so that it depends on nothing of who does it."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from mizzen.cluster.node.runtime.errors import ParentUnreachable
from mizzen.cluster.node.runtime.processes import PARENT_MARK
from mizzen.cluster.node.runtime.protocol import StartWord

# The parents that this process started, to take note of their end; those it adopted are another's to reap.
_started: dict[int, subprocess.Popen[bytes]] = {}


def reap(pid: int) -> None:
    """Take note of the end of a parent that this process started, so that nothing is left of it."""
    child = _started.pop(pid, None)
    if child is not None:
        child.wait()


async def start_parent(
    socket: Path,
    state: Path,
    *,
    name: str,
    preload: Sequence[str],
    hold_fd: int | None,
    env: Mapping[str, str],
    python: str,
    timeout: float,
) -> StartWord:
    """Start a parent and wait for its first word. One that says nothing in time is killed, as it is on cancellation."""
    state.mkdir(parents=True, exist_ok=True)
    reader, writer = os.pipe()
    command = [python, "-P", "-m", "mizzen.cluster.node.runtime.parent"]
    command += ["--socket", str(socket.absolute()), "--state", str(state.absolute()), "--name", name]
    command += ["--ready-fd", str(writer)]
    if preload:
        command += ["--preload", ",".join(preload)]
    passed = [writer]
    if hold_fd is not None:
        command += ["--hold-fd", str(hold_fd)]
        passed.append(hold_fd)
    try:
        with (state / "parent.log").open("ab") as log:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=_environment(env) | {PARENT_MARK: f"{socket.absolute()}#{secrets.token_hex(8)}"},
                pass_fds=passed,
                start_new_session=True,
            )
    except OSError as error:
        os.close(reader)
        raise ParentUnreachable(f"the pod parent {name!r} cannot be started: {error}") from error
    finally:
        os.close(writer)
    try:
        async with asyncio.timeout(timeout):
            text = await _read_all(reader)
    except BaseException as error:
        child.kill()
        child.wait()
        if isinstance(error, TimeoutError):
            raise ParentUnreachable(f"the pod parent {name!r} was not ready after {timeout:.0f} s") from None
        raise
    finally:
        os.close(reader)
    if not text:
        code = child.wait()
        return StartWord(f"it ended with exit code {code} before it listened; {state / 'parent.log'} may say why")
    word = msgspec.json.decode(text, type=StartWord)
    if word.error:
        child.wait()
    else:
        _started[child.pid] = child
    return word


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    """The environment with its module path made absolute, because the parent works in another directory."""
    path = env.get("PYTHONPATH", "")
    if not path:
        return dict(env)
    return dict(env) | {"PYTHONPATH": os.pathsep.join(str(Path(part).absolute()) for part in path.split(os.pathsep))}


async def _read_all(fd: int) -> bytes:
    """What comes through a pipe until its end."""
    loop = asyncio.get_running_loop()
    os.set_blocking(fd, False)
    text = b""
    while True:
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_reader(fd, _settle, ready)
        try:
            await ready
        finally:
            loop.remove_reader(fd)
        data = os.read(fd, 4096)
        if not data:
            return text
        text += data


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
