"""The bodies that ONAP's runtime sends come through unchanged, in both formats."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
import yaml

from acm.rest.asking import GOLDENS, client
from mizzen.acm.runtime.service import Created, Refused, Service

COMPOSITION = "5eed0001-0003-4000-8000-000000000003"
INSTANCE = "5eed0001-0004-4000-8000-000000000004"
INSTANCES = f"/compositions/{COMPOSITION}/instances"

CASES = [
    ("rest-01-commission-201.json", "POST", "/compositions", 201),
    ("rest-02-composition-get-commissioned.json", "GET", f"/compositions/{COMPOSITION}", 200),
    ("rest-03-composition-get-primed.json", "GET", f"/compositions/{COMPOSITION}", 200),
    ("rest-04-instance-201.json", "POST", INSTANCES, 201),
    ("rest-05-instance-get-undeployed.json", "GET", f"{INSTANCES}/{INSTANCE}", 200),
    ("rest-06-instance-get-deployed.json", "GET", f"{INSTANCES}/{INSTANCE}", 200),
    ("rest-07-participants-get.json", "GET", "/participants", 200),
]


class Saying:
    """Whatever it is asked, it answers the same."""

    def __init__(self, body: Any, created: Created | None) -> None:
        self._body, self._created = body, created
        self.compositions = self.instances = self.participants = self

    async def get(self, *_: Any) -> Any:
        return self._body

    async def list(self, *_: Any, **__: Any) -> Any:
        return self._body

    async def commission(self, document: bytes, media_type: str) -> Created | None:
        return self._created

    async def post(self, composition: Any, document: bytes, media_type: str) -> Created | None:
        return self._created


@pytest.mark.parametrize(("name", "verb", "path", "status"), CASES, ids=[case[0][:7] for case in CASES])
@pytest.mark.parametrize("format", ["json", "yaml"])
async def test_a_body(name: str, verb: str, path: str, status: int, format: str) -> None:
    golden = json.loads((GOLDENS / name).read_text())
    service = cast(Service, Saying(golden, Created(True, "/where", golden)))
    async with client(service) as asked:
        answer = await asked.request(
            verb,
            path,
            content=b"{}" if verb == "POST" else None,
            headers={"Accept": f"application/{format}"}
            | ({"Content-Type": "application/json"} if verb == "POST" else {}),
        )
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == f"application/{format}"
    assert (json.loads if format == "json" else yaml.safe_load)(answer.content) == golden
    assert answer.headers.get("Location") == ("/where" if verb == "POST" else None)


def test_every_golden_has_a_case() -> None:
    assert {path.name for path in GOLDENS.glob("*.json")} == {case[0] for case in CASES}


async def test_yaml_keeps_what_looks_like_something_else() -> None:
    """A version that looks like a number, a time that looks like a date, a text over two lines."""
    body = {
        "version": "1.10",
        "lastMsg": "2026-08-21 12:00:00.123",
        "message": "no\n  yes: 'x'",
        "on": "true",
        "n": None,
    }
    async with client(cast(Service, Saying(body, None))) as asked:
        answer = await asked.get(f"/compositions/{COMPOSITION}", headers={"Accept": "application/yaml"})
    assert yaml.safe_load(answer.content) == body


async def test_what_the_service_refuses_is_said_as_it_says_it() -> None:
    class Refusing(Saying):
        async def get(self, *_: Any) -> Any:
            raise Refused(418, "Word for word, with a line\n  below")

    async with client(cast(Service, Refusing(None, None))) as asked:
        answer = await asked.get(f"/compositions/{COMPOSITION}")
    assert answer.status_code == 418
    assert answer.json() == {"errorDetails": "Word for word, with a line\n  below"}
