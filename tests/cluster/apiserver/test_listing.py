"""Lists: complete, ordered, consistent over pages, at the moment that was asked for."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from api_client import CORE, DEFAULT, Api, config_map, pod
from apiserver_fixture import serving
from mizzen.cluster.apiserver import listing

MAPS = f"{DEFAULT}/configmaps"


async def fill(api: Api, count: int, **labels: str) -> None:
    for number in range(count):
        (await api.create(MAPS, config_map(f"n{number:02}", labels={**labels, "n": str(number % 3)}))).ok()


async def pages(api: Api, path: str, token: str = "") -> list[Any]:
    found = [(await api.get(f"{path}&continue={token}")).ok()]
    while found[-1]["metadata"].get("continue"):
        found.append((await api.get(f"{path}&continue={found[-1]['metadata']['continue']}")).ok())
    return found


async def test_an_empty_list_is_a_list(api: Api) -> None:
    found = (await api.get(MAPS)).ok()
    assert (found["kind"], found["apiVersion"], found["items"]) == ("ConfigMapList", "v1", [])
    assert found.version.isdigit()


async def test_items_come_in_key_order_without_a_type_of_their_own(api: Api) -> None:
    await api.create("/api/v1/namespaces", {"metadata": {"name": "b"}})
    await api.create("/api/v1/namespaces", {"metadata": {"name": "a"}})
    for namespace, name in (("b", "x"), ("a", "z"), ("a", "y")):
        await api.create(f"{CORE}/namespaces/{namespace}/configmaps", config_map(name))
    found = (await api.get(f"{CORE}/configmaps")).ok()
    places = [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in found["items"]]
    assert places == [("a", "y"), ("a", "z"), ("b", "x")]
    assert all("kind" not in item and "apiVersion" not in item for item in found["items"])
    assert (await api.get(f"{CORE}/namespaces/a/configmaps")).ok().names == ["y", "z"]


async def test_pages_show_one_moment(api: Api) -> None:
    await fill(api, 10)
    first = (await api.get(f"{MAPS}?limit=4")).ok()
    assert first.names == ["n00", "n01", "n02", "n03"]
    assert first["metadata"]["remainingItemCount"] == 6
    await api.delete(f"{MAPS}/n05")
    await api.create(MAPS, config_map("n04a"))
    await api.patch(f"{MAPS}/n06", {"data": {"x": "changed"}})
    rest = await pages(api, f"{MAPS}?limit=4", first["metadata"]["continue"])
    names = first.names + [name for page in rest for name in page.names]
    assert names == [f"n{number:02}" for number in range(10)]
    assert {page.version for page in rest} == {first.version}
    assert all(not item.get("data") for page in rest for item in page["items"])


async def test_pages_of_a_selection_do_not_count_what_remains(api: Api) -> None:
    await fill(api, 10)
    found = await pages(api, f"{MAPS}?limit=2&labelSelector=n%3D0")
    assert [page.names for page in found] == [["n00", "n03"], ["n06", "n09"]]
    assert all("remainingItemCount" not in page["metadata"] for page in found)


async def test_pages_go_on_after_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, server.session() as session:
        api = Api(session)
        await fill(api, 5)
        first = (await api.get(f"{MAPS}?limit=2")).ok()
        await api.delete(f"{MAPS}/n03")
    async with serving(tmp_path) as server, server.session() as session:
        rest = await pages(Api(session), f"{MAPS}?limit=2", first["metadata"]["continue"])
        assert [name for page in rest for name in page.names] == ["n02", "n03", "n04"]


def token(revision: int, start: str = "default/n01\0") -> str:
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": revision, "start": start})
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


async def test_a_page_of_a_forgotten_moment_offers_to_go_on_without_it(api: Api) -> None:
    await fill(api, 4)
    gone = await api.get(f"{MAPS}?limit=2&continue={token(5)}")
    assert (gone.code, gone.reason) == (410, "Expired")
    assert (await api.get(f"{MAPS}?continue={gone['metadata']['continue']}")).ok().names == ["n02", "n03"]


@pytest.mark.parametrize("text", ["x", "e30", "!!!!", token(5, "no-slash")])
async def test_a_token_that_is_none_is_refused(api: Api, text: str) -> None:
    assert (await api.get(f"{MAPS}?continue={text}")).code == 400


async def test_a_list_of_the_past(api: Api) -> None:
    await fill(api, 2)
    then = (await api.get(MAPS)).ok()
    await api.patch(f"{MAPS}/n00", {"data": {"x": "1"}})
    await api.delete(f"{MAPS}/n01")
    await api.create(MAPS, config_map("n02"))
    exact = (await api.get(f"{MAPS}?resourceVersion={then.version}&resourceVersionMatch=Exact")).ok()
    assert exact == then
    legacy = (await api.get(f"{MAPS}?resourceVersion={then.version}&limit=1")).ok()
    assert (legacy.names, legacy.version) == (["n00"], then.version)
    assert "data" not in legacy["items"][0] or not legacy["items"][0]["data"]
    for query in ("", "?resourceVersion=0", f"?resourceVersion={then.version}"):
        assert (await api.get(MAPS + query)).ok().names == ["n00", "n02"]
    newer = (await api.get(f"{MAPS}?resourceVersion={then.version}&resourceVersionMatch=NotOlderThan")).ok()
    assert int(newer.version) > int(then.version)
    old = await api.get(f"{MAPS}?resourceVersion=5&resourceVersionMatch=Exact")
    assert (old.code, old.reason) == (410, "Expired")


async def test_a_revision_that_does_not_come_is_said_so(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_PATIENCE", 0.1)
    ahead = int((await api.get(MAPS)).ok().version) + 1000
    answer = await api.get(f"{MAPS}?resourceVersion={ahead}")
    assert (answer.code, answer.reason) == (504, "Timeout")
    assert answer.headers["Retry-After"] == "1"
    assert answer["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("labelSelector=n%3D1", ["n01", "n04"]),
        ("labelSelector=n!%3D1,app", ["n00", "n02", "n03"]),
        ("labelSelector=n+in+(0,2),!absent", ["n00", "n02", "n03"]),
        ("labelSelector=n%3E1", ["n02"]),
        ("fieldSelector=metadata.name%3Dn03", ["n03"]),
        ("fieldSelector=metadata.name%3Dabsent", []),
        ("fieldSelector=metadata.name!%3Dn03&labelSelector=n%3D0", ["n00"]),
        ("fieldSelector=metadata.namespace%3Dother", []),
        ("fieldSelector=metadata.namespace%3Ddefault,metadata.name%3Dn01", ["n01"]),
    ],
)
async def test_selectors(api: Api, selector: str, expected: list[str]) -> None:
    await fill(api, 5, app="web")
    assert (await api.get(f"{MAPS}?{selector}")).ok().names == expected
    assert (await api.get(f"{CORE}/configmaps?{selector}")).ok().names == expected


async def test_pods_are_selected_by_their_fields(api: Api) -> None:
    for name in ("a", "b"):
        await api.create(f"{DEFAULT}/pods", pod(name))
    await api.create(f"{DEFAULT}/pods/b/binding", {"target": {"name": "n1"}})
    await api.patch(f"{DEFAULT}/pods/b/status", {"status": {"phase": "Running", "podIP": "127.0.0.9"}})
    for selector, expected in (
        ("spec.nodeName=n1", ["b"]),
        ("spec.nodeName=", ["a"]),
        ("status.phase!=Running", ["a"]),
        ("status.podIP=127.0.0.9", ["b"]),
        ("spec.restartPolicy=Always", ["a", "b"]),
        ("spec.hostNetwork=false", ["a", "b"]),
    ):
        found = await api.get(f"{CORE}/pods?fieldSelector={selector.replace('=', '%3D')}")
        assert found.ok().names == expected, selector


@pytest.mark.parametrize("query", ["", "?watch=true"])
async def test_a_field_nobody_offers_is_refused(api: Api, query: str) -> None:
    separator = "&" if query else "?"
    answer = await api.get(f"{MAPS}{query}{separator}fieldSelector=data.x%3D1")
    assert answer.code == 400
    assert 'only "metadata.name", "metadata.namespace"' in answer.message
