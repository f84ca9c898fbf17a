"""A participant that ends at any point: the next one brings the element to where it is to be, and leaves nothing."""

import asyncio
from contextlib import suppress

import pytest

from element_world import element, entity, world
from fake_api import until
from mizzen.acm.participant.kserve.ownership import INSTANCE_LABEL
from mizzen.apis.serving.v1beta1.inferenceservice import INFERENCE_SERVICE


async def cut_off(api, work, requests: int) -> None:
    """Let a participant make so many requests, and end it as if it was killed."""
    start = len(api.relay.requests)
    task = asyncio.create_task(work)
    await until(lambda: task.done() or len(api.relay.requests) - start >= requests)
    api.relay.go()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def ours(api):
    return [
        found["metadata"]["name"] for found in await api.client.list(INFERENCE_SERVICE, label_selector=INSTANCE_LABEL)
    ]


@pytest.mark.parametrize("requests", [1, 2, 3, 4])
async def test_in_the_middle_of_a_deployment(tmp_path, requests):
    async with world(tmp_path) as api, api.kserve():
        asked = element(entity("iris"), entity("wine"))
        async with api.handler() as (handler, _):
            await cut_off(api, handler.deploy(asked), requests)
        api.relay.come_back()
        async with api.handler() as (handler, _):
            assert (await handler.deploy(asked)).message == "Deployed"
            assert await ours(api) == ["iris", "wine"]
            await handler.undeploy(asked)
            assert await ours(api) == []


@pytest.mark.parametrize("requests", [1, 2, 3, 4, 5, 6])
async def test_in_the_middle_of_an_undeployment(tmp_path, requests):
    async with world(tmp_path) as api, api.kserve():
        asked = element(entity("iris"), entity("wine"))
        async with api.handler() as (handler, _):
            await handler.deploy(asked)
            await cut_off(api, handler.undeploy(asked), requests)
        api.relay.come_back()
        async with api.handler() as (handler, _):
            await handler.deployed(asked)
            assert (await handler.undeploy(asked)).message == "Undeployed"
            assert await ours(api) == []


@pytest.mark.parametrize("requests", [1, 2, 3, 4, 5, 6])
async def test_in_the_middle_of_an_update(tmp_path, requests):
    async with world(tmp_path) as api, api.kserve():
        before = element(entity("iris"), entity("wine"))
        after = element(entity("wine"), entity("digits"), like=before)
        async with api.handler() as (handler, _):
            await handler.deploy(before)
            await cut_off(api, handler.update(before, after), requests)
        api.relay.come_back()
        async with api.handler() as (handler, _):
            # What was there before, a participant that starts anew does not know.
            assert (await handler.update(after, after)).message == "Updated"
            assert await ours(api) == ["digits", "wine"]


async def test_two_replicas_at_once(tmp_path):
    """The order was delivered twice: both find the element deployed, and one InferenceService each."""
    async with world(tmp_path) as api, api.kserve(), api.handler() as (one, _), api.handler() as (other, _):
        asked = element(entity("iris"), entity("wine"))
        outcomes = await asyncio.gather(one.deploy(asked), other.deploy(asked))
        assert [outcome.message for outcome in outcomes] == ["Deployed", "Deployed"]
        assert await ours(api) == ["iris", "wine"]
        outcomes = await asyncio.gather(one.undeploy(asked), other.undeploy(asked))
        assert [outcome.message for outcome in outcomes] == ["Undeployed", "Undeployed"]
        assert await ours(api) == []


async def test_an_update_and_an_undeployment_that_race(tmp_path):
    async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, _):
        asked = element(entity("iris"))
        await handler.deploy(asked)
        updating = asyncio.create_task(handler.update(asked, element(entity("iris"), entity("wine"), like=asked)))
        await api.have("wine")
        # The newer order for an element cancels the one that is on the way.
        updating.cancel()
        await asyncio.wait([updating])
        await handler.undeploy(asked)
        assert await ours(api) == []
