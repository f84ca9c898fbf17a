"""Requests per second of the model server on one core over REST: scikit-learn's SVC on iris, one row in a request.

KServe's server and MLServer, as far as they are installed (:mod:`servers`), take turns with ours on the same core under
the same load; what counts is the ratio, turn by turn. V1 is KServe's alone. With one connection no batch forms; with
``--batching off`` none may. The slow model takes 5 ms a row on every side, so that no server can be much faster.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import iris
import rates
import servers
from figures import Figure, Say

# By protocol and connections, how many times as fast as either peer ours is to be.
TARGETS = {("v2", 64): 20.0, ("v2", 16): 15.0, ("v2", 1): 2.5, ("v1", 64): 15.0}
SINGLE = 4.0


def measure(quick: bool, say: Say) -> list[Figure]:
    count, seconds, connections = (1, 0.4, [2]) if quick else (3, 3.0, [64, 16, 1])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = iris.train(folder)
        implementation = "mlserver_sklearn.SKLearnModel"
        ours = servers.ours(model)
        single = servers.ours(model, "--batching", "off", name="mizzen, batching off")
        kserve = servers.kserve("kserve_sklearn.py", model)
        others = [
            servers.mlserver(implementation, model / "model.joblib", folder / "mlserver", batching=False),
            servers.mlserver(implementation, model / "model.joblib", folder / "mlserver-batching", batching=True),
        ]
        v1 = [side for side in (ours, kserve) if side]
        v2 = [*v1, *(side for side in others if side)]
        figures: list[Figure] = []
        with rates.running([*v2, single]):
            for protocol, sides in (("v2", v2), ("v1", v1)):
                for at in connections:
                    what = f"{protocol.upper()} REST, {at} connection{'s' if at > 1 else ''}"
                    found = rates.rounds(sides, folder / f"{protocol}.json", at, count, seconds)
                    figures += rates.compared(what, found, ours.name, TARGETS.get((protocol, at)), say)
            at = connections[0]
            found = rates.rounds([single, *v2[1:]], folder / "v2.json", at, count, seconds)
            figures += rates.compared(f"V2 REST, {at} connections", found, single.name, SINGLE, say)
    figures[0].note = rates.missing(v2)
    return figures
