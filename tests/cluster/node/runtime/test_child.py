"""The pure parts of becoming a container; the rest is tried with real parents."""

from __future__ import annotations

import os

import pytest

from mizzen.cluster.node.runtime.child import niceness, thread_count, thread_environment
from mizzen.cluster.node.runtime.spec import THREAD_VARIABLES, ProcessSpec, read_at_import


@pytest.mark.parametrize(("weight", "nice"), [(4.0, 0), (1.0, 0), (0.8, 1), (0.5, 3), (0.33, 5), (0.1, 5), (0.0, 5)])
def test_a_small_request_is_a_small_share(weight: float, nice: int) -> None:
    assert niceness(weight) == nice


def test_threads_are_made_for_whole_cores_of_this_machine() -> None:
    cores = len(os.sched_getaffinity(0))
    assert thread_count(0.1) == 1
    assert thread_count(1.5) == min(2, cores)
    assert thread_count(10_000) == cores


def test_a_container_is_told_of_its_cores_unless_it_says_otherwise() -> None:
    spec = ProcessSpec(id="x", state_dir="", log_path="", cpu=0.5, env={"OMP_NUM_THREADS": "7"})
    found = thread_environment(spec)
    assert found["MIZZEN_CPU"] == "0.5" and "OMP_NUM_THREADS" not in found
    assert {name for name in THREAD_VARIABLES if found.get(name) == "1"} == set(THREAD_VARIABLES) - {"OMP_NUM_THREADS"}
    assert thread_environment(ProcessSpec(id="x", state_dir="", log_path="")) == {}


def test_variables_that_a_forked_process_would_get_too_late() -> None:
    env = {
        "PATH": "/bin",
        "PYTHONPATH": "/x",
        "PYTHONUNBUFFERED": "1",
        "LD_PRELOAD": "x.so",
        "OMP_NUM_THREADS": "4",
        "MODEL_NAME": "iris",
        "OPENBLAS_CORETYPE": "Haswell",
    }
    assert read_at_import(env) == ["LD_PRELOAD", "OMP_NUM_THREADS", "OPENBLAS_CORETYPE", "PYTHONPATH"]
