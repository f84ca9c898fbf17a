"""The pod parent: ``python -m mizzen.cluster.node.runtime.parent --socket PATH --state DIR [--preload a,b]``.

One program with two uses. Without ``--preload`` it is the launcher; with it, a zygote. It is a session of its own that
ignores the terminal, outlives whoever started it, and keeps the containers' logs, exits and the address block's lock.
It has one thread and no event loop but its own small one, because it forks.
"""

from __future__ import annotations

import argparse
import gc
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from mizzen import __version__
from mizzen.cluster.node.runtime import namespaces, protocol, syscalls
from mizzen.cluster.node.runtime.cgroup import MemoryGroups
from mizzen.cluster.node.runtime.containers import Containers
from mizzen.cluster.node.runtime.errors import Refused, RuntimeFailure
from mizzen.cluster.node.runtime.identity import Identity
from mizzen.cluster.node.runtime.loop import Loop
from mizzen.cluster.node.runtime.parentlock import ParentLock
from mizzen.cluster.node.runtime.preload import preload, thread_setter
from mizzen.cluster.node.runtime.process import write_whole
from mizzen.cluster.node.runtime.processes import PARENT_MARK
from mizzen.cluster.node.runtime.protocol import StartWord
from mizzen.cluster.node.runtime.server import Server, listen
from mizzen.cluster.node.runtime.spec import PARENT_FILE, ParentInfo

ALREADY_RUNNING = 3
# Seconds that containers have to end when the parent is asked to by SIGTERM, as when the machine goes down.
GRACE_ON_SIGTERM = 10.0
MOST_DESCRIPTORS = 1 << 20


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    say = _say_to(options.ready_fd)
    try:
        lock = ParentLock(options.socket)
    except BlockingIOError:
        say(StartWord("another pod parent holds this socket", already_running=True))
        return ALREADY_RUNNING
    try:
        _run(options, lock, say)
    except RuntimeFailure as error:
        say(StartWord(str(error)))
        print(f"mizzen pod parent: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        say(StartWord(f"{type(error).__name__}: {error}"))
        raise
    finally:
        lock.release()
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mizzen pod parent", description=__doc__)
    parser.add_argument("--socket", type=Path, required=True, help="where to listen")
    parser.add_argument("--state", type=Path, required=True, help="folder for its own files")
    parser.add_argument("--preload", type=lambda text: [name for name in text.split(",") if name], default=[])
    parser.add_argument("--name", default="launcher", help="shown in the process list")
    parser.add_argument("--hold-fd", type=int, action="append", default=[], help="keep this descriptor open")
    parser.add_argument("--ready-fd", type=int, help="where to say that it listens, or why it does not")
    return parser.parse_args(arguments)


def _say_to(fd: int | None) -> Callable[[StartWord], None]:
    """A function that says one word, the first, to who waits at ``fd``."""
    open_fd = [] if fd is None else [fd]
    if fd is not None:
        os.set_inheritable(fd, False)

    def say(word: StartWord) -> None:
        if open_fd:
            # Whoever started us may be gone.
            with suppress(BrokenPipeError):
                os.write(open_fd[0], msgspec.json.encode(word))
            os.close(open_fd.pop())

    return say


def _run(options: argparse.Namespace, lock: ParentLock, say: Callable[[StartWord], None]) -> None:
    began = time.monotonic()
    socket = str(options.socket.absolute())
    _stand_alone(options.name, options.hold_fd)
    lock.sweep()
    lock.sign(os.environ.get(PARENT_MARK, ""))
    identity = Identity.of(os.getpid())
    options.state.mkdir(parents=True, exist_ok=True)
    write_whole(options.state / PARENT_FILE, identity)
    isolation = namespaces.probe()
    # Before the imports, which take seconds: who comes meanwhile waits here instead of starting another.
    listener = listen(options.socket)
    try:
        loaded = preload(options.preload) if options.preload else {}
        groups = MemoryGroups.here(identity)
        info = ParentInfo(
            name=options.name,
            identity=identity,
            protocol=protocol.VERSION,
            version=__version__,
            socket=socket,
            state_dir=str(options.state.absolute()),
            started_at=time.time(),
            preloaded=loaded,
            preload_seconds=time.monotonic() - began if options.preload else 0.0,
            isolation=isolation,
            cgroup=str(groups.where or ""),
            holds=options.hold_fd,
        )
        loop = Loop()
        containers = Containers(loop, socket, isolation, groups, thread_setter())
        server = Server(loop, listener, info, containers)
        loop.on_signal(signal.SIGCHLD, containers.reap)
        loop.on_signal(signal.SIGTERM, lambda: server.shut_down(GRACE_ON_SIGTERM, lambda _: None))
        gc.freeze()
        say(StartWord())
        loop.run()
        server.close()
    finally:
        options.socket.unlink(missing_ok=True)
        (options.state / PARENT_FILE).unlink(missing_ok=True)


def _stand_alone(name: str, hold: Sequence[int]) -> None:
    """Depend on nobody: not on the terminal, not on who started us, not on their descriptors."""
    # Refused to the leader of a process group, which somebody who starts this from a shell gets.
    with suppress(PermissionError):
        os.setsid()
    for signum in (signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    os.umask(0o022)
    for fd in hold:
        try:
            os.set_inheritable(fd, False)
        except OSError as error:
            raise Refused(f"descriptor {fd}, which is to be held, is not open") from error
    syscalls.become_subreaper()
    syscalls.set_name(f"mizzen-{name}")
    _raise_limit()


def _raise_limit() -> None:
    """Allow as many descriptors as container runtimes do: two pipes a container here, and servers with many clients."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    sys.exit(main())
