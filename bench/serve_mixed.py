"""100,000 requests of which one in a hundred is wrong: every answer is checked, and memory must stay where it is.

The wrong ones are of several kinds: no JSON, a shape that does not match, too few columns, an unknown model. Memory is
the server's resident size after the first tenth and at the end.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import iris
import rates
import servers
from figures import Figure, Say

REQUESTS = 100_000
WRONG = (
    ("/v2/models/iris/infer", "{", 400),
    ("/v2/models/iris/infer", '{"inputs": [{"name": "x", "shape": [3, 4], "datatype": "FP32", "data": [1, 2]}]}', 400),
    ("/v2/models/iris/infer", '{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}', 400),
    ("/v2/models/other/infer", '{"inputs": []}', 404),
    ("/v1/models/iris:predict", '{"instances": 3}', 400),
)


def measure(quick: bool, say: Say) -> list[Figure]:
    wanted = 2000 if quick else REQUESTS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        side = servers.ours(iris.train(folder))
        items = json.loads((folder / "v2.json").read_text())
        for at, (path, body, status) in enumerate(WRONG):
            items[at * 100 + 7] = {"path": path, "body": body, "status": status}
        (folder / "mixed.json").write_text(json.dumps(items))
        core, others = servers.cores()
        asked, sizes = 0, []
        with servers.running(side, core) as process:
            while asked < wanted:
                one = rates.load(folder / "mixed.json", side.port, 32, 0.5, others, sample=1)
                asked += one["requests"]
                sizes.append((asked, _resident(process.pid)))
    early = next(size for count, size in sizes if count >= wanted / 10)
    say(f"{asked} requests, all right; resident {early:.1f} MB after a tenth, {sizes[-1][1]:.1f} MB at the end")
    return [
        Figure(name="requests answered right, 1 % of them wrong themselves", unit="", readings=[float(asked)]),
        Figure(
            name="growth of memory after the first tenth",
            unit="MB",
            readings=[sizes[-1][1] - early],
            at_most=2.0,
        ),
    ]


def _resident(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 1e6
