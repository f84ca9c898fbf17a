"""Large tensors over V2 REST: 1 MiB of FP32 there and back through an identity model, as JSON and as raw bytes.

KServe has both forms, MLServer only JSON. Four connections, eight different tensors; every answer's status is checked,
and of one in eight every number.
"""

from __future__ import annotations

import base64
import json
import tempfile
from pathlib import Path

import rates
import servers
from figures import Figure, Say

VALUES = 1 << 18
TARGETS = {"JSON": 8.0, "binary": 30.0}


def measure(quick: bool, say: Say) -> list[Figure]:
    count, seconds = (1, 1.0) if quick else (3, 5.0)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _workloads(folder)
        ours = servers.ours(f"{servers.HERE / 'peers' / 'identity.py'}:Identity", called="identity")
        kserve = servers.kserve("kserve_identity.py", folder, called="identity")
        other = servers.mlserver("mlserver_identity.Identity", None, folder / "mlserver", False, called="identity")
        for form, peers in (("JSON", [kserve, other]), ("binary", [kserve])):
            sides = [ours, *(side for side in peers if side)]
            with rates.running(sides):
                found = rates.rounds(sides, folder / f"{form}.json", 4, count, seconds, sample=1 if quick else 8)
            figures += rates.compared(f"1 MiB of FP32, {form}", found, ours.name, TARGETS[form], say)
            figures[-1].note = rates.missing(sides) if form == "JSON" else ""
    return figures


def _workloads(folder: Path) -> None:
    import numpy as np

    random = np.random.default_rng(3)
    path = "/v2/models/identity/infer"
    forms: dict[str, list[dict[str, object]]] = {"JSON": [], "binary": []}
    for _ in range(8):
        array = random.normal(size=(1, VALUES)).astype(np.float32)
        tensor = {"name": "input-0", "shape": [1, VALUES], "datatype": "FP32"}
        values = array.ravel().tolist()
        body = json.dumps({"inputs": [tensor | {"data": values}]})
        forms["JSON"].append({"path": path, "body": body, "expect": values})
        raw = array.tobytes()
        asked = {"inputs": [tensor | {"parameters": {"binary_data_size": len(raw)}}]}
        head = json.dumps(asked | {"parameters": {"binary_data_output": True}}).encode()
        headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
        forms["binary"].append(
            {
                "path": path,
                "body64": base64.b64encode(head + raw).decode(),
                "headers": headers,
                "expect": {"tail": len(raw)},
            }
        )
    for form, items in forms.items():
        (folder / f"{form}.json").write_text(json.dumps(items))
