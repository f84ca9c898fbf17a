"""500 small models in one server: how long they take to load, and whether one of them answers as fast as one alone.

The load is 16 connections over V2 REST, in turns: on one model of the 500, on all of them one after the other, and on
a server that has only one.
"""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import iris
import rates
import servers
from figures import Figure, Say

MODELS = 500
LIMIT = 10.0


def measure(quick: bool, say: Say) -> list[Figure]:
    models, count, seconds = (20, 1, 0.5) if quick else (MODELS, 5, 3.0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        alone = servers.ours(iris.train(folder))
        for number in range(models):
            shutil.copytree(folder / "model", folder / "many" / f"m{number}")
        items = json.loads((folder / "v2.json").read_text())
        for what, choose in (("one", lambda at: models // 2), ("all", lambda at: at % models)):
            asked = [item | {"path": f"/v2/models/m{choose(at)}/infer"} for at, item in enumerate(items)]
            (folder / f"{what}.json").write_text(json.dumps(asked))
        many = servers.ours(folder / "many", name=f"{models} models", called=f"m{models - 1}")
        core, _ = servers.cores()
        begun = time.perf_counter()
        with servers.running(many, core):
            took = time.perf_counter() - begun
            with servers.running(alone, core):
                found: dict[str, list[float]] = {"alone": [], "one": [], "all": []}
                for _ in range(count):
                    for what, side, workload in (
                        ("alone", alone, "v2"),
                        ("one", many, "one"),
                        ("all", many, "all"),
                    ):
                        [one] = rates.rounds([side], folder / f"{workload}.json", 16, 1, seconds)[side.name]
                        found[what].append(one["rate"])
    ratios = [one / single for one, single in zip(found["one"], found["alone"], strict=True)]
    say(
        f"loaded in {took:.1f} s; "
        + ", ".join(f"{what} {statistics.median(each):,.0f}/s" for what, each in found.items())
    )
    return [
        Figure(name=f"{models} models, cold start to ready", unit="s", readings=[took], at_most=LIMIT),
        Figure(name=f"one of {models}, rate to that of one alone", unit="x", readings=ratios, at_least=0.95),
        Figure(name=f"all {models} in turn", unit="/s", readings=found["all"]),
        Figure(name="one alone", unit="/s", readings=found["alone"]),
    ]
