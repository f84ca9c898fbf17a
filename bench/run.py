"""Measures the figures of docs/benchmarks.md, all of them or those that are named.

    make bench                                             # everything, some 25 minutes
    make bench BENCH_ARGS="startup memory"                 # only these
    make bench BENCH_ARGS="--write docs/benchmarks.md"     # and put the readings into the page

Each measurement is a module of this folder with ``measure(quick, say) -> [Figure]``, whose docstring says what is
counted, and runs in a process of its own. What it starts lives in temporary folders and is ended with it. Exits with 1
if a measurement failed or a target was missed.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import machine
import page
from figures import Figure

MEASUREMENTS = [
    "startup",
    "memory",
    "first_answer",
    "fork_ready",
    "idle",
    "serve_rest",
    "serve_handler",
    "serve_tensor",
    "serve_grpc",
    "serve_latency",
    "serve_start",
    "serve_memory",
    "serve_many",
    "serve_mixed",
    "gateway",
    "apiserver",
    "acm_deploy",
    "acm_runtime",
    "acm_dispatch",
]
_CALM = 1.0  # processes that want a core, on average over a minute
_CALM_PATIENCE = 600.0  # seconds, over all measurements


def main() -> int:
    options = _options()
    names = options.measurements or MEASUREMENTS
    taken: dict[str, page.Taken] = {}
    failed, missed = [], []
    patience = _CALM_PATIENCE
    for name in names:
        if options.calm:
            patience -= _wait_for_calm(patience)
        load, begun = machine.load(), time.monotonic()
        _say(name, f"begins, load {load:.2f}")
        try:
            figures = _measured(name, options.quick)
        except Exception as error:
            # What was raised in the other process comes with its traceback as the cause.
            traceback.print_exception(error.__cause__ or error)
            failed.append(name)
            continue
        _say(name, f"took {time.monotonic() - begun:.0f} s")
        taken[name] = page.taken(figures, time.strftime("%Y-%m-%d"), load)
        missed += [figure.name for figure in figures if figure.verdict == "missed"]
        print(f"\n{name}\n{page.plain(figures)}")
        print("".join(f"  {figure.name}: {figure.note}\n" for figure in figures if figure.note), flush=True)
    if options.write and taken:
        page.write(options.write, machine.describe(), taken, MEASUREMENTS)
        _say("run", f"wrote {options.write} and {options.write.with_suffix('.json')}")
    for what, found in (("failed", failed), ("missed the target", missed)):
        if found:
            _say("run", f"{what}: {', '.join(found)}")
    return 1 if failed or (missed and not options.quick) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measurements", nargs="*", metavar="MEASUREMENT", help=f"of: {', '.join(MEASUREMENTS)}")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the readings into this Markdown page")
    parser.add_argument("--quick", action="store_true", help="only show that everything runs; the readings say nothing")
    parser.add_argument("--calm", action="store_true", help="wait for a quiet machine, ten minutes at most")
    options = parser.parse_args()
    for name in options.measurements:
        if name not in MEASUREMENTS:
            parser.error(f"there is no measurement {name!r}; there are: {', '.join(MEASUREMENTS)}")
    if options.write and options.quick:
        parser.error("the readings of --quick say nothing and are not to be written")
    return options


def _measured(name: str, quick: bool) -> list[Figure]:
    """Run a measurement in a fresh process, so that none inherits what another has imported."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(_measure, name, quick).result()


def _measure(name: str, quick: bool) -> list[Figure]:
    figures: list[Figure] = importlib.import_module(name).measure(quick, lambda line: _say(name, line))
    return figures


def _wait_for_calm(patience: float) -> float:
    """Wait until the load of the last minute is low, or the patience is used up; returns the seconds waited."""
    begun = time.monotonic()
    while machine.load() >= _CALM and time.monotonic() - begun < patience:
        time.sleep(min(5.0, patience))
    return time.monotonic() - begun


def _say(name: str, line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {name}: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
