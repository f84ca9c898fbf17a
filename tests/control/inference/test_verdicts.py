"""Every manifest of KServe's meets the verdict that KServe's rules give it (``verdicts.yaml`` says which and why)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from admission_path import Refused, write
from inference_objects import SHARED, Shelf, installed, typed
from mizzen.apis.serving.v1alpha1 import ClusterServingRuntime
from mizzen.control.inference.config import deployment_mode, parse_config
from mizzen.control.inference.runtimes import SelectionError, select
from mizzen.control.inference.support import unsupported
from verdict_table import CODES, TABLE, document, documents, name_of

pytestmark = pytest.mark.skipif(not SHARED.exists(), reason="KServe's manifests are not beside this checkout")


def test_the_table_names_every_manifest_and_no_other():
    assert {(row["file"], row["kind"], row["name"]) for row in TABLE} == set(documents())
    assert len(TABLE) == len(documents())


@pytest.mark.parametrize("row", TABLE, ids=name_of)
def test_the_verdict(row):
    warnings = [f'unknown field "{field}"' for field in row.get("unknown_fields", ())]
    if row["verdict"] == "stored":
        assert write(document(row))[1] == warnings
        return
    with pytest.raises(Refused) as caught:
        write(document(row))
    assert caught.value.code == CODES[row["verdict"]]
    if row["verdict"] == "rejected":
        assert f"refused: {row['field']}:" in str(caught.value)


def standing_in_the_way(stored: dict[str, Any], shelf: Shelf) -> tuple[str, list[str]]:
    """The reason that the service will give for not being ready, and the sentences, each beginning with its field."""
    service = typed(stored)
    found = next(obj for obj in shelf.objects if obj["kind"] == "ConfigMap")
    mode = deployment_mode("", service.metadata.annotations or {}, parse_config(found["data"]))
    missing = unsupported(service, mode)
    if missing or not service.spec.predictor.model:
        return ("NotSupported" if missing else ""), missing
    runtimes = [
        msgspec.convert(obj, ClusterServingRuntime) for obj in shelf.objects if obj["kind"] == "ClusterServingRuntime"
    ]
    try:
        select(service.spec.predictor, [], runtimes)
    except SelectionError as error:
        return error.reason, [str(error)]
    return "", []


SERVICES = [row for row in TABLE if row["verdict"] == "stored" and row["kind"] == "InferenceService"]


@pytest.mark.parametrize("row", SERVICES, ids=name_of)
def test_what_keeps_a_stored_service_from_ready(row):
    shelf = installed()
    reason, sentences = standing_in_the_way(write(document(row), shelf)[0], shelf)
    expected = row.get("not_ready", {"reason": "", "fields": []})
    assert reason == expected["reason"]
    assert len(sentences) == len(expected["fields"])
    for field, sentence in zip(expected["fields"], sentences, strict=True):
        assert field in sentence


def test_two_runtimes_of_one_priority_are_not_stored_together():
    both = [row for row in TABLE if row["name"] in ("kserve-huggingfaceserver", "custom-kserve-huggingfaceserver")]
    first, second = map(document, both)
    shelf = Shelf(write(first, Shelf())[0])
    with pytest.raises(Refused, match="same priority 1"):
        write(second, shelf)
