"""Watches: nothing lost, nothing doubled, nothing that was not asked for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from api_client import CORE, DEFAULT, TABLE, Api, config_map, pod
from apiserver_fixture import Server, serving
from mizzen.cluster.apiserver import watch

MAPS = f"{DEFAULT}/configmaps"


async def now(api: Api) -> str:
    return (await api.get(MAPS)).ok().version


async def test_a_watch_without_a_version_begins_with_what_is_there(api: Api) -> None:
    await api.create(MAPS, config_map("a"))
    async with api.watch(MAPS) as stream:
        await api.create(MAPS, config_map("b"))
        assert await stream.take(2) == [("ADDED", "a"), ("ADDED", "b")]
    async with api.watch(f"{MAPS}?resourceVersion=0") as stream:
        assert sorted(await stream.take(2)) == [("ADDED", "a"), ("ADDED", "b")]


async def test_a_watch_from_a_list_loses_and_doubles_nothing(api: Api) -> None:
    """Writers go on while lists are taken and watched from; every watcher ends with the same picture."""
    await api.create(MAPS, config_map("n0"))
    done = asyncio.Event()

    async def write(task: int) -> None:
        for step in range(40):
            name = f"n{task}-{step % 4}"
            if step % 5 == 4:
                await api.delete(f"{MAPS}/{name}")
            elif step < 4:
                (await api.create(MAPS, config_map(name, {"step": str(step)}))).ok()
            else:
                await api.apply(f"{MAPS}/{name}", config_map(name, {"step": str(step)}), f"w{task}")

    async def follow() -> dict[str, str]:
        listed = (await api.get(MAPS)).ok()
        known = {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in listed["items"]}
        last = int(listed.version)
        async with api.watch(f"{MAPS}?resourceVersion={listed.version}") as stream:
            while True:
                event = await stream.next()
                metadata = event["object"]["metadata"]
                assert int(metadata["resourceVersion"]) > last
                last = int(metadata["resourceVersion"])
                if event["type"] == "DELETED":
                    assert known.pop(metadata["name"])
                elif metadata["name"] == "end":
                    return known
                else:
                    assert (event["type"] == "ADDED") is (metadata["name"] not in known)
                    known[metadata["name"]] = metadata["resourceVersion"]

    async def watch_often() -> list[dict[str, str]]:
        followers = []
        while not done.is_set():
            followers.append(asyncio.create_task(follow()))
            await asyncio.sleep(0.01)
        return await asyncio.gather(*followers)

    watching = asyncio.create_task(watch_often())
    await asyncio.gather(*(write(task) for task in range(6)))
    done.set()
    final = {
        item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in (await api.get(MAPS)).ok()["items"]
    }
    await asyncio.sleep(0)
    await api.create(MAPS, config_map("end"))
    pictures = await asyncio.wait_for(watching, 30)
    assert len(pictures) > 2
    assert all(picture == final for picture in pictures)


async def test_events_carry_whole_objects_with_their_type(api: Api) -> None:
    version = await now(api)
    made = (await api.create(MAPS, config_map("a", {"x": "1"}))).ok()
    async with api.watch(f"{MAPS}?resourceVersion={version}") as stream:
        assert stream.response.headers["Content-Type"] == "application/json"
        assert await stream.next() == {"type": "ADDED", "object": made}
    async with api.watch(
        f"{MAPS}?resourceVersion={version}", Accept="application/json;stream=watch,application/json"
    ) as stream:
        assert stream.response.headers["Content-Type"] == "application/json;stream=watch"


async def test_a_selector_sees_objects_come_and_go(api: Api) -> None:
    version = await now(api)
    async with api.watch(f"{MAPS}?labelSelector=on%3Dyes&resourceVersion={version}") as stream:
        await api.create(MAPS, config_map("a", {"x": "1"}))
        await api.patch(f"{MAPS}/a", {"metadata": {"labels": {"on": "yes"}}})
        await api.patch(f"{MAPS}/a", {"data": {"x": "2"}})
        changed = (await api.patch(f"{MAPS}/a", {"metadata": {"labels": {"on": "no"}}, "data": {"x": "3"}})).ok()
        await api.patch(f"{MAPS}/a", {"data": {"x": "4"}})
        await api.delete(f"{MAPS}/a")
        await api.create(MAPS, config_map("b", labels={"on": "yes"}))
        events = [await stream.next() for _ in range(4)]
    seen = [(event["type"], event["object"].get("data", {}).get("x")) for event in events]
    assert seen == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2"), ("ADDED", None)]
    assert events[2]["object"]["metadata"]["resourceVersion"] == changed.version


async def test_a_node_hears_of_its_own_pods_alone(api: Api) -> None:
    async with api.watch(f"{CORE}/pods?fieldSelector=spec.nodeName%3Dn1") as stream:
        for name, node in (("a", "n1"), ("b", "n2")):
            await api.create(f"{DEFAULT}/pods", pod(name))
            await api.create(f"{DEFAULT}/pods/{name}/binding", {"target": {"name": node}})
        await api.patch(f"{DEFAULT}/pods/a/status", {"status": {"phase": "Running"}})
        assert await stream.take(2) == [("ADDED", "a"), ("MODIFIED", "a")]
        assert await stream.is_silent()


async def test_namespaces_are_kept_apart(api: Api) -> None:
    await api.create(f"{CORE}/namespaces", {"metadata": {"name": "other"}})
    async with api.watch(f"{CORE}/namespaces/other/configmaps") as stream:
        await api.create(MAPS, config_map("here"))
        await api.create(f"{CORE}/namespaces/other/configmaps", config_map("there"))
        assert await stream.take(1) == [("ADDED", "there")]


async def test_one_object_can_be_watched(api: Api) -> None:
    async with api.watch(f"{MAPS}?fieldSelector=metadata.name%3Da") as stream:
        await api.create(MAPS, config_map("b"))
        await api.create(MAPS, config_map("a"))
        await api.delete(f"{MAPS}/a")
        assert await stream.take(2) == [("ADDED", "a"), ("DELETED", "a")]


@pytest.mark.parametrize("version", ["5", "99999999999999999999"])
async def test_a_version_that_cannot_be_followed_ends_in_an_error(api: Api, version: str) -> None:
    async with api.watch(f"{MAPS}?resourceVersion={version}") as stream:
        assert stream.response.status == 200
        (event,) = await stream.rest()
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")


async def test_a_watch_ends_cleanly_at_its_timeout(api: Api) -> None:
    async with api.watch(f"{MAPS}?timeoutSeconds=1") as stream:
        assert await stream.rest() == []


async def test_bookmarks_come_only_when_they_are_asked_for(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_BOOKMARK_SECONDS", 0.2)
    made = (await api.create(MAPS, config_map("a"))).ok()
    async with api.watch(f"{MAPS}?timeoutSeconds=1&resourceVersion={made.version}") as stream:
        assert await stream.rest() == []
    async with api.watch(f"{MAPS}?allowWatchBookmarks=true&resourceVersion={made.version}") as stream:
        event = await stream.next()
        assert event["type"] == "BOOKMARK"
        assert (event["object"]["kind"], event["object"]["apiVersion"]) == ("ConfigMap", "v1")
        assert event["object"]["metadata"] == {"resourceVersion": made.version, "creationTimestamp": None}
        # What happens elsewhere moves the position of this watch as well.
        other = (await api.create(f"{DEFAULT}/secrets", {"metadata": {"name": "s"}})).ok()
        while event["object"]["metadata"]["resourceVersion"] != other.version:
            event = await stream.next()
            assert event["type"] == "BOOKMARK"


async def test_a_watch_may_begin_with_a_list_of_events(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_PATIENCE", 0.1)
    for name in ("a", "b"):
        await api.create(MAPS, config_map(name))
    version = await now(api)
    query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    async with api.watch(f"{MAPS}?{query}&resourceVersion={version}") as stream:
        assert await stream.take(2) == [("ADDED", "a"), ("ADDED", "b")]
        end = await stream.next()
        assert end["type"] == "BOOKMARK"
        assert end["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert end["object"]["metadata"]["resourceVersion"] == version
        await api.create(MAPS, config_map("c"))
        assert await stream.take(1) == [("ADDED", "c")]
    late = await api.get(f"{MAPS}?watch=true&{query}&resourceVersion={int(version) + 10**6}")
    assert late.code == 504


async def test_tables_are_streamed_with_their_columns_once(api: Api) -> None:
    await api.create(MAPS, config_map("a", {"x": "1"}))
    async with api.watch(MAPS, Accept=TABLE) as stream:
        await api.create(MAPS, config_map("b"))
        first, second = await stream.next(), await stream.next()
    assert [column["name"] for column in first["object"]["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert first["object"]["rows"][0]["cells"][:2] == ["a", 1]
    assert second["object"]["columnDefinitions"] is None
    assert second["object"]["rows"][0]["cells"][:2] == ["b", 0]
    assert second["object"]["rows"][0]["object"]["metadata"]["name"] == "b"
    version = await now(api)
    async with api.watch(f"{MAPS}?resourceVersion={version}", Accept=TABLE) as stream:
        await api.create(MAPS, config_map("c"))
        assert (await stream.next())["object"]["columnDefinitions"]


async def test_metadata_alone_can_be_watched(api: Api) -> None:
    accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    async with api.watch(MAPS, Accept=accept) as stream:
        await api.create(MAPS, config_map("a", {"x": "1"}))
        event = await stream.next()
    assert event["object"]["kind"] == "PartialObjectMetadata"
    assert event["object"]["metadata"]["name"] == "a"
    assert "data" not in event["object"]


async def test_a_watch_goes_on_where_it_was_after_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, server.session() as session:
        api = Api(session)
        version = await now(api)
        await api.create(MAPS, config_map("a", {"x": "1"}))
        await api.patch(f"{MAPS}/a", {"data": {"x": "2"}})
        await api.delete(f"{MAPS}/a")
    async with serving(tmp_path) as server, server.session() as session:
        async with Api(session).watch(f"{MAPS}?resourceVersion={version}") as stream:
            events = [await stream.next() for _ in range(3)]
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED"]
    assert [event["object"]["data"]["x"] for event in events] == ["1", "2", "2"]


async def test_a_server_that_ends_ends_its_streams_cleanly(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        session = server.session()
        api = Api(session)
        (await api.create(MAPS, config_map("a"))).ok()
        opened = api.watch(MAPS)
        stream = await opened.__aenter__()
        assert await stream.take(1) == [("ADDED", "a")]
    # No broken transfer: the chunked body was finished.
    assert await stream.rest() == []
    await opened.__aexit__(None, None, None)
    await session.close()


async def test_a_reader_that_falls_behind_loses_its_stream_and_nothing_else(
    server: Server, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "_QUEUE_BYTES", 300_000)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", int(server.url.rpartition(":")[2]), ssl=server.ssl_context(), limit=1024
    )
    request = f"GET {MAPS}?watch=true HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.token}\r\n\r\n"
    writer.write(request.encode())
    await reader.readuntil(b"\r\n\r\n")
    async with api.watch(MAPS) as quick:
        for number in range(150):
            (await api.create(MAPS, config_map(f"n{number}", {"x": "x" * 100_000}))).ok()
            assert await quick.take(1) == [("ADDED", f"n{number}")]
    received = b""
    async with asyncio.timeout(30):
        while not received.endswith(b"0\r\n\r\n"):
            piece = await reader.read(1 << 20)
            assert piece, "the stream broke off instead of ending"
            received += piece
    writer.close()
    assert len(received) < 150 * 100_000


async def test_a_client_that_goes_away_is_forgotten(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten = asyncio.Event()
    remove = watch.Hub.remove

    def noticed(hub: watch.Hub, watcher: watch.Watcher) -> None:
        remove(hub, watcher)
        forgotten.set()

    monkeypatch.setattr(watch.Hub, "remove", noticed)
    async with api.watch(MAPS):
        assert not forgotten.is_set()
    await asyncio.wait_for(forgotten.wait(), 20)
