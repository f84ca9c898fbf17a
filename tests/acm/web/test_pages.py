"""The pages without a browser: they work without scripts, let nobody in, and show what goes wrong."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
import yaml

from acm.web.double import PARTICIPANT, Double
from acm.web.visiting import PASSWORD, USER, Form, Page, Visitor
from mizzen.acm import samples

NOBODY = "5eed0001-0000-4000-8000-00000000dead"

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'"
ENTITY = "p/0/kserveInferenceEntities/0/"


async def commissioned(visitor: Visitor, text: str | None = None) -> str:
    page = await visitor.get("/definitions/new")
    await visitor.send(page.forms[-1], document=text or samples.kserve_composition())
    assert visitor.answer.status_code == 200, visitor.page.text
    return visitor.answer.url.path


async def primed(visitor: Visitor, double: Double) -> str:
    path = await commissioned(visitor)
    await visitor.send(visitor.page.form("PRIME"), "PRIME")
    double.finish(path.rpartition("/")[2])
    return path


async def instantiated(visitor: Visitor, double: Double, **values: str) -> str:
    path = await primed(visitor, double)
    page = await visitor.get(f"{path}/instances/new?sample=kserve")
    await visitor.send(form_of(page), **values)
    assert visitor.answer.status_code == 200, visitor.page.text
    return visitor.answer.url.path


def form_of(page: Page) -> Form:
    return next(form for form in page.forms if form.id == "panel")


async def test_the_whole_way_without_scripts() -> None:
    double = Double()
    async with Visitor(double) as visitor:
        page = await visitor.sign_in()
        assert "There is no definition yet" in page.text
        path = await instantiated(visitor, double)
        assert "The instance was made." in visitor.page.text
        assert "It is not deployed. Next: deploy it." in visitor.page.text
        identity = path.rpartition("/")[2]

        page = await visitor.send(visitor.page.form("DEPLOY"), "DEPLOY")
        assert "Deploying: 0 of 1 elements done." in page.text
        double.finish(identity, "http://iris.default.example.com:8080/v1")
        page = await visitor.get(path)
        assert "http://iris.default.example.com:8080/v1" in page.links
        assert "It is deployed and locked" in page.text
        await visitor.send(page.form("UNDEPLOY"), "UNDEPLOY")
        double.finish(identity)
        page = await visitor.get(path)
        await visitor.send(page.form("DELETE"), "DELETE")
        double.finish(identity)
        page = await visitor.get(path)
        assert (visitor.answer.status_code, "It is not there any more" in page.text) == (404, True)

        definition = path.partition("/instances")[0]
        page = await visitor.get(definition)
        await visitor.send(page.form("DEPRIME"), "DEPRIME")
        double.finish(definition.rpartition("/")[2])
        page = await visitor.get(definition)
        page = await visitor.send(page.form("DELETE"), "DELETE")
        assert "The definition was deleted." in page.text
        assert double.definitions == {}


async def test_nobody_comes_in_without_signing_in() -> None:
    double = Double()
    async with Visitor(double) as visitor:
        for path in ("/", "/definitions/new", "/participants", "/messages", f"/definitions/{uuid4()}"):
            page = await visitor.get(path)
            assert visitor.answer.url.path == "/sign-in"
            assert "Sign in" in page.text
        assert (await visitor.client.get("/events", headers={"Accept": "text/event-stream"})).status_code == 401
        answer = await visitor.client.get("/participants", headers={"HX-Request": "true"})
        assert (answer.status_code, answer.headers["HX-Redirect"]) == (401, "/sign-in")
        answer = await visitor.client.post("/participants", data={"order": "status"})
        assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in")
        assert double.asked == []


async def test_a_password_that_is_wrong() -> None:
    async with Visitor(Double()) as visitor:
        page = await visitor.get("/sign-in")
        page = await visitor.send(page.forms[0], user=USER, password="guess")
        assert visitor.answer.status_code == 401
        assert "The user or the password is not right." in page.text
        assert "guess" not in visitor.answer.text
        assert (await visitor.client.get("/")).status_code == 303


async def test_after_signing_in_one_is_where_one_wanted_to_be() -> None:
    async with Visitor(Double()) as visitor:
        page = await visitor.get("/messages?type=PARTICIPANT_STATUS")
        await visitor.send(page.forms[0], user=USER, password=PASSWORD)
        assert str(visitor.answer.url) == "http://runtime/messages?type=PARTICIPANT_STATUS"


@pytest.mark.parametrize(
    "target",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nX: y", "evil"],
)
async def test_signing_in_leads_nowhere_else(target: str) -> None:
    async with Visitor(Double()) as visitor:
        page = await visitor.get("/sign-in")
        form = page.forms[0]
        values = form.values | {"user": USER, "password": PASSWORD, "next": target}
        answer = await visitor.client.post("/sign-in", data=values)
        assert (answer.status_code, answer.headers["Location"]) == (303, "/")


async def test_the_cookie() -> None:
    async with Visitor(Double()) as visitor:
        page = await visitor.get("/sign-in")
        values = page.forms[0].values | {"user": USER, "password": PASSWORD}
        answer = await visitor.client.post("/sign-in", data=values)
        [cookie] = [one for one in answer.headers.get_list("Set-Cookie") if "_door=" not in one]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert PASSWORD not in cookie


async def test_who_signs_out_is_out_even_with_the_cookie() -> None:
    async with Visitor(Double()) as visitor:
        await visitor.sign_in()
        [(name, kept)] = visitor.client.cookies.items()
        out = next(form for form in visitor.page.forms if form.action.endswith("/sign-out"))
        await visitor.send(out)
        assert visitor.answer.url.path == "/sign-in"
        visitor.client.cookies.set(name, kept)
        assert (await visitor.client.get("/")).status_code == 303


ORDERS = [
    ("/participants", {"order": "status"}),
    ("/definitions/new", {"document": samples.kserve_composition()}),
    ("{definition}", {"order": "DEPRIME"}),
    ("{definition}", {"order": "DELETE"}),
    ("{definition}/instances/new", {"name": "x", "version": "1.0.0"}),
    ("{instance}", {"order": "DEPLOY"}),
    ("{instance}", {"order": "DELETE"}),
    ("{instance}/change", {"name": "x", "version": "1.0.0"}),
    ("{instance}/migrate", {"name": "x", "version": "1.0.0"}),
    ("/sign-out", {}),
]


@pytest.mark.parametrize(("path", "values"), ORDERS, ids=[f"{path} {list(values)[:1]}" for path, values in ORDERS])
@pytest.mark.parametrize("token", [None, "", "wrong", "another session's"])
async def test_no_form_works_without_its_token(path: str, values: dict[str, str], token: str | None) -> None:
    double = Double()
    async with Visitor(double) as visitor, Visitor(double) as other:
        await visitor.sign_in()
        await other.sign_in()
        instance = await instantiated(visitor, double)
        if token == "another session's":
            page = await other.get("/participants")
            token = page.forms[0].values["_token"]
        before = json.dumps([double.definitions, double.stored, double.asked], default=str)
        path = path.format(instance=instance, definition=instance.partition("/instances")[0])
        sent = values | ({"_token": token} if token is not None else {})
        page = await visitor.post(path, sent)
        assert visitor.answer.status_code == 403
        assert "That form was not one of this session." in page.text
        assert json.dumps([double.definitions, double.stored, double.asked], default=str) == before
        assert (await visitor.client.get("/")).status_code == 200, "still signed in"


async def test_signing_in_needs_the_token_of_its_form() -> None:
    async with Visitor(Double()) as visitor:
        for values in ({}, {"_token": "x"}):
            await visitor.post("/sign-in", {"user": USER, "password": PASSWORD, **values})
            assert visitor.answer.status_code == 403
        assert (await visitor.client.get("/")).status_code == 303


async def test_every_form_has_its_token() -> None:
    double = Double()
    async with Visitor(double) as visitor:
        await visitor.sign_in()
        instance = await instantiated(visitor, double)
        definition = instance.partition("/instances")[0]
        paths = ["/", "/participants", "/messages", "/definitions/new", definition, f"{definition}/instances/new"]
        for path in [*paths, instance, f"{instance}/change", f"{instance}/migrate"]:
            page = await visitor.get(path)
            assert visitor.answer.status_code == 200, path
            for form in page.forms:
                assert form.method == "get" or form.values.get("_token"), path


async def test_pages_carry_no_script_of_others() -> None:
    """Names, versions, descriptions, messages and addresses are their authors'; none of them becomes HTML."""
    double = Double()
    async with Visitor(double) as visitor:
        await visitor.sign_in()
        template = yaml.safe_load(samples.kserve_composition())
        nodes = template["topology_template"]["node_templates"]
        for node in nodes.values():
            node["description"] = EVIL
        fields = template["node_types"]["org.onap.policy.clamp.acm.KserveAutomationCompositionElement"]["properties"]
        fields["payload"]["description"] = EVIL
        fields["extra"] = {"type": "string", "required": False, "default": EVIL}
        path = await commissioned(visitor, json.dumps(template))
        await visitor.send(visitor.page.form("PRIME"), "PRIME")
        double.fail(path.rpartition("/")[2], EVIL)
        pages = [await visitor.get(path)]
        double.finish(path.rpartition("/")[2])
        pages.append(await visitor.get(f"{path}/instances/new?sample=kserve"))
        bad = await visitor.send(form_of(visitor.page), name=EVIL, **{f"{ENTITY}payload": EVIL, "o/0": EVIL})
        assert visitor.answer.status_code == 400
        pages.append(bad)
        await visitor.send(form_of(bad), name="x", **{"o/0": json.dumps({"evil": EVIL}), "description": EVIL})
        here = visitor.answer.url.path
        [identity] = double.stored
        double.stored[identity]["name"] = EVIL
        await visitor.send(visitor.page.form("DEPLOY"), "DEPLOY")
        double.finish(identity, "javascript:alert(3)")
        element = next(iter(double.stored[identity]["elements"].values()))
        element |= {"message": EVIL, "operationalState": EVIL, "outProperties": {"x": EVIL, EVIL: {"y": [EVIL]}}}
        double.record("in", EVIL, EVIL, {"x": EVIL}, instance=EVIL)
        pages += [await visitor.get(one) for one in (here, f"{here}/change", "/", path, "/messages", "/participants")]
        pages.append(await visitor.get(f"/messages/{double.log[-1].number}"))
        pages.append(await visitor.get(f"/messages?type={EVIL}&instance={EVIL}"))
        pages.append(await visitor.get(f"/messages/{EVIL}"))
        broken = await visitor.get("/definitions/new")
        pages.append(await visitor.send(broken.forms[-1], document=f"a: [{EVIL}\n{EVIL}"))
    for page in pages:
        assert page.scripts == ["/static/htmx.min.js", "/static/acm.js"]
        assert page.handlers == []
        assert "img" not in page.tags
        assert not [link for link in page.links if link.startswith("javascript")]
    assert sum("<script>alert(1)</script>" in page.text for page in pages) > 8, "it is shown, as text"


async def test_the_policy_allows_only_our_own_files() -> None:
    async with Visitor(Double()) as visitor:
        await visitor.sign_in()
        policy = visitor.answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert visitor.answer.headers["Cache-Control"] == "no-store"
        for file, kind in [
            ("htmx.min.js", "javascript"),
            ("acm.js", "javascript"),
            ("acm.css", "css"),
            ("icon.svg", "svg"),
        ]:
            answer = await visitor.client.get(f"/static/{file}")
            assert answer.status_code == 200
            assert kind in answer.headers["Content-Type"]


async def test_errors_stand_beside_their_lines() -> None:
    text = samples.kserve_composition().replace("type: string", "type: String", 1)
    line = text.splitlines().index("        type: String") + 1
    async with Visitor(Double()) as visitor:
        await visitor.sign_in()
        page = await visitor.get("/definitions/new")
        page = await visitor.send(page.forms[-1], document=text)
        assert visitor.answer.status_code == 400
        assert f'id="line-{line}"' in visitor.answer.text
        assert f"#line-{line}" in page.links
        assert "the data type String is not defined" in page.text
        assert "did you mean string?" in page.text
        assert page.forms[-1].values["document"] == text, "what was sent can be corrected"


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("", "There is nothing to commission."),
        ("a: [", "line"),
        ("- a", "a list"),
        ('{"a": }', "line"),
        ("node_types: {}", "topology_template"),
        ("a: &a [x]\n" + "".join(f"b{at}: &b{at} [*{'a' if not at else f'b{at - 1}'}, *a]\n" for at in range(60)), ""),
    ],
)
async def test_what_cannot_be_commissioned_is_said(document: str, said: str) -> None:
    async with Visitor(Double()) as visitor:
        await visitor.sign_in()
        page = await visitor.get("/definitions/new")
        page = await visitor.send(page.forms[-1], document=document)
        assert visitor.answer.status_code in (400, 500)
        assert said in page.text


async def test_a_file_is_taken_as_well() -> None:
    double = Double()
    async with Visitor(double) as visitor:
        await visitor.sign_in()
        page = await visitor.get("/definitions/new")
        token = page.forms[-1].values["_token"]
        files = {"file": ("sample.yaml", samples.kserve_composition().encode(), "application/yaml")}
        answer = await visitor.client.post("/definitions/new", data={"_token": token, "document": ""}, files=files)
        assert answer.status_code == 303
        assert len(double.definitions) == 1
        files = {"file": ("bad.yaml", b"a: [", "application/yaml")}
        answer = await visitor.client.post("/definitions/new", data={"_token": token, "document": ""}, files=files)
        assert answer.status_code == 400
        assert "a: [" in answer.text


async def test_what_is_too_large_is_refused_before_it_is_read() -> None:
    async with Visitor(Double(), body_limit=20_000) as visitor:
        await visitor.sign_in()
        page = await visitor.get("/definitions/new")
        await visitor.send(page.forms[-1], document="#" * 20_001)
        assert visitor.answer.status_code == 413
        await visitor.post("/definitions/new", {"document": "#" * 100_000})
        assert visitor.answer.status_code == 413


async def test_a_refused_order_is_told_where_one_looks() -> None:
    double = Double()
    async with Visitor(double) as visitor:
        await visitor.sign_in()
        path = await instantiated(visitor, double)
        form = visitor.page.form("DEPLOY")
        double.go_offline()
        page = await visitor.send(form, "DEPLOY")
        assert visitor.answer.status_code == 409
        assert f"Participant {PARTICIPANT} is offline" in page.text
        assert "orders are refused until it is back" in page.text
        double.go_online()
        # An operator presses deploy twice.
        await visitor.send(form, "DEPLOY")
        page = await visitor.send(form, "DEPLOY")
        assert visitor.answer.status_code == 400
        assert "The instance does not take that order now: it is deploying." in page.text
        identity = path.rpartition("/")[2]
        double.fail(identity, "Deploy Failed: no such namespace: kserve-test")
        page = await visitor.get(path)
        assert "Deploying failed." in page.text
        assert "Deploy Failed: no such namespace: kserve-test" in page.text
        double.time_out(identity)
        page = await visitor.get(path)
        assert "Deploying timed out. Not every participant has answered in time." in page.text
        double.go_offline()
        page = await visitor.get(path)
        assert "Deploying timed out. A participant is offline." in page.text


async def test_htmx_gets_the_part_and_the_notice() -> None:
    double = Double()
    async with Visitor(double) as visitor:
        await visitor.sign_in()
        path = await instantiated(visitor, double)
        token = visitor.page.form("DEPLOY").values["_token"]
        await visitor.get(path, **{"HX-Request": "true"})
        assert visitor.answer.text.lstrip().startswith('<div id="panel"')
        assert "hx-swap-oob" not in visitor.answer.text, "a notice stays until the next order"
        double.go_offline()
        await visitor.post(path, {"_token": token, "order": "DEPLOY"}, **{"HX-Request": "true"})
        assert visitor.answer.status_code == 409
        assert 'id="notice" tabindex="-1" hx-swap-oob="true" role="alert"' in visitor.answer.text
        await visitor.post(path, {"_token": "stale", "order": "DEPLOY"}, **{"HX-Request": "true"})
        assert visitor.answer.status_code == 403
        assert 'id="notice"' in visitor.answer.text
        assert visitor.answer.headers["HX-Reswap"] == "none"
        answer = await visitor.client.get(f"/definitions/{uuid4()}", headers={"HX-Request": "true"})
        assert (answer.status_code, answer.headers["HX-Redirect"]) == (204, "/")


async def test_two_runtimes_on_one_host_have_cookies_of_their_own() -> None:
    """Browsers tell hosts apart, and not ports."""
    async with Visitor(Double()) as one, Visitor(Double(), password="another") as other:
        await one.sign_in()
        page = await other.get("/sign-in")
        await other.send(page.forms[0], user=USER, password="another")
        assert not set(one.client.cookies) & set(other.client.cookies)


async def test_a_form_is_corrected_where_it_is_wrong() -> None:
    double = Double()
    async with Visitor(double) as visitor:
        await visitor.sign_in()
        path = await primed(visitor, double)
        page = await visitor.get(f"{path}/instances/new")
        wrong = {f"{ENTITY}name": "iris", "p/0/deployTimeoutMs": "soon"}
        page = await visitor.send(form_of(page), **wrong)
        assert visitor.answer.status_code == 400
        assert "This is no whole number." in page.text
        assert "A value is needed." in page.text
        assert form_of(page).values[f"{ENTITY}name"] == "iris"
        assert double.stored == {}


async def test_entries_are_added_without_scripts() -> None:
    double = Double()
    async with Visitor(double) as visitor:
        await visitor.sign_in()
        path = await primed(visitor, double)
        page = await visitor.get(f"{path}/instances/new?sample=kserve")
        page = await visitor.send(form_of(page), "add 0/kserveInferenceEntities")
        values = form_of(page).values
        assert values[f"{ENTITY}name"] == "iris"
        assert values["p/0/kserveInferenceEntities/1/name"] == ""
        page = await visitor.send(form_of(page), "remove 0/kserveInferenceEntities 0")
        assert form_of(page).values[f"{ENTITY}name"] == ""
        assert double.stored == {}


async def test_an_instance_is_changed_in_its_form() -> None:
    double = Double()
    async with Visitor(double) as visitor:
        await visitor.sign_in()
        path = await instantiated(visitor, double)
        page = await visitor.get(f"{path}/change")
        await visitor.send(form_of(page), **{f"{ENTITY}namespace": "elsewhere"})
        assert "The change was saved." in visitor.page.text
        [stored] = double.stored.values()
        [element] = stored["elements"].values()
        assert element["properties"]["kserveInferenceEntities"][0]["namespace"] == "elsewhere"
        assert len(stored["elements"]) == 1
        await visitor.send(visitor.page.form("DEPLOY"), "DEPLOY")
        double.finish(stored["instanceId"])
        page = await visitor.get(f"{path}/change")
        page = await visitor.send(form_of(page), **{f"{ENTITY}namespace": "third"})
        assert "The change was ordered." in page.text
        assert stored["deployState"] == "UPDATING"
        double.fail(stored["instanceId"], "no")
        page = await visitor.get(path)
        await visitor.send(page.form("ROLLBACK"), "ROLLBACK")
        assert stored["deployState"] == "UPDATE_REVERTING"


async def test_an_instance_is_migrated() -> None:
    double = Double()
    async with Visitor(double) as visitor:
        await visitor.sign_in()
        path = await instantiated(visitor, double)
        [stored] = double.stored.values()
        await visitor.send(visitor.page.form("DEPLOY"), "DEPLOY")
        double.finish(stored["instanceId"])
        page = await visitor.get(f"{path}/migrate")
        assert "There is nothing to migrate to" in page.text
        target = (await primed(visitor, double)).rpartition("/")[2]
        page = await visitor.get(f"{path}/migrate")
        assert target in visitor.answer.text
        page = await visitor.get(f"{path}/migrate?target={target}")
        page = await visitor.send(form_of(page), "precheck")
        assert "The check was ordered." in page.text
        assert stored["subState"] == "MIGRATION_PRECHECKING"
        double.finish(stored["instanceId"])
        page = await visitor.get(f"{path}/migrate?target={target}")
        await visitor.send(form_of(page))
        assert (stored["deployState"], stored["compositionTargetId"]) == ("MIGRATING", target)
        assert "Migrating: 0 of 1 elements done." in visitor.page.text


async def deployed(visitor: Visitor, double: Double) -> tuple[str, dict[str, Any]]:
    """The path of an instance that is deployed, and what is stored of it."""
    path = await instantiated(visitor, double)
    await visitor.send(visitor.page.form("DEPLOY"), "DEPLOY")
    stored = double.stored[path.rpartition("/")[2]]
    double.finish(stored["instanceId"])
    return path, stored


async def test_the_address_from_before_a_migration_leads_to_the_instance() -> None:
    double = Double()
    async with Visitor(double) as visitor:
        await visitor.sign_in()
        path, stored = await deployed(visitor, double)
        stale = (await visitor.get(path)).form("UNDEPLOY")
        target = await primed(visitor, double)
        instance = stored["instanceId"]
        there = f"{target}/instances/{instance}"
        page = await visitor.get(f"{path}/migrate?target={target.rpartition('/')[2]}")
        await visitor.send(form_of(page))
        for address in (path, there):
            await visitor.get(address)
            assert str(visitor.answer.url) == f"http://runtime{address}", "on its way it has both"
        double.finish(instance)
        for old in (path, f"{path}/change", f"{path}/migrate"):
            answer = await visitor.client.get(old)
            assert (answer.status_code, answer.headers["Location"]) == (303, f"{there}?said=moved")
        answer = await visitor.client.get(path, headers={"HX-Request": "true"})
        assert (answer.status_code, answer.headers["HX-Redirect"]) == (204, f"{there}?said=moved")
        page = await visitor.get(path)
        assert "The instance belongs to this definition now." in page.text
        page = await visitor.send(stale, "UNDEPLOY")
        assert "Nothing was ordered: the instance had moved" in page.text
        assert stored["deployState"] == "DEPLOYED"
        del double.definitions[path.split("/")[2]]
        await visitor.get(path)
        assert visitor.answer.url.path == there, "whether its old definition is there or not"
        del double.stored[instance]
        page = await visitor.get(path)
        assert (visitor.answer.status_code, "It is not there any more" in page.text) == (404, True)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"operationalState": "ENABLED"}, None),
        ({"operationalState": None, "outProperties": {}}, None),
        ({"operationalState": "DISABLED", "outProperties": {}}, ""),
        (
            {
                "operationalState": "DISABLED",
                "outProperties": {
                    "entities": [{"ready": True, "message": "fine"}, {"ready": False, "reason": "Gone", "message": "x"}]
                },
            },
            "Gone: x",
        ),
        ({"outProperties": {"ready": False, "entities": [{"ready": False, "message": "m" * 300}]}}, "m" * 120 + "…"),
    ],
)
async def test_lists_tell_what_is_deployed_and_does_not_work(told: dict[str, Any], said: str | None) -> None:
    double = Double()
    async with Visitor(double) as visitor:
        await visitor.sign_in()
        path, stored = await deployed(visitor, double)
        [element] = stored["elements"].values()
        element |= told
        for where in ("/", path.partition("/instances")[0]):
            page = await visitor.get(where)
            assert ("deployed, not working" in page.text) == (said is not None)
            assert ('<div class="reason">' in visitor.answer.text) == bool(said)
            assert f">{said or ''}<" in visitor.answer.text
        page = await visitor.get(path)
        assert ("not everything in it is ready" in page.text) == (said is not None)
        stored["deployState"] = "UNDEPLOYED"
        page = await visitor.get("/")
        assert "not working" not in page.text, "nobody expects it to"


async def test_definitions_of_one_name_are_told_apart() -> None:
    double = Double()
    async with Visitor(double) as visitor:
        await visitor.sign_in()
        await commissioned(visitor)
        [first] = double.definitions
        page = await visitor.get("/")
        assert first[:8] not in page.text
        await commissioned(visitor)
        page = await visitor.get("/")
        for identity in double.definitions:
            assert identity[:8] in page.text


async def test_an_instance_from_a_document() -> None:
    double = Double()
    async with Visitor(double) as visitor:
        await visitor.sign_in()
        path = await primed(visitor, double)
        page = await visitor.get(f"{path}/instances/new")
        form = page.form("document")
        page = await visitor.send(form, "document", document="name: x\nversion: nonsense\nelements: {}\n")
        assert visitor.answer.status_code == 400
        assert 'id="line-2"' in visitor.answer.text
        identity = path.rpartition("/")[2]
        text = samples.kserve_instance(identity, "s3://models/iris")
        await visitor.send(page.form("document"), "document", document=text)
        assert "The instance was made." in visitor.page.text
        assert len(double.stored) == 1


async def test_secrets_are_masked() -> None:
    double = Double()
    secret = "ENCRYPTED:c2VjcmV0"
    async with Visitor(double) as visitor:
        await visitor.sign_in()
        template = yaml.safe_load(samples.kserve_composition())
        fields = template["node_types"]["org.onap.policy.clamp.acm.KserveAutomationCompositionElement"]["properties"]
        fields["token"] = {"type": "string", "required": False, "metadata": {"sensitive": True}}
        path = await commissioned(visitor, json.dumps(template))
        await visitor.send(visitor.page.form("PRIME"), "PRIME")
        double.finish(path.rpartition("/")[2])
        await visitor.get(f"{path}/instances/new?sample=kserve")
        assert 'type="password"' in visitor.answer.text
        await visitor.send(form_of(visitor.page), **{"p/0/token": "hunter2"})
        here = visitor.answer.url.path
        assert "hunter2" not in visitor.answer.text
        assert "••••••••" in visitor.answer.text
        [stored] = double.stored.values()
        [element] = stored["elements"].values()
        assert element["properties"]["token"] == "hunter2"
        element["properties"] |= {"token": secret, "unnamed": secret}
        await visitor.get(here)
        assert secret not in visitor.answer.text
        page = await visitor.get(f"{here}/change")
        await visitor.send(form_of(page))
        assert element["properties"]["token"] == secret, "what was not given anew stays"
        double.record("out", "AUTOMATION_COMPOSITION_DEPLOY", "sent", {"a": [{"token": secret}]})
        await visitor.get(f"/messages/{double.log[-1].number}")
        assert secret not in visitor.answer.text


async def test_participants_with_their_ages() -> None:
    double = Double(participant=False)
    async with Visitor(double) as visitor:
        page = await visitor.sign_in()
        assert "No participant has registered yet." in page.text
        page = await visitor.get("/participants")
        assert "No participant has registered" in page.text
        double.go_online()
        page = await visitor.get("/participants")
        assert PARTICIPANT in page.text
        assert "data-ago=" in visitor.answer.text
        await visitor.send(page.form("status"), "status")
        assert double.asked == [("status", None)]
        one = next(form for form in visitor.page.forms if form.values.get("participant") == PARTICIPANT)
        await visitor.send(one, "sync")
        assert str(double.asked[-1][1]) == PARTICIPANT
        double.go_offline()
        page = await visitor.get("/participants")
        assert "No replica is running." in page.text


async def test_the_log_is_filtered_and_paged() -> None:
    double = Double()
    async with Visitor(double) as visitor:
        await visitor.sign_in()
        page = await visitor.get("/messages")
        assert "No message yet" in page.text
        for at in range(120):
            kind = "PARTICIPANT_STATUS" if at % 2 else "PARTICIPANT_PRIME"
            double.record("in" if at % 2 else "out", kind, "applied", {"at": at}, participant=PARTICIPANT)
        page = await visitor.get("/messages")
        shown = visitor.answer.text.count("<details id=")
        assert shown == 50
        older = next(link for link in page.links if "before=" in link)
        page = await visitor.get(older)
        assert "m-70" in visitor.answer.text
        assert "data-live" not in visitor.answer.text.split('id="panel"')[1].split(">")[0]
        await visitor.get("/messages?type=PARTICIPANT_PRIME&direction=out")
        assert 'type">PARTICIPANT_STATUS' not in visitor.answer.text
        page = await visitor.get("/messages?instance=none")
        assert "No message fits" in page.text
        page = await visitor.get("/messages/120")
        assert '"at": 119' in page.text
        await visitor.get("/messages/100000")
        assert visitor.answer.status_code == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nothing", 404),
        ("/definitions/abc", 400),
        (f"/definitions/{NOBODY}", 404),
        (f"/definitions/{NOBODY}/instances/new", 404),
        (f"/definitions/{NOBODY}/instances/{NOBODY}", 404),
        ("/messages/x", 404),
        ("/static/nothing.js", 404),
        ("/static/../pages.py", 404),
    ],
)
async def test_what_is_not_there(path: str, status: int) -> None:
    async with Visitor(Double()) as visitor:
        await visitor.sign_in()
        await visitor.get(path)
        assert visitor.answer.status_code == status


async def test_a_defect_has_a_page(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Double):
        async def messages(self, **_: Any) -> Any:
            raise RuntimeError("the password is sesame")

    async with Visitor(Broken()) as visitor:
        await visitor.sign_in()
        page = await visitor.get("/messages")
        assert visitor.answer.status_code == 500
        assert "The runtime met a defect" in page.text
        assert "sesame" not in visitor.answer.text
    assert any(record.exc_info for record in caplog.records)


async def test_without_authentication_forms_have_tokens_all_the_same() -> None:
    double = Double()
    async with Visitor(double, user="", password="", basic_auth=False) as visitor:
        page = await visitor.get("/participants")
        assert "Sign out" not in page.text
        await visitor.post("/participants", {"order": "status"})
        assert visitor.answer.status_code == 403
        page = await visitor.get("/participants")
        await visitor.send(page.form("status"), "status")
        assert double.asked == [("status", None)]
