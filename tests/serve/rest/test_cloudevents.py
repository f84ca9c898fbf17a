"""CloudEvents in both modes, over both protocols."""

from __future__ import annotations

import base64
import json
import uuid
from datetime import datetime
from typing import Any

import pytest

from .conftest import Payloads

V1_PATH, V2_PATH = "/v1/models/m:predict", "/v2/models/m/infer"
ROWS = {"instances": [[1, 2]]}
TENSORS = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "INT64", "data": [1, 2]}], "id": "1"}
BINARY = {"ce-specversion": "1.0", "ce-id": "36", "ce-source": "here", "ce-type": "mine", "ce-custom": "ü kept"}
STRUCTURED = {
    "specversion": "1.0",
    "id": "36",
    "source": "here",
    "type": "mine",
    "time": "2026-01-01T00:00:00Z",
    "custom": 5,
}
MEDIA = {"content-type": "application/cloudevents+json; charset=utf-8"}


def binary(name: str = "m") -> dict[str, str]:
    return {name: value.encode().decode("latin-1") for name, value in BINARY.items()}


def check(attributes: dict[str, Any], model: str) -> None:
    assert uuid.UUID(attributes["id"]).version == 4
    assert attributes["specversion"] == "1.0"
    assert attributes["source"] == f"io.kserve.inference.{model}"
    assert attributes["type"] == "io.kserve.inference.response"
    assert datetime.fromisoformat(attributes["time"]).utcoffset() is not None
    assert attributes["time"].endswith("+00:00")


@pytest.mark.parametrize(("path", "body", "key"), [(V1_PATH, ROWS, "predictions"), (V2_PATH, TENSORS, "outputs")])
async def test_a_binary_event_is_answered_by_one(serving, echo, path, body, key):
    ask = await serving(echo)
    answer = await ask("POST", path, body, binary() | {"content-type": "application/json"})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    found = {name[3:]: value for name, value in answer.headers.items() if name.startswith("ce-")}
    assert set(found) == {"specversion", "id", "source", "type", "time"}
    check(found, "m")
    assert key in answer.json
    assert echo.array.tolist() == [[1, 2]]


@pytest.mark.parametrize(("path", "body", "key"), [(V1_PATH, ROWS, "predictions"), (V2_PATH, TENSORS, "outputs")])
@pytest.mark.parametrize("form", ["data", "text", "base64"])
async def test_a_structured_event_is_answered_by_one(serving, echo, path, body, key, form):
    ask = await serving(echo)
    event = {
        "data": STRUCTURED | {"data": body},
        "text": STRUCTURED | {"data": json.dumps(body), "datacontenttype": "application/json"},
        "base64": STRUCTURED | {"data_base64": base64.b64encode(json.dumps(body).encode()).decode()},
    }[form]
    answer = await ask("POST", path, event, MEDIA)
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"] == "application/cloudevents+json"
    assert list(answer.json) == ["specversion", "id", "source", "type", "time", "data"]
    check(answer.json, "m")
    assert key in answer.json["data"]
    assert echo.array.tolist() == [[1, 2]]


async def test_an_object_with_all_attributes_is_an_event_whatever_its_media_type(serving, echo):
    ask = await serving(echo)
    answer = await ask("POST", V1_PATH, STRUCTURED | {"data": ROWS})
    assert answer.json == {"predictions": [[1, 2]]}
    answer = await ask("POST", V1_PATH, {"id": "1", "type": "t", "data": ROWS})
    assert (answer.status, answer.error) == (400, 'the request needs "instances", a list of rows')


async def test_without_an_attribute_it_is_a_plain_request(serving, echo):
    ask = await serving(echo)
    headers = {name: value for name, value in binary().items() if name != "ce-type"}
    answer = await ask("POST", V1_PATH, ROWS, headers)
    assert answer.status == 200
    assert not any(name.startswith("ce-") for name in answer.headers)


@pytest.mark.parametrize(
    ("headers", "body", "text"),
    [
        (binary() | {"ce-specversion": "9.9"}, ROWS, "Cloud Event Exceptions: Found invalid specversion 9.9"),
        (MEDIA, STRUCTURED | {"specversion": "9.9", "data": ROWS}, "Found invalid specversion 9.9"),
        (MEDIA, STRUCTURED | {"specversion": [1], "data": ROWS}, "Found invalid specversion"),
        (MEDIA, STRUCTURED | {"data_base64": "?"}, "the event's data_base64 holds no base64"),
        (MEDIA, STRUCTURED | {"data_base64": 5}, "the event's data_base64 holds no base64"),
        (MEDIA, STRUCTURED | {"data": {"rows": []}}, "needs"),
        (MEDIA, STRUCTURED | {"data": 5}, "must be a JSON object"),
        (MEDIA, STRUCTURED, ""),
        (binary(), b"\xff", "Unrecognized request format"),
    ],
)
async def test_events_that_are_wrong_are_400_and_say_why(serving, echo, headers, body, text):
    ask = await serving(echo)
    answer = await ask("POST", V1_PATH, body, headers)
    assert answer.status == 400
    assert text in answer.error


async def test_an_event_of_v2_that_is_wrong(serving, echo):
    ask = await serving(echo)
    answer = await ask("POST", V2_PATH, STRUCTURED | {"data": {"inputs": []}}, MEDIA)
    assert (answer.status, "at least one tensor" in answer.error) == (400, True)
    answer = await ask("POST", V2_PATH, {"id": 5}, MEDIA)
    assert (answer.status, '"inputs" to be a list' in answer.error) == (400, True)


async def test_a_failure_is_no_event(serving, echo):
    ask = await serving(echo)
    answer = await ask("POST", "/v1/models/other:predict", ROWS, binary())
    assert (answer.status, answer.headers["content-type"]) == (404, "application/json")
    assert not any(name.startswith("ce-") for name in answer.headers)


async def test_large_events(serving, echo):
    ask = await serving(echo)
    rows = [[float(number)] * 100 for number in range(1000)]
    answer = await ask("POST", V1_PATH, {"instances": rows}, binary())
    assert answer.headers["ce-source"] == "io.kserve.inference.m"
    assert answer.json["predictions"] == rows
    answer = await ask("POST", V1_PATH, STRUCTURED | {"data": {"instances": rows}}, MEDIA)
    assert answer.json["data"]["predictions"] == rows


async def test_source_and_type_by_the_environment(serving, echo, monkeypatch):
    monkeypatch.setenv("CE_SOURCE", "there")
    monkeypatch.setenv("CE_TYPE", "theirs")
    ask = await serving(echo)
    answer = await ask("POST", V1_PATH, ROWS, binary())
    assert (answer.headers["ce-source"], answer.headers["ce-type"]) == ("there", "theirs")
    assert "ce-custom" not in answer.headers


async def test_merging_keeps_the_requests_extensions(serving, echo, monkeypatch):
    monkeypatch.setenv("CE_MERGE", "true")
    ask = await serving(echo)
    for path, body in [(V1_PATH, ROWS), (V2_PATH, TENSORS)]:
        answer = await ask("POST", path, body, binary())
        assert answer.status == 200
        assert answer.headers["ce-id"] != "36"
        assert answer.headers["ce-source"] == "io.kserve.inference.m"
        assert "kept" in answer.headers["ce-custom"]
        answer = await ask("POST", path, STRUCTURED | {"data": body, "datacontenttype": "application/json"}, MEDIA)
        assert answer.json["custom"] == 5
        assert answer.json["id"] != "36"
        assert "datacontenttype" not in answer.json


async def test_a_model_that_takes_payloads_gets_the_data(asking):
    seen = []

    def answer(call: Any) -> Any:
        seen.append((call.payload, call.headers.get("ce-id")))
        return {"got": 1}

    ask = await asking(Payloads(answer))
    path = "/v1/models/p:predict"
    reply = await ask("POST", path, ROWS, binary())
    assert reply.headers["ce-source"] == "io.kserve.inference.p" and reply.json == {"got": 1}
    reply = await ask("POST", path, STRUCTURED | {"data": ROWS}, MEDIA)
    check(reply.json, "p")
    assert reply.json["data"] == {"got": 1}
    reply = await ask("POST", path, STRUCTURED | {"data_base64": base64.b64encode(b"\xff\0").decode()}, MEDIA)
    assert reply.json["data"] == {"got": 1}
    reply = await ask("POST", path, b"\xff\0", binary() | {"content-type": "image/png"})
    assert reply.headers["ce-source"] == "io.kserve.inference.p"
    reply = await ask("POST", path, b'{"a": 1}', binary() | {"content-type": "text/plain"})
    reply = await ask("POST", path, STRUCTURED | {"data": 7})
    assert reply.json == {"got": 1} and "ce-id" not in reply.headers
    assert seen == [
        (ROWS, "36"),
        (ROWS, None),
        (b"\xff\0", None),
        (b"\xff\0", "36"),
        ({"a": 1}, "36"),
        (7, None),
    ]


async def test_bytes_in_a_structured_answer_are_base64(asking):
    ask = await asking(Payloads(lambda call: b"\xff\0"))
    reply = await ask("POST", "/v1/models/p:predict", STRUCTURED | {"data": ROWS}, MEDIA)
    assert base64.b64decode(reply.json["data_base64"]) == b"\xff\0"
    assert "data" not in reply.json
