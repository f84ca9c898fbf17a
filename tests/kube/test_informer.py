"""The local copy of a kind stays true whatever the API does: late, doubled and lost events, broken streams, 410."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fake_api import FakeApi, client_of, fake_api, refusing, saying, until
from mizzen.apis.core import CONFIG_MAP, NAMESPACE, ConfigMap
from mizzen.apis.meta import LabelSelector, LabelSelectorRequirement
from mizzen.kube import informer as informers
from mizzen.kube.informer import Change, Informer


class Copy:
    """An informer that runs, and the changes it told of."""

    def __init__(self, api: FakeApi, informer: Informer) -> None:
        self.api = api
        self.informer = informer
        self.changes: list[Change] = []
        informer.on_change(self.changes.append)

    @property
    def told(self) -> list[tuple[str, str]]:
        """What happened, as (name, "+", "~" or "-")."""
        return [(c.key[1], "+" if c.old is None else "-" if c.new is None else "~") for c in self.changes]

    @property
    def names(self) -> list[str]:
        keys = self.informer.keys()
        return sorted(name for _, name in keys)

    def data(self, name: str) -> Any:
        found = self.informer.object("default", name)
        return found and found.get("data")

    async def has(self, *names: str) -> None:
        await until(lambda: self.names == sorted(names))


@asynccontextmanager
async def copying(api: FakeApi | None = None, **options: Any) -> AsyncIterator[Copy]:
    if api is None:
        async with fake_api() as found, copying(found, **options) as copy_:
            yield copy_
        return
    async with client_of(api) as client:
        informer = Informer(client, options.pop("resource", CONFIG_MAP), **options)
        found_copy = Copy(api, informer)
        task = asyncio.create_task(informer.run())
        try:
            await asyncio.wait([task, asyncio.create_task(informer.synced.wait())], return_when="FIRST_COMPLETED")
            if task.done():
                await task
            yield found_copy
        finally:
            task.cancel()
            result = (await asyncio.gather(task, return_exceptions=True))[0]
            assert isinstance(result, asyncio.CancelledError), result


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(informers, "_RELIST_PAUSE", 0.005)


async def test_a_list_and_then_changes():
    async with fake_api() as api:
        await api.put(CONFIG_MAP, "a", data={"k": "1"})
        await api.put(CONFIG_MAP, "b")
        async with copying(api) as found:
            assert found.names == ["a", "b"]
            await api.put(CONFIG_MAP, "c")
            await api.put(CONFIG_MAP, "a", data={"k": "2"})
            await api.remove(CONFIG_MAP, "b")
            await found.has("a", "c")
            assert found.told == [("a", "+"), ("b", "+"), ("c", "+"), ("a", "~"), ("b", "-")]
            assert found.data("a") == {"k": "2"}
            assert api.count("GET", watch=False) == 1


async def test_objects_are_typed_or_mappings_of_ones_own():
    async with copying() as found:
        await found.api.put(CONFIG_MAP, "a", data={"k": "1"}, metadata={"managedFields": [{"manager": "m"}]})
        await found.has("a")
        typed = found.informer.get("default", "a", ConfigMap)
        assert typed is not None
        assert (typed.name, typed.namespace, typed.data) == ("a", "default", {"k": "1"})
        mapping = found.informer.object("default", "a")
        assert mapping is not None
        assert (mapping["apiVersion"], mapping["kind"]) == ("v1", "ConfigMap")
        assert "managedFields" not in mapping["metadata"]
        mapping["data"]["k"] = "spoiled"
        assert found.data("a") == {"k": "1"}
        assert found.informer.get("default", "absent", ConfigMap) is None
        assert found.informer.object("default", "absent") is None
        assert found.informer.entry("default", "absent") is None


async def test_a_long_list_comes_in_pages():
    async with fake_api() as api:
        api.page = 3
        for number in range(8):
            await api.put(CONFIG_MAP, f"m{number}")
        async with copying(api) as found:
            assert len(found.names) == 8
            assert [query.get("continue") for _, _, query in api.requests[:3]] == [None, "3", "6"]


async def test_who_comes_later_hears_of_all_that_is_here():
    async with copying() as found:
        await found.api.put(CONFIG_MAP, "a")
        await found.has("a")
        heard: list[Change] = []
        found.informer.on_change(heard.append)
        assert [(c.key, c.old) for c in heard] == [(("default", "a"), None)]
        await found.api.remove(CONFIG_MAP, "a")
        await until(lambda: len(heard) == 2)


async def test_doubled_events_are_told_once():
    async with fake_api() as api:
        api.repeats = 3
        async with copying(api) as found:
            await api.put(CONFIG_MAP, "a")
            await api.put(CONFIG_MAP, "a", data={"k": "1"})
            await api.remove(CONFIG_MAP, "a")
            await api.put(CONFIG_MAP, "b")
            await found.has("b")
            assert found.told == [("a", "+"), ("a", "~"), ("a", "-"), ("b", "+")]


async def test_a_stream_that_breaks_off_is_taken_up_again():
    async with copying() as found:
        await found.api.put(CONFIG_MAP, "a")
        await found.has("a")
        found.api.break_streams()
        await found.api.put(CONFIG_MAP, "b")
        await found.api.remove(CONFIG_MAP, "a")
        await found.has("b")
        assert found.told == [("a", "+"), ("b", "+"), ("a", "-")] or found.told == [("a", "+"), ("a", "-"), ("b", "+")]


async def test_a_stream_whose_time_is_up_goes_on_without_a_new_list():
    async with copying() as found:
        await found.api.put(CONFIG_MAP, "a")
        await found.has("a")
        for name in "bc":
            await found.api.end_streams()
            await found.api.put(CONFIG_MAP, name)
            await until(lambda name=name: name in found.names)
        assert found.api.count("GET", watch=False) == 1
        assert [kind for _, kind in found.told] == ["+"] * 3


async def test_after_a_410_a_new_list_finds_what_came_and_went():
    async with copying() as found:
        await found.api.put(CONFIG_MAP, "stays")
        await found.api.put(CONFIG_MAP, "goes")
        await found.has("goes", "stays")
        found.api.flowing.clear()
        await found.api.remove(CONFIG_MAP, "goes")
        await found.api.put(CONFIG_MAP, "comes")
        await found.api.put(CONFIG_MAP, "stays", data={"k": "2"})
        found.api.forget()
        found.api.history.clear()
        await found.api.end_streams()
        found.api.flowing.set()
        found.api.break_streams()
        await found.has("comes", "stays")
        assert found.data("stays") == {"k": "2"}
        assert found.told.count(("goes", "-")) == 1
        assert found.told.count(("comes", "+")) == 1


async def test_a_410_while_a_watch_goes_on():
    async with fake_api() as api:
        await api.put(CONFIG_MAP, "a")
        async with copying(api) as found:
            await until(lambda: api.watches == 1)
            api.revision += 1
            api.forget()
            await api.end_streams()
            await until(lambda: api.count("GET", watch=False) == 2)
            await api.put(CONFIG_MAP, "b")
            await found.has("a", "b")
            assert found.told == [("a", "+"), ("b", "+")]


async def test_a_bookmark_moves_the_place_to_go_on_from():
    async with copying() as found:
        await found.api.put(CONFIG_MAP, "a")
        await found.has("a")
        await found.api.bookmark(CONFIG_MAP)
        await found.api.put(CONFIG_MAP, "b")
        await found.has("a", "b")
        version = found.api.revision
        await found.api.end_streams()
        await until(lambda: found.api.requests[-1][2].get("resourceVersion") == str(version))
        assert found.told == [("a", "+"), ("b", "+")]


@pytest.mark.parametrize(
    "answer",
    [
        refusing(500, "InternalError"),
        refusing(429, "TooManyRequests"),
        refusing(403, "Forbidden"),
        saying("<html>not an API</html>", content_type="text/html"),
        saying("{"),
        saying(b"", 503),
    ],
)
async def test_an_api_that_does_not_answer_well_is_waited_for(answer):
    async with fake_api() as api:
        await api.put(CONFIG_MAP, "a")
        api.answers = [answer, answer]
        async with copying(api) as found:
            assert found.names == ["a"]
            api.answers = [answer]
            api.break_streams()
            await api.put(CONFIG_MAP, "b")
            await found.has("a", "b")


async def test_a_server_that_ends_every_stream_is_not_asked_in_a_tight_loop(monkeypatch):
    monkeypatch.setattr(informers, "_RELIST_PAUSE", 0.1)
    async with fake_api() as api:
        api.answers = [saying('{"metadata": {"resourceVersion": "1"}, "items": []}'), *[saying(b"")] * 1000]
        async with copying(api):
            await asyncio.sleep(0.3)
            assert api.count("GET", watch=True) < 10


async def test_a_server_that_breaks_every_watch_is_asked_less_and_less():
    async with fake_api() as api:
        empty = saying('{"metadata": {"resourceVersion": "1"}, "items": []}')
        api.answers = [empty, refusing(500, "InternalError")] * 500
        async with copying(api):
            await asyncio.sleep(0.6)
            assert api.count("GET", watch=True) < 12


def answer_to(stored: dict[str, Any], **data: str) -> dict[str, Any]:
    return copy.deepcopy(stored) | ({"data": data} if data else {})


async def test_an_answer_to_a_write_is_seen_before_its_event():
    async with copying() as found:
        found.api.flowing.clear()
        first = await found.api.put(CONFIG_MAP, "a", data={"k": "1"})
        found.informer.accept(first)
        assert found.data("a") == {"k": "1"}
        second = await found.api.put(CONFIG_MAP, "a", data={"k": "2"})
        found.informer.accept(second)
        found.api.flowing.set()
        await found.api.put(CONFIG_MAP, "b")
        await found.has("a", "b")
        assert found.data("a") == {"k": "2"}
        assert found.told == [("a", "+"), ("a", "~"), ("b", "+")], "late events say nothing new"


async def test_an_answer_that_the_watch_has_overtaken_is_dropped():
    async with copying() as found:
        first = await found.api.put(CONFIG_MAP, "a", data={"k": "1"})
        await found.api.put(CONFIG_MAP, "a", data={"k": "2"})
        await until(lambda: found.data("a") == {"k": "2"})
        found.informer.accept(first)
        assert found.data("a") == {"k": "2"}


async def test_an_answer_about_what_was_deleted_meanwhile_does_not_bring_it_back():
    async with copying() as found:
        first = await found.api.put(CONFIG_MAP, "a")
        await found.api.remove(CONFIG_MAP, "a")
        await found.api.put(CONFIG_MAP, "b")
        await found.has("b")
        found.informer.accept(first)
        assert found.names == ["b"]


async def test_not_even_when_the_copy_never_saw_it():
    """Made and deleted while the watch was down: a new list holds no trace of it."""
    async with copying() as found:
        found.api.flowing.clear()
        first = await found.api.put(CONFIG_MAP, "a")
        await found.api.remove(CONFIG_MAP, "a")
        await found.api.put(CONFIG_MAP, "b")
        found.api.history.clear()
        found.api.forget()
        found.api.break_streams()
        found.api.flowing.set()
        await found.has("b")
        found.informer.accept(first)
        assert found.names == ["b"]


async def test_what_is_forgotten_stays_away_until_it_is_made_again():
    async with copying() as found:
        await found.api.put(CONFIG_MAP, "a")
        await found.has("a")
        found.api.flowing.clear()
        last = await found.api.remove(CONFIG_MAP, "a")
        found.informer.forget("default", "a", int(last["metadata"]["resourceVersion"]))
        assert found.names == []
        found.api.flowing.set()
        await found.api.put(CONFIG_MAP, "b")
        await found.has("b")
        await found.api.put(CONFIG_MAP, "a")
        await found.has("a", "b")
        assert found.told == [("a", "+"), ("a", "-"), ("b", "+"), ("a", "+")]


async def test_a_late_deletion_does_not_take_its_successor():
    async with copying() as found:
        await found.api.put(CONFIG_MAP, "a")
        await found.has("a")
        found.api.flowing.clear()
        await found.api.remove(CONFIG_MAP, "a")
        second = await found.api.put(CONFIG_MAP, "a", data={"k": "new"})
        found.informer.accept(second)
        found.api.flowing.set()
        await found.api.put(CONFIG_MAP, "b")
        await found.has("a", "b")
        assert found.data("a") == {"k": "new"}
        assert ("a", "-") not in found.told
        old = next(change.old for change in found.changes if change.old and change.new)
        assert old.uid != second["metadata"]["uid"]


async def test_a_write_during_a_list_is_newer_than_the_list():
    async with fake_api() as api:
        gate = asyncio.Event()

        async def slow(request):
            answer = api._list("configmaps", dict(request.query))
            await gate.wait()
            return answer

        async with client_of(api) as client:
            informer = Informer(client, CONFIG_MAP)
            api.answers = [slow]
            task = asyncio.create_task(informer.run())
            await until(lambda: bool(api.requests))
            stored = await api.put(CONFIG_MAP, "a")
            informer.accept(stored)
            gate.set()
            await informer.synced.wait()
            assert informer.keys() == [("default", "a")]
            await until(lambda: api.watches == 1)
            assert informer.keys() == [("default", "a")]
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def by_team(found: dict[str, Any]) -> list[str]:
    return (found["metadata"].get("labels") or {}).get("teams", "").split("_")


async def test_indexes_follow_every_change():
    async with copying(indexes={"team": by_team}) as found:
        api, informer = found.api, found.informer
        await api.put(CONFIG_MAP, "a", metadata={"labels": {"teams": "x_y"}})
        await api.put(CONFIG_MAP, "b", metadata={"labels": {"teams": "y"}})
        await found.has("a", "b")
        assert informer.by_index("team", "x") == [("default", "a")]
        assert informer.by_index("team", "y") == [("default", "a"), ("default", "b")]
        await api.put(CONFIG_MAP, "a", metadata={"labels": {"teams": "z"}})
        await until(lambda: informer.by_index("team", "z") == [("default", "a")])
        assert informer.by_index("team", "x") == []
        await api.remove(CONFIG_MAP, "b")
        await until(lambda: informer.by_index("team", "y") == [])
        assert informer.by_index("team", "nobody") == []


def reference(uid: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid} | more


async def test_owners_and_uids():
    async with copying() as found:
        owner = await found.api.put(CONFIG_MAP, "owner")
        uid = owner["metadata"]["uid"]
        references = [reference("other"), reference(uid, controller=True)]
        await found.api.put(CONFIG_MAP, "b", metadata={"ownerReferences": references})
        await found.api.put(CONFIG_MAP, "a", metadata={"ownerReferences": references[1:]})
        await found.api.put(CONFIG_MAP, "c", metadata={"ownerReferences": [reference(uid)]})
        await found.has("a", "b", "c", "owner")
        assert [child.name for child in found.informer.owned_by(uid, ConfigMap)] == ["a", "b"]
        assert found.informer.key_of(uid) == ("default", "owner")
        entry = found.informer.entry("default", "b")
        assert entry is not None
        assert entry.controller_uid == uid
        assert entry.owner_uids == ("other", uid)
        await found.api.remove(CONFIG_MAP, "owner")
        await until(lambda: found.informer.key_of(uid) is None)
        again = await found.api.put(CONFIG_MAP, "owner")
        await until(lambda: found.informer.key_of(again["metadata"]["uid"]) == ("default", "owner"))
        assert found.informer.key_of(uid) is None


async def test_selecting_from_the_copy():
    async with copying() as found:
        await found.api.put(CONFIG_MAP, "a", metadata={"labels": {"team": "x"}})
        await found.api.put(CONFIG_MAP, "b", metadata={"labels": {"team": "y"}})
        await found.api.put(CONFIG_MAP, "a", "other", metadata={"labels": {"team": "x"}})
        await until(lambda: len(found.informer.keys()) == 3)
        team = LabelSelector(match_labels={"team": "x"})
        either = LabelSelector(
            match_expressions=[LabelSelectorRequirement(key="team", operator="In", values=["x", "y"])]
        )
        assert sorted(found.informer.keys(selector=team)) == [("default", "a"), ("other", "a")]
        assert found.informer.keys("default", team) == [("default", "a")]
        assert sorted(found.informer.keys("default", either)) == [("default", "a"), ("default", "b")]
        assert [one.namespace for one in found.informer.all(ConfigMap, "other")] == ["other"]


async def test_the_api_is_asked_for_the_selection_alone():
    async with copying(namespace="kserve", label_selector="a=b", field_selector="metadata.name=x") as found:
        await until(lambda: found.api.watches == 1)
        for _, path, query in found.api.requests:
            assert path == "/api/v1/namespaces/kserve/configmaps"
            assert (query["labelSelector"], query["fieldSelector"]) == ("a=b", "metadata.name=x")
        assert found.api.requests[-1][2]["allowWatchBookmarks"] == "true"


async def test_a_kind_without_namespaces():
    async with copying(resource=NAMESPACE) as found:
        await found.api.put(NAMESPACE, "a")
        await until(lambda: found.informer.keys() == [("", "a")])
        assert found.informer.object("", "a") is not None


async def test_one_that_is_about_to_go():
    async with copying() as found:
        await found.api.put(CONFIG_MAP, "a", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
        await found.has("a")
        entry = found.informer.entry("default", "a")
        assert entry is not None
        assert entry.deleting
