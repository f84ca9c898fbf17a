"""What is asked of a pod parent, and what became of it: the values that cross its socket and lie in its folders.

A container here is one process (with what it starts), its logs and its exit. Pods, restarts and policies are the
agent's; an id such as ``<pod uid>/<container>/<restart>`` is opaque to the parent.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from mizzen.cluster.node.runtime.identity import Identity

T = TypeVar("T")

PID_FILE = "pid.json"
EXIT_FILE = "exit.json"
PARENT_FILE = "parent.json"
TERMINATION_FILE = "termination-log"
HOSTS_FILE = "hosts"

TERMINATION_MESSAGE_LIMIT = 4096

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)

_READ_AT_IMPORT = frozenset(
    (
        *THREAD_VARIABLES,
        "OMP_THREAD_LIMIT",
        "OMP_WAIT_POLICY",
        "KMP_AFFINITY",
        "GOMP_CPU_AFFINITY",
        "OPENBLAS_CORETYPE",
        "SKLEARN_SKIP_OPENMP_TEST",
        "SCIPY_ARRAY_API",
        "CUDA_VISIBLE_DEVICES",
        "MALLOC_ARENA_MAX",
    )
)
_READ_AT_IMPORT_PREFIXES = ("PYTHON", "LD_", "NPY_", "GLIBC_")
# These only say how the interpreter writes, which a forked child does as asked anyway.
_HARMLESS = frozenset(("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"))


class Mount(msgspec.Struct, frozen=True, omit_defaults=True):
    """``source``, an existing file or directory, appears at ``target``, an absolute path, inside the container."""

    source: str
    target: str
    read_only: bool = False


class ProcessSpec(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One container.

    Attributes:
        id: the container's name at its parent.
        argv: with no ``entry``, the command to execute, found through ``PATH`` of ``env``; else the entry's arguments.
        entry: ``package.module:function``, called in a forked child as ``function(arguments) -> int | None``.
        env: the whole environment; nothing is inherited.
        cwd: an existing directory, as the container sees it.
        state_dir: the folder, made if need be, where ``pid.json`` and ``exit.json`` are written.
        log_path, log_max_bytes, log_max_files: the log, the size at which it is rotated, how many files there may be.
        mounts, hosts, termination_message_path: what the container sees at which paths; ``hosts`` is the text of its
            ``/etc/hosts`` (empty: the machine's own). All three need a mount namespace.
        isolate: False where namespaces are not permitted; then ``mounts`` and ``hosts`` must be empty, and the
            termination message is read from ``termination-log`` in ``state_dir`` if anything is written there.
        cpu: the number of cores that its BLAS and OpenMP threads are made for; None leaves them as they are.
        cpu_weight: cores requested: its share when the machine is busy. None is an ordinary process's share.
        memory_bytes: the limit beyond which it is killed as ``OOMKilled``.
        title: the process name that ``ps`` shows; only for ``entry``.
        pdeathsig: whether it dies with its parent.
        start_timeout: seconds until a start that neither succeeds nor fails is given up.
    """

    id: str
    state_dir: str
    log_path: str
    argv: list[str] = []
    entry: str = ""
    env: dict[str, str] = {}
    cwd: str = "/"
    log_max_bytes: int = 10 * 1024 * 1024
    log_max_files: int = 5
    mounts: list[Mount] = []
    hosts: str = ""
    termination_message_path: str = ""
    isolate: bool = True
    cpu: float | None = None
    cpu_weight: float | None = None
    memory_bytes: int | None = None
    title: str = ""
    pdeathsig: bool = True
    start_timeout: float = 120.0

    @property
    def has_own_view(self) -> bool:
        """Whether it needs a mount namespace of its own."""
        return self.isolate and bool(self.mounts or self.hosts or self.termination_message_path)


class Exit(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How a container ended. ``exit_code`` is 128 + ``signal`` where a signal ended it, as Kubernetes reports it.

    Attributes:
        reason: ``Completed``, ``Error``, ``OOMKilled``, or ``StartError`` for one that never ran.
        message: why it could not be started, in words.
        termination_message: what it wrote to its termination message path, at most 4096 bytes.
        started_at, finished_at: seconds since the epoch.
    """

    exit_code: int
    reason: str
    finished_at: float
    started_at: float | None = None
    signal: int = 0
    message: str = ""
    termination_message: str = ""

    @property
    def oom_killed(self) -> bool:
        return self.reason == "OOMKilled"


class Container(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a parent knows of a container. ``identity`` is missing when it could not be forked at all.

    Attributes:
        memory: who holds it to its limit: ``cgroup``, ``watch`` (the agent must, see :mod:`.memory`), or ``none``.
        warnings: what went wrong without preventing the start, such as an entry of a directory that is not visible.
    """

    id: str
    state: Literal["starting", "running", "exited"]
    state_dir: str
    log_path: str
    created_at: float
    identity: Identity | None = None
    started_at: float | None = None
    exit: Exit | None = None
    memory: Literal["cgroup", "watch", "none"] = "none"
    memory_bytes: int | None = None
    warnings: list[str] = []


class ExecResult(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a command inside a container gave: its exit code and the first 10 KiB of both its outputs together."""

    exit_code: int
    output: bytes = b""
    timed_out: bool = False


class Isolation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which namespaces this user may make here.

    Attributes:
        mode: ``mount`` (a mount namespace, as root), ``user`` (a user namespace around it), or ``none``.
        reason: for ``none``: what was refused, and which setting of the system is the likely cause.
    """

    mode: Literal["mount", "user", "none"]
    reason: str = ""


class ParentInfo(msgspec.Struct, kw_only=True):
    """Who a pod parent is. ``preloaded`` maps packages to their versions; ``protocol`` is the version of its socket."""

    name: str
    identity: Identity
    protocol: int
    version: str
    socket: str
    state_dir: str
    started_at: float
    preloaded: dict[str, str]
    preload_seconds: float
    isolation: Isolation
    cgroup: str
    holds: list[int] = []


def read_at_import(env: Mapping[str, str]) -> list[str]:
    """The variables of ``env`` that interpreters, linkers or numeric libraries read when they start.

    A container that sets one must be executed rather than forked from a zygote, where they would come too late.
    """
    return sorted(
        name
        for name in env
        if name not in _HARMLESS and (name in _READ_AT_IMPORT or name.startswith(_READ_AT_IMPORT_PREFIXES))
    )


def read_parent(state: str | Path) -> Identity | None:
    """The process of the pod parent with this folder; it may long be over (:func:`.identity.is_alive`)."""
    return _read(Path(state) / PARENT_FILE, Identity)


def read_exit(state_dir: str | Path) -> Exit | None:
    """How the container with this folder ended, as its parent wrote it down; None while it has not."""
    return _read(Path(state_dir) / EXIT_FILE, Exit)


def read_identity(state_dir: str | Path) -> Identity | None:
    """The process of the container with this folder; it may long be over (:func:`.identity.is_alive`)."""
    return _read(Path(state_dir) / PID_FILE, Identity)


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
