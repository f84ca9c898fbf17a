"""kill -9 of every part at every step of deploying and undeploying: it goes on where it was, and nothing is orphaned.

A part that is to die at a certain step is stopped before it (SIGSTOP), so that the step is what the test says it is.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from acm_set import LABEL, AcmSet, another_participant, described, gone
from installed import until
from mizzen.apis.serving.v1beta1.inferenceservice import INFERENCE_SERVICE
from mizzen.kube import config
from mizzen.kube.client import Client

FINALIZER = "example.com/held"


class Story:
    """One instance with one model that is there when the test says so."""

    def __init__(self, acm: AcmSet, definition: str, name: str, model: Path, folder: Path) -> None:
        self.acm = acm
        self.name = name
        self._model = model
        self._place = folder / name
        self.instance = acm.made(definition, described(name, self._place))

    def model_comes(self) -> None:
        """What looks for it already looks again at once."""
        self._place.symlink_to(self._model)
        self.acm.renew(self.name)

    def deployed(self) -> None:
        """As it should be: once, ready, its instance's own, watched over."""
        self.acm.settles(self.instance, "DEPLOYED")
        service = self.acm.service(self.name)
        assert service is not None
        assert service["metadata"]["labels"][LABEL] == self.instance
        until(
            lambda: self.acm.element(self.instance).get("operationalState") == "ENABLED",
            lambda: self.acm.standing(self.instance),
        )
        self.acm.answers(self.name)

    def undeployed(self) -> None:
        self.acm.settles(self.instance, "UNDEPLOYED")
        assert self.acm.service(self.name) is None
        assert self.acm.orphans() == []

    def hold(self) -> None:
        """Whoever deletes the InferenceService has to wait."""
        self._finalizers([FINALIZER])

    def let_go(self) -> None:
        self._finalizers([])

    def _finalizers(self, names: list[str]) -> None:
        async def work() -> None:
            client = Client(config.load(self.acm.mizzen.home / "kubeconfig"))
            try:
                await client.patch(INFERENCE_SERVICE, self.name, "default", {"metadata": {"finalizers": names}})
            finally:
                await client.close()

        asyncio.run(work())

    @property
    def is_deleted(self) -> bool:
        service = self.acm.service(self.name)
        return service is None or "deletionTimestamp" in service["metadata"]

    def end(self) -> None:
        if self.acm.body(self.instance)["deployState"] != "UNDEPLOYED":
            self.acm("undeploy", self.instance, "--wait")
        self.undeployed()
        self.acm("delete", self.instance, "--wait")


@pytest.fixture
def story(acm: AcmSet, definition: str, model: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Story]:
    name = "s" + re.sub(r"[^a-z]+", "-", request.node.name.removeprefix("test_").lower()).strip("-")[:30].strip("-")
    found = Story(acm, definition, name, model, tmp_path)
    yield found
    found.end()


def die(acm: AcmSet, part: str, during: Callable[[], None]) -> None:
    """Have a part stopped while something happens, then killed and started again."""
    before = acm.restarts(part)
    with acm.stopped(part) as pid:
        during()
        os.kill(pid, signal.SIGKILL)
        gone([pid])
    acm.back(part, before)


def test_the_participant_dies_before_it_reads_the_order_to_deploy(acm: AcmSet, story: Story) -> None:
    story.model_comes()
    die(acm, "participant", lambda: acm("deploy", story.instance) and None)
    story.deployed()


def test_the_participant_dies_while_the_model_comes_up(acm: AcmSet, story: Story) -> None:
    acm("deploy", story.instance)
    until(lambda: acm.service(story.name))
    acm.killed_and_back("participant")
    assert acm.body(story.instance)["deployState"] == "DEPLOYING"
    story.model_comes()
    story.deployed()


def test_the_participant_dies_before_it_says_that_the_model_is_there(acm: AcmSet, story: Story) -> None:
    acm("deploy", story.instance)
    until(lambda: acm.service(story.name))

    def during() -> None:
        story.model_comes()
        until(lambda: acm.is_ready(story.name))
        assert acm.body(story.instance)["deployState"] == "DEPLOYING"

    die(acm, "participant", during)
    story.deployed()


def test_the_participant_dies_before_it_reads_the_order_to_undeploy(acm: AcmSet, story: Story) -> None:
    story.model_comes()
    acm("deploy", story.instance, "--wait")
    die(acm, "participant", lambda: acm("undeploy", story.instance) and None)
    story.undeployed()


def test_the_participant_dies_while_the_service_is_held(acm: AcmSet, story: Story) -> None:
    story.model_comes()
    acm("deploy", story.instance, "--wait")
    story.hold()
    acm("undeploy", story.instance)
    until(lambda: story.is_deleted)
    acm.killed_and_back("participant")
    assert acm.body(story.instance)["deployState"] == "UNDEPLOYING"
    story.let_go()
    story.undeployed()


def test_the_participant_dies_before_it_says_that_the_service_has_gone(acm: AcmSet, story: Story) -> None:
    story.model_comes()
    acm("deploy", story.instance, "--wait")
    story.hold()
    acm("undeploy", story.instance)
    until(lambda: story.is_deleted)

    def during() -> None:
        story.let_go()
        until(lambda: acm.service(story.name) is None)
        assert acm.body(story.instance)["deployState"] == "UNDEPLOYING"

    die(acm, "participant", during)
    story.undeployed()


@pytest.mark.parametrize("part", ["runtime", "broker"])
def test_dies_in_the_middle_of_a_deployment(acm: AcmSet, story: Story, part: str) -> None:
    """Once before anybody has read the order, once while it is carried out, once before the answer is taken."""
    with acm.stopped("participant"):
        acm("deploy", story.instance)
        acm.killed_and_back(part)
    until(lambda: acm.service(story.name))
    acm.killed_and_back(part)
    assert acm.body(story.instance)["deployState"] == "DEPLOYING"
    before = acm.restarts(part)
    with acm.stopped(part) as pid:
        story.model_comes()
        until(lambda: acm.is_ready(story.name))
        os.kill(pid, signal.SIGKILL)
    acm.back(part, before)
    story.deployed()


@pytest.mark.parametrize("part", ["runtime", "broker"])
def test_dies_in_the_middle_of_an_undeployment(acm: AcmSet, story: Story, part: str) -> None:
    story.model_comes()
    acm("deploy", story.instance, "--wait")
    story.hold()
    with acm.stopped("participant"):
        acm("undeploy", story.instance)
        acm.killed_and_back(part)
    until(lambda: story.is_deleted)
    before = acm.restarts(part)
    with acm.stopped(part) as pid:
        story.let_go()
        until(lambda: acm.service(story.name) is None)
        os.kill(pid, signal.SIGKILL)
    acm.back(part, before)
    story.undeployed()


def test_all_three_die_at_once(acm: AcmSet, story: Story) -> None:
    acm("deploy", story.instance)
    until(lambda: acm.service(story.name))
    before = {part: acm.restarts(part) for part in acm.state["parts"]}
    for part in before:
        acm.kill(part)
    for part, times in before.items():
        acm.back(part, times)
    story.model_comes()
    story.deployed()


def test_somebody_waits_while_the_runtime_dies(acm: AcmSet, story: Story) -> None:
    """The command goes on where it was, and tells of it."""
    waiting = acm.mizzen.start("acm", "deploy", story.instance, "--wait")
    until(lambda: acm.service(story.name))
    acm.killed_and_back("runtime")
    story.model_comes()
    told, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 0, told
    assert told.rstrip().endswith("DEPLOYED")


@pytest.mark.parametrize("way", ["is told to end", "is killed"])
@pytest.mark.parametrize("order", ["deploy", "undeploy"])
def test_of_two_replicas_the_one_dies_that_is_at_it(acm: AcmSet, story: Story, order: str, way: str) -> None:
    """One that says good-bye is replaced by the other at once; for one that is killed its successor goes on."""
    if order == "undeploy":
        story.model_comes()
        acm("deploy", story.instance, "--wait")
        story.hold()
    with ExitStack() as stack:
        second = stack.enter_context(another_participant(acm))
        acm(order, story.instance)
        until(lambda: acm.service(story.name) and (order == "deploy" or story.is_deleted))
        key = next(iter(acm.body(story.instance)["elements"]))
        carries = re.compile(rf"{order} of element {key} of instance")
        own = (acm.folder / "second.log").read_text
        until(lambda: carries.search(own()) or carries.search(acm.log("participant")))
        number = signal.SIGTERM if way == "is told to end" else signal.SIGKILL
        if carries.search(own()):
            second.send_signal(number)
            second.wait(30)
            if way == "is killed":
                stack.enter_context(another_participant(acm))
        else:
            before = acm.restarts("participant")
            os.kill(acm.pid("participant"), number)
            acm.back("participant", before)
        if order == "deploy":
            story.model_comes()
            story.deployed()
        else:
            story.let_go()
            story.undeployed()


def test_nothing_of_all_this_is_left(acm: AcmSet) -> None:
    """The last of this module: no InferenceService, no instance, no process beside those of the set."""
    assert acm.orphans() == []
    assert json.loads(acm("status", "-o", "json"))["instances"] == []
    parts = {part["pid"] for part in acm.state["parts"].values()} | {acm.state["supervisor"]["pid"]}
    found = {pid for pid, command in acm.mizzen.processes().items() if "mizzen.cli acm" in command}
    assert found <= parts
