"""How many threads the numeric libraries use: one until the fork, the pod's share after it.

A zygote imports numpy and scikit-learn with one BLAS and one OpenMP thread, because threads do not survive a fork. The
server it forks has a cpu limit of its own, and may use that many. They are raised on the model's thread: OpenMP keeps
the number for each thread that starts a parallel region, and what runs on the event loop is too short to be shared out.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping

logger = logging.getLogger(__name__)

CPU = "MIZZEN_CPU"


def share(environ: Mapping[str, str]) -> int:
    """How many threads the pod's cpu allows beyond the one there is; 1 if nothing is to be raised."""
    text = environ.get(CPU)
    if not text:
        return 1
    try:
        cpu = float(text)
    except ValueError:
        cpu = 0.0
    if not 0 < cpu < 1e6:
        logger.warning("%s=%r is not a number of cpus; numeric libraries keep their threads", CPU, text)
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(math.ceil(cpu), cores)


def raise_to(threads: int) -> None:
    """Let the numeric libraries use so many threads when the calling thread asks them."""
    try:
        import threadpoolctl  # type: ignore[import-untyped]
    except ImportError:
        return  # it comes with scikit-learn; without that there is nothing to raise
    threadpoolctl.threadpool_limits(limits=threads)
