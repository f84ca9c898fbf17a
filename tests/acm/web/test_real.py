"""The pages over the runtime itself: what a new user does, with a broker and a participant that does as it is told."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mizzen.acm.runtime.rest.app import app
from mizzen.acm.runtime.rest.serving import serve
from mizzen.acm.runtime.rest.settings import Settings
from mizzen.bus import Broker
from runtime_world import TOPICS, World, failing, obedient

playwright = pytest.importorskip("playwright.async_api")

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
pytestmark = pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no chromium")

TYPE = "org.onap.policy.clamp.acm.KserveAutomationCompositionElement"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with (
        Broker([TOPICS.operation, TOPICS.sync]) as broker,
        World(broker.settings, f"sqlite:///{tmp_path}/acm.db") as world,
    ):
        await world.start()
        yield world


@pytest.fixture
async def url(world: World) -> AsyncIterator[str]:
    ports: asyncio.Queue[int] = asyncio.Queue()
    application = app(world.service, Settings(user="demo", password="secret"))
    task = asyncio.create_task(serve(application, "127.0.0.1", 0, listening=ports.put_nowait))
    yield f"http://127.0.0.1:{await asyncio.wait_for(ports.get(), 30)}"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_from_the_first_page_to_an_empty_one(world: World, url: str) -> None:
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page()
        page.set_default_timeout(30_000)
        troubles: list[str] = []
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: dialog.accept())

        await page.goto(url)
        await page.fill("#user", "demo")
        await page.fill("#password", "secret")
        await page.click("button.main")
        await page.wait_for_selector("text=No participant has registered yet.")
        participant = await world.present(types=[TYPE])
        await page.wait_for_selector("text=No participant has registered yet.", state="detached")

        await page.click("main a.button.main")
        await page.click("text=Fill in the sample")
        await page.click("form.card button.main")
        await page.click("#order-PRIME")
        await page.click("a.button.main:has-text('Make an instance')")
        await page.click("text=Fill in the sample")
        payload = "[name='p/0/kserveInferenceEntities/0/payload']"
        text = await page.input_value(payload)
        await page.fill(payload, text.replace("{{storageUri}}", "s3://models/iris"))
        await page.click("#panel .act button.main")
        await page.wait_for_selector("text=It is not deployed.")

        participant.answer = failing
        await page.click("#order-DEPLOY")
        await page.wait_for_selector("text=Deploying failed.")
        await page.wait_for_selector(".causes dd")
        participant.answer = obedient
        await page.click("#order-DEPLOY")
        await page.wait_for_selector("text=It is deployed and locked")

        await page.click("#order-UPDATE")
        await page.fill("[name='p/0/kserveInferenceEntities/0/namespace']", "elsewhere")
        await page.click("#panel .act button.main")
        await page.wait_for_selector("text=It is deployed and locked")
        await page.click("summary:has-text('Properties')")
        await page.wait_for_selector("pre:has-text('elsewhere')")

        await page.click("text=Messages of this instance")
        await page.click(".log details >> nth=0")
        await page.wait_for_selector(".log pre:has-text('messageType')")
        await page.go_back()

        await page.click("#order-UNDEPLOY")
        await page.wait_for_selector("text=It is not deployed.")
        await page.click("#order-DELETE")
        await page.click("text=To its definition")
        await page.click("#order-DEPRIME")
        await page.click("#order-DELETE:enabled")
        await page.wait_for_selector("text=There is no definition yet")

        await participant.leave()
        await page.click("nav a:has-text('Participants')")
        await page.wait_for_selector("text=No replica is running.")
        assert troubles == []
        await browser.close()


async def test_a_migration_is_watched_to_its_end(world: World, url: str) -> None:
    async with playwright.async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page()
        page.set_default_timeout(30_000)
        await world.present(types=[TYPE])
        await page.goto(url)
        await page.fill("#user", "demo")
        await page.fill("#password", "secret")
        await page.click("button.main")
        homes = []
        for _ in range(2):
            await page.goto(f"{url}/definitions/new?sample=kserve")
            await page.click("form.card button.main")
            await page.click("#order-PRIME")
            await page.wait_for_selector("text=Participants know this definition")
            homes.append(page.url.partition("?")[0])
        await page.goto(f"{homes[0]}/instances/new?sample=kserve")
        payload = "[name='p/0/kserveInferenceEntities/0/payload']"
        await page.fill(payload, (await page.input_value(payload)).replace("{{storageUri}}", "s3://models/iris"))
        await page.click("#panel .act button.main")
        await page.click("#order-DEPLOY")
        await page.wait_for_selector("text=It is deployed and locked")
        before = page.url.partition("?")[0]
        await page.click("#order-MIGRATE")
        await page.click("form.card button.main")
        await page.click("#panel .act button.main")
        await page.wait_for_url(f"{homes[1]}/instances/*")
        await page.wait_for_selector("text=It is deployed and locked")
        await page.goto(before)
        await page.wait_for_selector("text=The instance belongs to this definition now.")
        await page.click("nav a:has-text('Definitions')")
        assert await page.locator("h2 code").count() == 2
        await browser.close()
