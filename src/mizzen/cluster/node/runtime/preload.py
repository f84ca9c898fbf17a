"""What a zygote imports before it forks: framework modules, with one thread each and nothing run.

A model server forked from here shares these modules' memory and starts in milliseconds. Whatever a module starts at its
import (a thread, a pool) does not survive a fork, so such a module is refused by name instead of making children hang.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Sequence

from mizzen.cluster.node.runtime.child import Threads
from mizzen.cluster.node.runtime.errors import Refused
from mizzen.cluster.node.runtime.spec import THREAD_VARIABLES


def preload(modules: Sequence[str]) -> dict[str, str]:
    """Import the modules and freeze what they made; returns their packages' versions.

    Raises:
        Refused: a module cannot be imported, or starts a thread at its import.
    """
    # Numeric libraries make their threads when they are loaded. Children get theirs after the fork.
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:
            raise Refused(f"{name} cannot be preloaded: {type(error).__name__}: {error}") from error
        count = len(os.listdir("/proc/self/task"))  # noqa: PTH208 (names, not paths)
        if count > 1:
            raise Refused(f"{name} cannot be preloaded: its import started {count - 1} threads, which no fork survives")
    # The collector would write to every object it visits, and so copy the memory that children share.
    gc.collect()
    gc.freeze()
    return versions(modules)


def versions(modules: Sequence[str]) -> dict[str, str]:
    """The versions of the packages that the modules belong to, and of those they brought that matter to a model."""
    packages = {name.partition(".")[0] for name in modules} | {"numpy", "scipy"}
    return {
        name: str(getattr(sys.modules[name], "__version__", ""))
        for name in sorted(packages)
        if name in sys.modules and name != "mizzen"
    }


def thread_setter() -> Threads | None:
    """What sets the thread counts of the libraries loaded by now, if one of them brought threadpoolctl along."""
    if "threadpoolctl" not in sys.modules:
        return None
    import threadpoolctl  # type: ignore[import-untyped]

    # Looking the libraries up takes milliseconds: done once here, not in every child.
    controller = threadpoolctl.ThreadpoolController()
    kept: list[object] = []

    def set_threads(count: int) -> None:
        kept.append(controller.limit(limits=count))

    return set_threads
