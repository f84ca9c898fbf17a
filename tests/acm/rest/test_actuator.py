"""What operations ask."""

from __future__ import annotations

import httpx
from prometheus_client import CollectorRegistry, Counter

from acm.rest.asking import PASSWORD, USER, client
from acm.web.double import Double
from mizzen.acm.runtime.rest.app import actuator, app
from mizzen.acm.runtime.rest.settings import PREFIX, Settings


async def test_health_tells_its_parts() -> None:
    double = Double()
    async with client(double, base=f"{PREFIX}/actuator") as asked:
        for path in ("/health", "/health/readiness"):
            answer = await asked.get(path)
            assert answer.status_code == 200
            assert answer.json() == {
                "status": "UP",
                "components": {"db": {"status": "UP"}, "kafkaReadiness": {"status": "UP"}},
            }
        double.broken["kafka"] = "no broker answers at kafka:9092"
        health, ready, live = [await asked.get(f"/health{part}") for part in ("", "/readiness", "/liveness")]
    assert (health.status_code, health.json()["status"]) == (503, "DOWN")
    assert (ready.status_code, ready.json()["status"]) == (503, "OUT_OF_SERVICE")
    assert ready.json()["components"]["kafkaReadiness"] == {
        "status": "DOWN",
        "details": {"error": "no broker answers at kafka:9092"},
    }
    assert (live.status_code, live.json()) == (200, {"status": "UP"})


async def test_requests_are_counted_by_path_and_not_by_id() -> None:
    async with client(Double(), base=PREFIX) as asked:
        for _ in range(3):
            await asked.get("/v2/compositions/00000000-0000-4000-8000-000000000000")
        await asked.get("/v2/whatever-comes-to-mind")
        text = (await asked.get("/actuator/prometheus")).text
        told = (await asked.get("/actuator/metrics/http_server_requests_seconds")).json()
        names = (await asked.get("/actuator/metrics")).json()["names"]
        missing = await asked.get("/actuator/metrics/nothing")
    wanted = 'method="GET",outcome="CLIENT_ERROR",status="404",uri="/compositions/{compositionId}"'
    assert f"http_server_requests_seconds_count{{{wanted}}} 3.0" in text
    assert "whatever-comes-to-mind" not in text
    assert {"statistic": "COUNT", "value": 5.0} in told["measurements"]
    assert "http_server_requests_seconds" in names
    assert missing.status_code == 404


async def test_a_second_port_tells_the_same_numbers() -> None:
    registry = CollectorRegistry()
    Counter("acm_orders", "Orders.", registry=registry).inc(7)
    settings = Settings(user=USER, password=PASSWORD)
    first = app(Double(), settings, registry)
    second = actuator(Double(), settings, registry)
    auth = (USER, PASSWORD)
    async with (
        httpx.AsyncClient(transport=httpx.ASGITransport(first), base_url=f"http://a{PREFIX}", auth=auth) as one,
        httpx.AsyncClient(transport=httpx.ASGITransport(second), base_url=f"http://b{PREFIX}", auth=auth) as two,
    ):
        await one.get("/v2/participants")
        text = (await two.get("/actuator/prometheus")).text
        assert (await two.get("/actuator/health")).status_code == 200
        assert (await two.get("/v2/participants")).status_code == 404
        links = (await two.get("/actuator")).json()["_links"]
    assert 'uri="/participants"' in text
    assert "acm_orders_total 7.0" in text
    assert links["health"]["href"] == f"http://b{PREFIX}/actuator/health"
