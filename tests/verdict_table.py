"""The checked-in verdicts on KServe's manifests, and the manifests themselves."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from inference_objects import SHARED

KINDS = ("InferenceService", "ServingRuntime", "ClusterServingRuntime")
TABLE: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "control/inference/verdicts.yaml").read_text())
CODES = {"rejected": 400, "not served": 404}


def name_of(row: dict[str, Any]) -> str:
    return f"{row['file'].rpartition('/')[2].removesuffix('.yaml')}-{row['name']}"


@cache
def documents() -> dict[tuple[str, str, str], dict[str, Any]]:
    """Every document of the kinds that are judged, by file, kind and name."""
    files = [*sorted(SHARED.glob("manifests/kserve-*")), *sorted(SHARED.glob("kserve/*"))]
    found = {}
    for path in files:
        for document in yaml.safe_load_all(path.read_text()):
            if document and document.get("kind") in KINDS:
                key = (str(path.relative_to(SHARED)), document["kind"], document["metadata"]["name"])
                assert key not in found, f"{key} stands there twice"
                found[key] = document
    return found


def document(row: dict[str, Any]) -> dict[str, Any]:
    return documents()[row["file"], row["kind"], row["name"]]
