"""Logs through the API, as ``kubectl logs`` asks for them."""

from __future__ import annotations

import asyncio

import pytest

from mizzen.kube.errors import ApiError
from node_world import World, shell

COUNTING = "trap 'exit 0' TERM; i=0; while :; do i=$((i+1)); echo line $i; sleep 0.02; done"


async def test_a_log_is_followed_until_the_container_ends(node: World) -> None:
    await node.run("job", shell("for i in 1 2 3; do echo $i; sleep 0.1; done"), restartPolicy="Never")
    await node.until("job", lambda pod: pod["status"]["phase"] != "Pending")
    assert await node.log("job", follow="true") == "1\n2\n3\n"


async def test_parts_of_a_log(node: World) -> None:
    text = await node.output("job", shell("echo one; echo two; echo three"))
    assert text == "one\ntwo\nthree\n"
    assert await node.log("job", tailLines="1") == "three\n"
    assert await node.log("job", tailLines="0") == ""
    assert await node.log("job", limitBytes="5") == "one\nt"
    assert await node.log("job", sinceSeconds="3600") == text
    assert await node.log("job", sinceTime="2100-01-01T00:00:00Z") == ""
    stamped = await node.log("job", timestamps="true")
    assert [line.split(" ", 1)[1] for line in stamped.splitlines()] == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"tailLines": "-1"}, "tailLines"),
        ({"sinceSeconds": "x"}, "sinceSeconds"),
        ({"sinceTime": "yesterday"}, "sinceTime"),
        ({"sinceTime": "2026-01-01T00:00:00Z", "sinceSeconds": "1"}, "at most one"),
        ({"previous": "true"}, 'previous terminated container "main" in pod "job" not found'),
    ],
)
async def test_what_cannot_be_asked(node: World, query: dict[str, str], said: str) -> None:
    await node.output("job", shell("true"))
    with pytest.raises(ApiError) as caught:
        await node.log("job", **query)
    assert caught.value.code == 400
    assert said in str(caught.value)


async def test_a_reader_that_goes_away(node: World) -> None:
    await node.run("server", shell(COUNTING))
    await node.ready("server")
    async with node.client.logs("server", "default", {"follow": "true"}) as stream:
        async with asyncio.timeout(30):
            assert await stream.readline() == b"line 1\n"
    assert "line 2" in await node.says("server", "line 2")
