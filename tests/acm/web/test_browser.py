"""The pages in Chromium: the whole way by mouse and by keyboard, alive, readable, and with nothing from elsewhere."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acm.web.double import PARTICIPANT, Double
from acm.web.inspecting import faults, open_all, tab_to
from acm.web.running import PASSWORD, USER, Running, running
from mizzen.acm import samples
from mizzen.acm.runtime.service import Refused

playwright = pytest.importorskip("playwright.sync_api")

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
pytestmark = pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="no chromium")

ENTITY = "p/0/kserveInferenceEntities/0/"
# A refused request is told by its page; that Chromium notes it as well is no fault of ours.
_REFUSED = re.compile(r"the server responded with a status of (4\d\d|503)")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def double() -> Double:
    return Double()


@pytest.fixture
def runtime(double: Double) -> Iterator[Running]:
    with running(double) as found:
        yield found


class Desk:
    """A window, and what happened in it that should not."""

    def __init__(self, chromium: Any, runtime: Running, **context: Any) -> None:
        self.context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}} | context)
        self.context.set_default_timeout(20_000)
        self.page = self.context.new_page()
        self.runtime = runtime
        self.troubles: list[str] = []
        self.page.on("console", self._noted)
        self.page.on("pageerror", lambda error: self.troubles.append(f"error: {error}"))
        self.page.on("request", self._asked)
        self.page.on("dialog", lambda dialog: dialog.accept())

    def _noted(self, message: Any) -> None:
        if message.type in ("error", "warning") and not _REFUSED.search(message.text):
            self.troubles.append(f"{message.type}: {message.text}")

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(self.runtime.url):
            self.troubles.append(f"from elsewhere: {request.url}")

    def go(self, path: str) -> None:
        self.page.goto(self.runtime.url + path)

    def sign_in(self) -> None:
        self.go("/sign-in")
        self.page.fill("#user", USER)
        self.page.fill("#password", PASSWORD)
        self.page.click("button.main")
        self.page.wait_for_url(self.runtime.url + "/")

    def sees(self, text: str) -> None:
        self.page.wait_for_selector(f"text={text}")

    def prime(self, double: Double) -> str:
        """A primed definition; its id."""
        self.go("/definitions/new?sample=kserve")
        self.page.click("text=Commission >> nth=-1")
        self.page.click("#order-PRIME")
        self.sees("Priming: 0 of 1 elements done")
        identity = list(double.definitions)[-1]
        self.runtime.call(double.finish, identity)
        self.sees("Participants know this definition")
        return identity

    def instantiate(self, double: Double) -> str:
        """The id of an instance that is there."""
        identity = self.prime(double)
        self.go(f"/definitions/{identity}/instances/new?sample=kserve")
        self.page.click("#panel .act button.main")
        self.sees("The instance was made.")
        [instance] = double.stored
        return instance


@pytest.fixture
def desk(chromium: Any, runtime: Running) -> Iterator[Desk]:
    found = Desk(chromium, runtime)
    yield found
    found.context.close()
    assert found.troubles == []


def test_the_whole_way_by_mouse(desk: Desk, double: Double, runtime: Running) -> None:
    page = desk.page
    desk.sign_in()
    desk.sees("There is no definition yet")
    page.click("main a.button.main")
    page.click("text=Fill in the sample")
    page.click("form.card button.main")
    desk.sees("Next: prime it.")
    page.click("#order-PRIME")
    desk.sees("Priming: 0 of 1 elements done")
    [definition] = double.definitions
    runtime.call(double.finish, definition)
    page.click("a.button.main:has-text('Make an instance')")
    page.fill("#name", "iris")
    page.fill(f"[name='{ENTITY}kserveInferenceEntityId/name']", "entity1")
    page.fill(f"[name='{ENTITY}kserveInferenceEntityId/version']", "1.0.0")
    page.fill(f"[name='{ENTITY}name']", "sklearn-iris")
    page.fill(f"[name='{ENTITY}namespace']", "default")
    page.fill(f"[name='{ENTITY}payload']", '{"kind": "InferenceService"}')
    page.click("#panel .act button.main")
    desk.sees("It is not deployed.")
    [instance] = double.stored
    [element] = double.stored[instance]["elements"].values()
    [entity] = element["properties"]["kserveInferenceEntities"]
    assert entity == {
        "kserveInferenceEntityId": {"name": "entity1", "version": "1.0.0"},
        "name": "sklearn-iris",
        "namespace": "default",
        "payload": '{"kind": "InferenceService"}',
    }
    page.click("#order-DEPLOY")
    desk.sees("Deploying: 0 of 1 elements done")
    assert page.is_disabled("#order-UNDEPLOY")
    assert page.inner_text("#why-UNDEPLOY") == "Wait: deploying."
    runtime.call(double.finish, instance, "http://sklearn-iris.default.example.com")
    desk.sees("It is deployed and locked")
    link = page.get_attribute(".entities a", "href")
    assert link == "http://sklearn-iris.default.example.com"
    page.click("#order-UNDEPLOY")
    desk.sees("Undeploying: 0 of 1")
    runtime.call(double.finish, instance)
    desk.sees("It is not deployed.")
    page.click("#order-DELETE")
    desk.sees("Deleting: 0 of 1")
    runtime.call(double.finish, instance)
    page.click("text=To its definition")
    page.click("#order-DEPRIME")
    desk.sees("Depriming")
    runtime.call(double.finish, definition)
    desk.sees("Next: prime it.")
    page.click("#order-DELETE")
    desk.sees("The definition was deleted.")
    desk.sees("There is no definition yet")


def test_the_whole_way_by_keyboard(desk: Desk, double: Double, runtime: Running) -> None:
    page = desk.page

    def press(selector: str) -> None:
        tab_to(page, selector)
        page.keyboard.press("Enter")

    desk.go("/")
    page.keyboard.type(USER)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    desk.sees("There is no definition yet")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    press("main a.button.main")
    desk.sees("Commission a definition")
    press("a[href$='sample=kserve']")
    page.wait_for_url("**/definitions/new?sample=kserve")
    press("form.card button.main")
    desk.sees("Next: prime it.")
    press("#order-PRIME")
    desk.sees("Priming: 0 of 1")
    [definition] = double.definitions
    runtime.call(double.finish, definition)
    desk.sees("Participants know this definition")
    press("a.button.main[href$='instances/new']")
    desk.sees("Make an instance")
    tab_to(page, "#version")
    page.keyboard.press("Shift+Tab")
    page.keyboard.type("iris")
    for name, value in [
        ("kserveInferenceEntityId/name", "e"),
        ("kserveInferenceEntityId/version", "1.0.0"),
        ("name", "iris"),
        ("namespace", "default"),
        ("payload", "{}"),
    ]:
        tab_to(page, f"[name='{ENTITY}{name}']")
        page.keyboard.type(value)
    press("#panel .act button.main")
    desk.sees("It is not deployed.")
    [instance] = double.stored
    press("#order-DEPLOY")
    desk.sees("Deploying: 0 of 1")
    runtime.call(double.finish, instance)
    desk.sees("It is deployed and locked")
    press("#order-UNDEPLOY")
    desk.sees("Undeploying: 0 of 1")
    runtime.call(double.finish, instance)
    desk.sees("It is not deployed.")
    press("#order-DELETE")
    desk.sees("Deleting")
    runtime.call(double.finish, instance)
    press("a.button.main")
    desk.sees("Participants know this definition")
    press(".out button")
    page.wait_for_url("**/sign-in")


def test_enter_in_a_field_sends_the_form_and_nothing_else(desk: Desk, double: Double) -> None:
    desk.sign_in()
    identity = desk.prime(double)
    desk.go(f"/definitions/{identity}/instances/new?sample=kserve")
    desk.page.press("#description", "Enter")
    desk.sees("The instance was made.")
    [stored] = double.stored.values()
    [element] = stored["elements"].values()
    assert len(element["properties"]["kserveInferenceEntities"]) == 1


def test_what_changes_is_seen_at_once_in_every_window(desk: Desk, double: Double, runtime: Running) -> None:
    desk.sign_in()
    instance = desk.instantiate(double)
    [definition] = double.definitions
    path = f"/definitions/{definition}/instances/{instance}"
    others = []
    for other in ("/", f"/definitions/{definition}", path, "/messages"):
        page = desk.context.new_page()
        page.goto(runtime.url + other)
        others.append(page)
    desk.page.bring_to_front()
    desk.page.click("#order-DEPLOY")
    for page in others[:3]:
        page.wait_for_selector(".state:has-text('deploying')")
    others[3].wait_for_selector("text=AUTOMATION_COMPOSITION_DEPLOY >> nth=-1")
    runtime.call(double.fail, instance, "Deploy Failed: the namespace does not exist")
    for page in [*others[:2], desk.page]:
        page.wait_for_selector(".state:has-text('failed')")
    desk.sees("Deploy Failed: the namespace does not exist")
    desk.page.wait_for_selector("#announce:has-text('Deploying failed.')", state="attached")


def test_what_changed_while_the_page_was_on_its_way_is_seen(desk: Desk, double: Double, runtime: Running) -> None:
    """Between the page and its stream of events there is a gap, into which a quick participant's answer falls."""
    desk.sign_in()
    instance = desk.instantiate(double)
    runtime.call(double.stored[instance].update, {"deployState": "DEPLOYING"})
    desk.page.route("**/events", lambda route: (runtime.call(double.finish, instance), route.continue_()))
    desk.page.reload()
    desk.sees("It is deployed and locked")


def test_who_watches_a_migration_ends_where_the_instance_is(desk: Desk, double: Double, runtime: Running) -> None:
    desk.sign_in()
    instance = desk.instantiate(double)
    [old] = double.definitions
    desk.page.click("#order-DEPLOY")
    desk.sees("Deploying: 0 of 1")
    runtime.call(double.finish, instance)
    desk.sees("It is deployed and locked")
    new = desk.prime(double)
    here = f"/definitions/{old}/instances/{instance}"
    desk.go(here)
    desk.page.click("#order-MIGRATE")
    desk.page.click("form.card button.main")
    desk.page.click("#panel .act button.main")
    desk.sees("Migrating: 0 of 1")
    runtime.call(double.finish, instance)
    there = f"{runtime.url}/definitions/{new}/instances/{instance}?said=moved"
    desk.page.wait_for_url(there)
    desk.sees("It is deployed and locked")
    desk.go(here)
    assert desk.page.url == there
    desk.sees("The instance belongs to this definition now.")


def test_what_is_refused_is_shown_and_stays(desk: Desk, double: Double, runtime: Running) -> None:
    desk.sign_in()
    instance = desk.instantiate(double)
    runtime.call(double.go_offline)
    desk.sees("orders are refused until it is back")
    desk.page.click("#order-DEPLOY")
    desk.sees(f"Participant {PARTICIPANT} is offline")
    runtime.call(double.tell, "instance", instance)
    runtime.call(double.go_online)
    desk.page.wait_for_selector("text=orders are refused", state="detached")
    assert desk.page.is_visible(".notice.bad")
    desk.page.click("#order-DEPLOY")
    desk.sees("Deploying: 0 of 1")
    desk.page.wait_for_selector(".notice.bad", state="detached")
    runtime.call(double.time_out, instance)
    desk.sees("Deploying timed out.")
    desk.sees("See under Participants whether all are online.")


def test_a_page_survives_what_goes_wrong_behind_it(desk: Desk, double: Double, runtime: Running) -> None:
    desk.sign_in()
    instance = desk.instantiate(double)
    page = desk.page
    page.evaluate("document.querySelectorAll('#panel [name=_token]').forEach((one) => { one.value = 'stale'; })")
    page.click("#order-DEPLOY")
    desk.sees("That form was not one of this session.")
    assert page.is_visible("#order-DEPLOY")

    def away(*_: Any) -> None:
        raise Refused(503, "The database does not answer")

    there = double.instances._get
    double.instances._get = away  # type: ignore[method-assign]
    runtime.call(double.tell, "instance", instance)
    desk.sees("what is shown may be old")
    assert page.is_visible("#order-DEPLOY")
    double.instances._get = there  # type: ignore[method-assign]
    page.wait_for_selector("#line", state="hidden")
    page.click("#order-DEPLOY")
    desk.sees("Deploying: 0 of 1")
    page.wait_for_selector(".notice.bad", state="detached")


def test_what_is_open_stays_open(desk: Desk, double: Double, runtime: Running) -> None:
    desk.sign_in()
    instance = desk.instantiate(double)
    desk.page.click("summary:has-text('Properties')")
    assert desk.page.is_visible("text=storageUri")
    desk.page.focus("#order-DELETE")
    desk.page.evaluate("document.querySelector('#panel').dataset.old = 'yes'")
    runtime.call(double.tell, "instance", instance)
    desk.page.wait_for_selector("#panel:not([data-old]) >> text=storageUri")
    desk.page.wait_for_selector("#order-DELETE:focus")


def test_a_runtime_that_is_away_is_told_and_found_again(chromium: Any) -> None:
    double = Double()
    with running(double) as first:
        desk = Desk(chromium, first)
        desk.sign_in()
        desk.go("/participants")
        desk.sees(PARTICIPANT)
    desk.page.wait_for_selector("#line:visible")
    desk.context.close()


def test_a_session_that_is_over_leads_to_the_door(desk: Desk, double: Double, runtime: Running) -> None:
    desk.sign_in()
    desk.go("/participants")
    desk.context.clear_cookies()
    runtime.call(double.go_offline)
    desk.page.wait_for_url("**/sign-in")


def test_lists_grow_and_shrink_and_json_is_looked_at(desk: Desk, double: Double) -> None:
    page = desk.page
    desk.sign_in()
    identity = desk.prime(double)
    desk.go(f"/definitions/{identity}/instances/new")
    page.fill(f"[name='{ENTITY}name']", "kept")
    page.click("button.add")
    second = "p/0/kserveInferenceEntities/1/kserveInferenceEntityId/name"
    page.wait_for_selector(f"[name='{second}']")
    page.wait_for_selector(f"[name='{second}']:focus")
    assert page.input_value(f"[name='{ENTITY}name']") == "kept"
    page.click("button[aria-label='Remove entry 1 of kserveInferenceEntities']")
    page.wait_for_selector(f"[name='{second}']", state="detached")
    assert page.input_value(f"[name='{ENTITY}name']") == ""
    page.wait_for_selector("button.add:focus")
    payload = f"[name='{ENTITY}payload']"
    page.fill(payload, '{"a": ')
    desk.sees("This is no JSON yet")
    page.fill(payload, '{"a": 1}')
    page.wait_for_selector("text=This is no JSON yet", state="detached")


def test_a_line_that_is_wrong_is_found_in_the_text(desk: Desk, tmp_path: Path) -> None:
    text = samples.kserve_composition().replace("type: string", "type: String", 1)
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    page = desk.page
    desk.sign_in()
    desk.go("/definitions/new")
    page.set_input_files("#file", file)
    desk.sees("wrong.yaml is in the text below.")
    assert page.input_value("#document") == text
    page.click("form.card button.main")
    desk.sees("the data type String is not defined")
    assert page.evaluate("document.activeElement.id") == "notice"
    page.click("a.at")
    chosen = page.evaluate(
        "() => { const a = document.activeElement; return a.value.slice(a.selectionStart, a.selectionEnd); }"
    )
    assert chosen == "        type: String"


def test_a_message_is_opened_and_the_log_holds_still(desk: Desk, double: Double, runtime: Running) -> None:
    desk.sign_in()
    runtime.call(double.record, "in", "PARTICIPANT_STATUS", "ignored: <b>why</b>", {"state": "ON_LINE"})
    desk.go("/messages")
    desk.sees("ignored: <b>why</b>")
    desk.page.click(".log summary")
    desk.page.wait_for_selector(".log pre:has-text('ON_LINE')")
    runtime.call(double.record, "out", "PARTICIPANT_SYNC_MSG", "sent", {})
    desk.page.wait_for_timeout(400)
    assert desk.page.is_visible(".log pre:has-text('ON_LINE')")
    desk.page.click(".log summary")
    runtime.call(double.record, "out", "PARTICIPANT_PRIME", "sent", {})
    desk.page.wait_for_selector(".log .type:has-text('PARTICIPANT_PRIME')")
    desk.page.select_option("#type", "PARTICIPANT_SYNC_MSG")
    desk.page.wait_for_selector(".log .type:has-text('PARTICIPANT_PRIME')", state="detached")
    assert "type=PARTICIPANT_SYNC_MSG" in desk.page.url


def test_evil_texts_do_nothing(desk: Desk, double: Double, runtime: Running) -> None:
    evil = "<img src=x onerror=\"window.hurt='yes'\"><script>window.hurt='yes'</script>"
    desk.sign_in()
    instance = desk.instantiate(double)
    stored = double.stored[instance]
    stored |= {"name": evil, "description": evil}
    for element in stored["elements"].values():
        element |= {"message": evil, "outProperties": {"url": "javascript:window.hurt='yes'", evil: evil}}
    runtime.call(double.record, "in", evil, evil, {evil: evil})
    [definition] = double.definitions
    for path in (f"/definitions/{definition}/instances/{instance}", "/", "/messages"):
        desk.go(path)
        desk.page.wait_for_selector("text=onerror >> nth=0")
        assert desk.page.evaluate("window.hurt") is None
    runtime.call(double.tell, "message", "1")
    desk.page.wait_for_timeout(300)
    assert desk.page.evaluate("window.hurt") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_is_fit_to_be_used(chromium: Any, runtime: Running, double: Double, scheme: str, width: int) -> None:
    desk = Desk(chromium, runtime, color_scheme=scheme, viewport={"width": width, "height": 800})
    page = desk.page
    found: dict[str, list[str]] = {}

    def look(name: str) -> None:
        found[name] = faults(page)

    desk.go("/sign-in")
    look("sign in")
    page.fill("#user", USER)
    page.fill("#password", "wrong")
    page.click("button.main")
    look("not signed in")
    desk.sign_in()
    look("nothing yet")
    desk.go("/messages")
    look("no messages")
    desk.go("/definitions/new")
    page.fill("#document", samples.kserve_composition().replace("type: string", "type: String"))
    page.click("form.card button.main")
    desk.sees("is not defined")
    look("errors beside lines")
    instance = desk.instantiate(double)
    look("an instance")
    [definition] = double.definitions
    here = f"/definitions/{definition}/instances/{instance}"
    page.click("#order-DEPLOY")
    desk.sees("Deploying: 0 of 1")
    look("under way")
    runtime.call(double.fail, instance, "Deploy Failed: " + "a-very-long-name." * 14)
    desk.sees("Deploying failed.")
    look("failed")
    runtime.call(double.go_offline)
    page.click("#order-DEPLOY")
    desk.sees("is offline: nothing has been heard")
    look("refused")
    for path in ("/", f"/definitions/{definition}", "/participants", "/messages"):
        desk.go(path)
        open_all(page, "main")
        look(path.replace(definition, "ID"))
    desk.go(f"/definitions/{definition}/instances/new")
    open_all(page, "main #panel")
    page.fill("[name='p/0/deployTimeoutMs']", "soon")
    page.click("#panel .act button.main")
    desk.sees("It was not sent yet.")
    open_all(page, "main")
    look("a form with errors")
    runtime.call(double.finish, instance)
    [element] = double.stored[instance]["elements"].values()
    element |= {"operationalState": "DISABLED", "outProperties": {"reason": "a-very-long-name." * 14}}
    for path in ("/", f"/definitions/{definition}"):
        desk.go(path)
        desk.sees("deployed, not working")
        look(f"{path.replace(definition, 'ID')} with what does not work")
    desk.go(f"{here}/migrate")
    look("nowhere to migrate to")
    desk.go("/nothing")
    look("nothing here")
    desk.context.close()
    context = chromium.new_context(
        color_scheme=scheme,
        viewport={"width": width, "height": 800},
        http_credentials={"username": USER, "password": PASSWORD},
    )
    page = context.new_page()
    page.goto(f"{runtime.url}/onap/policy/clamp/acm/swagger-ui/index.html")
    for summary in page.query_selector_all("main summary"):
        summary.click()
    found["api"] = faults(page)
    context.close()
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
    assert desk.troubles == []
