"""A client of the API, without a port between."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from acm.web.double import Double
from mizzen.acm import samples
from mizzen.acm.runtime.rest.app import app
from mizzen.acm.runtime.rest.settings import PREFIX, Settings
from mizzen.acm.runtime.service import Service

USER, PASSWORD = "demo", "zb!XztG34"
V2 = f"{PREFIX}/v2"
YAML = {"Content-Type": "application/yaml"}
GOLDENS = Path(__file__).parents[2] / "data" / "acm" / "rest"
NOBODY = UUID("00000000-0000-4000-8000-000000000000")


def client(service: Service, *, auth: bool = True, base: str = V2, **settings: Any) -> httpx.AsyncClient:
    application = app(service, Settings(user=USER, password=PASSWORD, **settings))
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(application),
        base_url=f"http://runtime{base}",
        auth=(USER, PASSWORD) if auth else None,
    )


async def commissioned(asked: httpx.AsyncClient) -> str:
    answer = await asked.post("/compositions", content=samples.kserve_composition(), headers=YAML)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["compositionId"])


async def primed(asked: httpx.AsyncClient, double: Double) -> str:
    composition = await commissioned(asked)
    answer = await asked.put(f"/compositions/{composition}", json={"primeOrder": "PRIME"})
    assert answer.status_code == 202, answer.text
    double.finish(composition)
    return composition


async def instantiated(asked: httpx.AsyncClient, double: Double) -> tuple[str, str]:
    composition = await primed(asked, double)
    document = samples.kserve_instance(composition, "s3://models/iris")
    answer = await asked.post(f"/compositions/{composition}/instances", content=document, headers=YAML)
    assert answer.status_code == 201, answer.text
    return composition, str(answer.json()["instanceId"])
