"""What happens between the fork and the container's own first instruction.

The parent's memory is this process's too, so every step here undoes something of the parent's: its descriptors,
signals, environment, random state, thread counts. A step that fails is reported through a pipe, in words; the end of
the pipe without any means that the container runs.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import math
import os
import random
import signal
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import msgspec

from mizzen.cluster.node.runtime import namespaces, syscalls
from mizzen.cluster.node.runtime.errors import MountFailed, StartFailed
from mizzen.cluster.node.runtime.spec import THREAD_VARIABLES, ProcessSpec

# Sets how many threads the loaded numeric libraries use.
Threads = Callable[[int], None]

_MOST_WARNINGS = 20
# Two that nobody can handle, and two that every Python program ignores, as an entry expects; see :func:`execute`.
_LEFT_ALONE = {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGXFSZ}
# Below this nice value a pod would starve on a busy laptop, whatever small share it asked for.
_NICEST = 5


class Report(msgspec.Struct, omit_defaults=True):
    """What a child says before it is the container: warnings, or why it will not become one."""

    warnings: list[str] = []
    error: str = ""
    exit_code: int = 0


def become(
    spec: ProcessSpec, *, stdout: int, stderr: int, report: int, parent: int, threads: Threads | None = None
) -> NoReturn:
    """Turn the calling process, forked a moment ago by ``parent`` with its signals blocked, into the container."""
    code = 128
    try:
        _detach(stdout, stderr, [report])
        try:
            warnings = _prepare(spec, parent)
            if warnings:
                _say(report, Report(warnings=warnings[:_MOST_WARNINGS]))
            if not spec.entry:
                execute(spec.argv, spec.env | thread_environment(spec))
            function = _resolve(spec, threads)
        except StartFailed as failure:
            code = failure.exit_code
            _say(report, Report(error=str(failure), exit_code=code))
        else:
            os.close(report)
            code = _run(function, spec.argv)
    except BaseException:
        traceback.print_exc()
    finally:
        _leave(code)


def become_command(argv: Sequence[str], env: dict[str, str], cwd: str, output: int, door: namespaces.Door) -> NoReturn:
    """Turn the calling, just forked process into a command inside a container's namespaces."""
    code = 126
    try:
        _detach(output, output, door.fds)
        door.enter()
        os.chdir(cwd)
        execute(argv, env)
    except StartFailed as failure:
        code = failure.exit_code
        print(failure, file=sys.stderr)
    except OSError as error:
        print(f"cannot run {argv[0]!r} inside the container: {error}", file=sys.stderr)
    finally:
        _leave(code)


def _detach(stdout: int, stderr: int, keep: Sequence[int]) -> None:
    """Begin a session of one's own, with nothing of the parent's open but what ``keep`` names.

    The parent has 0 to 2 open itself, so none of the descriptors given here is one of these.
    """
    signal.set_wakeup_fd(-1)
    for signum in signal.valid_signals() - _LEFT_ALONE:
        # Also what was ignored before this program began, as a shell does to what it puts into the background.
        signal.signal(signum, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setsid()
    os.umask(0o022)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 (names, not paths)
        if int(name) > 2 and int(name) not in keep:
            # One of them is the directory just read.
            with suppress(OSError):
                os.close(int(name))
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _prepare(spec: ProcessSpec, parent: int) -> list[str]:
    warnings: list[str] = []
    if spec.cpu_weight is not None:
        os.nice(niceness(spec.cpu_weight))
    if spec.has_own_view:
        try:
            warnings = namespaces.enter(spec)
        except MountFailed as error:
            raise StartFailed(str(error)) from error
    # After the namespaces: a change of credentials clears the death signal.
    if spec.pdeathsig:
        syscalls.set_parent_death_signal(signal.SIGKILL)
        if os.getppid() != parent:
            raise StartFailed("the pod parent ended while the container started")
    try:
        os.chdir(spec.cwd)
    except OSError as error:
        raise StartFailed(f"cannot start in the working directory {spec.cwd!r}: {error.strerror}", 126) from error
    return warnings


def niceness(cpu_weight: float) -> int:
    """The nice value whose share of a busy machine is nearest to ``cpu_weight`` cores, an ordinary process's being one.

    A step of nice is a factor of 1.25. Only down: an ordinary user cannot ask for more than the ordinary share.
    """
    if cpu_weight >= 1:
        return 0
    return min(_NICEST, round(-math.log(max(cpu_weight, 0.001), 1.25)))


def thread_count(cpu: float) -> int:
    """How many threads numeric libraries get for so many cores; never more than there are."""
    return max(1, min(math.ceil(cpu), len(os.sched_getaffinity(0))))


def thread_environment(spec: ProcessSpec) -> dict[str, str]:
    """What tells a container how many cores are its own. Its own settings win."""
    if spec.cpu is None:
        return {}
    count = str(thread_count(spec.cpu))
    wanted = dict.fromkeys(THREAD_VARIABLES, count) | {"MIZZEN_CPU": f"{spec.cpu:g}"}
    return {name: value for name, value in wanted.items() if name not in spec.env}


def execute(argv: Sequence[str], env: dict[str, str]) -> NoReturn:
    """Replace this process by a command.

    Raises:
        StartFailed: why that is not possible.
    """
    if not argv or not argv[0]:
        raise StartFailed("there is no command to execute", 127)
    # Python ignores these two, and what is executed would inherit it.
    for signum in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
        signal.signal(signum, signal.SIG_DFL)
    name = argv[0]
    try:
        os.execvpe(name, list(argv), env)
    except FileNotFoundError as error:
        if "/" not in name:
            raise StartFailed(f"{name!r} was not found in PATH ({env.get('PATH', os.defpath)})", 127) from error
        if Path(name).exists():
            raise StartFailed(f"{name!r} cannot be executed: the interpreter it names does not exist", 127) from error
        raise StartFailed(f"there is no file {name!r} to execute", 127) from error
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else str(error)
        raise StartFailed(f"{name!r} cannot be executed: {words}", 126) from error


def _resolve(spec: ProcessSpec, threads: Threads | None) -> Callable[[list[str]], object]:
    """Make this process a Python program of its own, and find the function that is to run."""
    module_name, _, function_name = spec.entry.partition(":")
    if not module_name or not function_name:
        raise StartFailed(f"an entry is written 'package.module:function', not {spec.entry!r}", 127)
    os.environ.clear()
    os.environ.update(spec.env | thread_environment(spec))
    time.tzset()
    syscalls.set_name(spec.title or function_name)
    sys.argv = [spec.entry, *spec.argv]
    for stream in (sys.stdout, sys.stderr):
        # The parent's go to a file in large blocks; a container's log is read as it is written.
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    _own_exit()
    gc.enable()
    reseed()
    if threads is not None and spec.cpu is not None and thread_count(spec.cpu) > 1:
        threads(thread_count(spec.cpu))
    try:
        found: object = importlib.import_module(module_name)
        for part in function_name.split("."):
            found = getattr(found, part)
    except ModuleNotFoundError as error:
        raise StartFailed(f"the entry {spec.entry!r} cannot be imported: {error}", 127) from error
    except AttributeError as error:
        raise StartFailed(f"the entry {spec.entry!r} does not exist: {error}", 127) from error
    except Exception as error:
        traceback.print_exc()
        raise StartFailed(f"the entry {spec.entry!r} cannot be imported: {error!r}", 126) from error
    if not callable(found):
        raise StartFailed(f"the entry {spec.entry!r} is no function but a {type(found).__name__}", 126)
    return found


def _own_exit() -> None:
    """Leave what the parent's modules registered for their exit to the parent, and make room for what is our own."""
    atexit._clear()
    # Three that serve what is made from now on, and register themselves only once in a process's life.
    weakref.finalize._registry.clear()  # type: ignore[attr-defined]
    weakref.finalize._registered_with_atexit = False  # type: ignore[attr-defined]
    for module, name in (("logging", "shutdown"), ("multiprocessing.util", "_exit_function")):
        if module in sys.modules:
            atexit.register(getattr(sys.modules[module], name))


def reseed() -> None:
    """Give this process random numbers of its own; forked siblings would all draw the same."""
    random.seed()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed(int.from_bytes(os.urandom(4), "little"))


def _run(function: Callable[[list[str]], object], arguments: list[str]) -> int:
    """Call the entry; its exit code, by the rules of the interpreter."""
    try:
        code = _exit_code(function(list(arguments)))
    except SystemExit as ending:
        code = _exit_code(ending.code)
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except BaseException:
        traceback.print_exc()
        code = 1
    try:
        # What the interpreter does at its end, save tearing down the parent's modules.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    except BaseException:
        traceback.print_exc()
    return code


def _exit_code(value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, int):
        return value & 0xFF
    print(value, file=sys.stderr)
    return 1


def _say(report: int, words: Report) -> None:
    os.write(report, msgspec.json.encode(words) + b"\n")


def _leave(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        # Nobody may be listening any more.
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
