"""What the server does on its own: the namespaces of the start, and the end of old events."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from api_client import CORE, DEFAULT, Api
from apiserver_fixture import serving
from mizzen.cluster.apiserver import housekeeping
from mizzen.cluster.apiserver.store import Key, Store

EVENTS = f"{DEFAULT}/events"


def event(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}}


async def test_the_namespaces_of_the_start_are_made_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, server.session() as session:
        first = (await Api(session).get(f"{CORE}/namespaces")).ok()
        assert first.names == ["default", "kube-node-lease", "kube-public", "kube-system"]
    async with serving(tmp_path) as server, server.session() as session:
        assert (await Api(session).get(f"{CORE}/namespaces")).ok() == first


async def test_an_event_is_forgotten_after_its_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events of the past lie in the store when the server starts; the old one goes, the young one stays."""
    now = time.time()
    for name, age in (("old", 3700), ("young", 3000)):
        async with Store.open(tmp_path / "data" / "store.db", now=lambda age=age: now - age) as store:
            async with store.exclusive(Key("events", "default", name)) as turn:
                value = {"apiVersion": "v1", "kind": "Event", **event(name)}
                value["metadata"] |= {"namespace": "default", "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z"}
                await turn.put(value)
    monkeypatch.setattr(housekeeping, "_SWEEP_SECONDS", 0.0)
    async with serving(tmp_path) as server, server.session() as session:
        api = Api(session)
        async with asyncio.timeout(20):
            while (await api.get(EVENTS)).ok().names != ["young"]:
                await asyncio.sleep(0.02)
        (await api.create(EVENTS, event("new"))).ok()
        assert (await api.get(EVENTS)).ok().names == ["new", "young"]
