"""What ``mizzen acm`` says to whoever asks: names, connections, formats, waiting, files that are refused."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from acm_set import ELEMENT, SAMPLES, AcmSet, described, of_payload
from installed import new_home, until

ORDERS = ("deploy", "undeploy", "lock", "unlock", "prepare", "review", "rollback", "status", "delete")


@pytest.fixture(scope="module")
def instance(acm: AcmSet, definition: str) -> str:
    return acm.made(definition, described("named", "/nowhere"))


def test_an_instance_by_its_id_the_beginning_of_one_its_name_or_name_and_version(acm: AcmSet, instance: str) -> None:
    for word in (instance, instance.upper(), instance[:4], instance[:8].upper(), "named", "named:1.0.0"):
        assert json.loads(acm("status", word, "-o", "json"))["instanceId"] == instance


def test_a_definition_by_the_same(acm: AcmSet, definition: str, instance: str) -> None:
    for word in (definition, definition[:8], "first", "first:1.2.3"):
        assert json.loads(acm("status", word, "-o", "json"))["compositionId"] == definition
        assert "PRIMED" in acm("status", word)


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_knows_a_name_that_nobody_has(acm: AcmSet, instance: str, order: str) -> None:
    there = f"there is named:1.0.0 ({instance[:8]})"
    assert acm.refused(order, "nobody").startswith(f"mizzen: there is no instance 'nobody'; {there}")


@pytest.mark.parametrize("word", ["named:2.0.0", "nam", "0", "", "../named", "named?x=y"])
def test_names_that_are_none(acm: AcmSet, instance: str, word: str) -> None:
    assert acm.refused("status", word).startswith(f"mizzen: there is no instance {word!r}; there is named:1.0.0")


def test_a_name_that_several_have(acm: AcmSet, definition: str) -> None:
    ids = [acm.made(definition, described("several", "/nowhere") | {"version": f"{major}.0.0"}) for major in (1, 2)]
    for order in ("status", "deploy", "delete"):
        said = acm.refused(order, "several")
        assert said.startswith("mizzen: 'several' could be any of 2 instances: ")
        assert all(f"several:{major}.0.0 ({key})" in said for major, key in zip((1, 2), ids, strict=True))
    assert acm.body("several:2.0.0")["instanceId"] == ids[1]
    for major in (1, 2):
        acm("delete", f"several:{major}.0.0", "--wait")
    other = acm("commission", acm.file((SAMPLES / "kserve-composition.yaml").read_text())).strip()
    again = acm("commission", acm.file((SAMPLES / "kserve-composition.yaml").read_text().replace("1.2.3", "9.2.3")))
    said = acm.refused("prime", "tosca")
    assert said.startswith("mizzen: 'tosca' could be any of 2 compositions: ")
    for key in (other, again.strip()):
        acm("delete", key)


def test_each_order_with_and_without_waiting(acm: AcmSet, definition: str) -> None:
    """An instance whose element fails at once tells of it; what nobody waits for says nothing."""
    instance = acm.made(definition, of_payload("fails", "{}"))
    assert acm("deploy", instance) == ""
    until(lambda: acm.body(instance)["stateChangeResult"] == "FAILED")
    said = acm.refused("deploy", instance, "--wait")
    assert said.startswith(f"mizzen: instance {instance}: FAILED: Automation composition element deploy failed: ")
    assert acm("undeploy", instance) == ""
    acm.settles(instance, "UNDEPLOYED")
    acm.run("deploy", instance, "--wait")
    told = acm("undeploy", instance, "--wait").splitlines()
    assert told[-1].split() == [told[-1].split()[0], "s", "UNDEPLOYED"]
    assert acm("prepare", instance) == ""
    acm.settles(instance, "UNDEPLOYED")
    assert acm("prepare", instance, "--wait").rstrip().endswith("UNDEPLOYED")
    changed = acm.body(instance) | {"description": "changed"}
    assert acm("update", instance, acm.file(changed)) == ""
    assert acm("update", instance, acm.file(changed), "--wait").rstrip().endswith("UNDEPLOYED")
    assert acm.body(instance)["description"] == "changed"
    for order in ("lock", "unlock", "review"):
        assert f"cannot take the order {order} while it is UNDEPLOYED" in acm.refused(order, instance, "--wait")
    assert "rollback" in acm.refused("rollback", instance)
    target = acm.definition("1.2.4", name="second")
    assert "state UNDEPLOYED" in acm.refused("migrate", instance, target, acm.file(changed))
    assert acm("deprime", target) == ""
    until(lambda: json.loads(acm("status", target, "-o", "json"))["state"] == "COMMISSIONED")
    assert acm("prime", target) == ""
    until(lambda: json.loads(acm("status", target, "-o", "json"))["state"] == "PRIMED")
    assert acm("deprime", target, "--wait").rstrip().endswith("COMMISSIONED")
    assert acm("delete", target) == ""
    assert acm("delete", instance) == ""
    until(lambda: acm.run("status", instance).returncode == 1)


def test_waiting_has_an_end(acm: AcmSet, definition: str, missing: Path) -> None:
    """It says how it stands, and why as far as that is known."""
    instance = acm.made(definition, described("slow", missing))
    acm("deploy", instance)
    until(lambda: "there is no 'missing'" in acm("status", instance))
    hinders = f"default/slow   not ready: ModelLoadFailed: file://{missing}: it does not exist"
    assert hinders in acm("status", instance)
    with acm.stopped("participant"):
        other = acm.made(definition, described("hung", missing))
        done = acm.run("deploy", other, "--wait", "--timeout", "0.5")
        assert done.returncode == 1
        assert done.stdout.split()[2:] == [ELEMENT, "DEPLOYING"]
        assert done.stderr == (
            f"mizzen: instance {other} is not done after 0.5 s, and goes on; `mizzen acm status` tells how it stands\n"
        )
    until(lambda: "there is no 'missing'" in acm("status", other))


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """Something that is no runtime."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_runtime_is_named_with_and_without_its_path(acm: AcmSet, definition: str) -> None:
    url, known = acm.state["url"], json.loads((acm.root / "credentials.json").read_bytes())
    who = ("--user", known["user"], "--password", known["password"])
    path = "/onap/policy/clamp/acm/v2"
    for named in (url, f"{url}/", url.removeprefix("http://"), f"{url}{path}", f"{url}{path}/"):
        assert definition in acm("status", "--url", named, *who)
    environment = {
        "MIZZEN_ACM_URL": url,
        "MIZZEN_ACM_USER": known["user"],
        "MIZZEN_ACM_PASSWORD": known["password"],
    }
    with new_home() as elsewhere:
        done = elsewhere.run("acm", "status", env=elsewhere.environment | environment)
        assert definition in done.stdout
    assert "answers with status 404" in acm.refused("status", "--url", f"{url}/elsewhere", *who)


def test_a_runtime_that_is_not_there_or_is_none(acm: AcmSet) -> None:
    who = ("--user", "a", "--password", "b")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        said = acm.refused("status", "--url", url, *who)
        assert said == f"mizzen: the runtime at {url} does not answer: [Errno 111] Connection refused\n"
    assert "does not know this user and password" in acm.refused("status", *who)
    assert "does not know this user and password" in acm.refused("status", "--user", "ä:b", "--password", "ö")
    assert "who asks http://x? Name --user and --password" in acm.refused("status", "--url", "http://x")
    for wrong in ("ftp://x", "http://", "http://x:port", "http://[::1", "x:0"):
        assert f"{wrong!r} is no URL of a runtime" in acm.refused("status", "--url", wrong, *who)
    secret = acm.refused("status", "--url", f"http://me:secret@127.0.0.1:{url.rpartition(':')[2]}", *who)
    assert "does not answer" in secret
    assert "secret" not in secret
    for status, body, says in (
        (200, b"<html>", "answers, but not as a runtime does"),
        (500, b"", "answers with status 500"),
        (503, b'{"errorDetails": "later"}', "later"),
        (404, b'["no"]', "answers with status 404"),
    ):
        with answering(status, body) as url:
            assert says in acm.refused("participants", "--url", url, *who)
    https = acm.state["url"].replace("http:", "https:")
    assert "does not answer" in acm.refused("status", "--url", https, *who)


def test_json_and_yaml_say_the_same(acm: AcmSet, definition: str, instance: str) -> None:
    for words in (("status",), ("status", instance), ("status", definition), ("participants",)):
        as_json = json.loads(acm(*words, "-o", "json"))
        assert yaml.safe_load(acm(*words, "-o", "yaml")) == as_json
    whole = json.loads(acm("status", "-o", "json"))
    assert definition in [one["compositionId"] for one in whole["compositions"]]
    assert instance in [one["instanceId"] for one in whole["instances"]]
    told = acm("status")
    assert told.startswith(f"runtime {acm.state['url']}\n")
    assert "first:1.2.3" in told
    assert "named:1.0.0" in told
    assert "no such option" in acm.refused("status", "--json").lower()


def test_participants_are_listed_with_their_replicas(acm: AcmSet) -> None:
    header, *rows = acm("participants").splitlines()
    assert header.split()[:4] == ["PARTICIPANT", "TAKES", "REPLICA", "STATE"]
    assert any("KserveAutomationCompositionElement:1.0.1" in row and "ON_LINE" in row for row in rows)


def test_a_definition_that_is_refused_is_told_by_its_lines(acm: AcmSet) -> None:
    """With a runtime and without, in the same words."""
    text = (SAMPLES / "kserve-composition.yaml").read_text()
    wrong = acm.file(text.replace("type: onap.datatypes.ToscaConceptIdentifier", "type: onap.datatypes.Nothing"))
    offline = acm.refused("validate", wrong)
    assert f"{wrong}:" in offline
    commissioned = acm.refused("commission", wrong)
    assert commissioned == f"{offline}mizzen: {wrong} is refused\n"
    assert "java" not in commissioned
    broken = acm.file("a: [1,\n b: 2")
    assert f"{broken}:1:4" in acm.refused("commission", broken)
    assert f"{broken}:1:4" in acm.refused("validate", broken)


def test_an_instance_that_is_refused_is_told_by_the_lines_of_its_file(acm: AcmSet, definition: str) -> None:
    """Though it is sent in another form than it is written in."""
    told = yaml.safe_dump(described("wrong", "/nowhere"), sort_keys=False)
    wrong = acm.file(told.replace(f"name: {ELEMENT}", "name: onap.Nobody"))
    (line,) = (number for number, text in enumerate(told.splitlines(), 1) if f"name: {ELEMENT}" in text)
    said = acm.refused("instantiate", definition, wrong)
    assert f"{wrong}:{line}:" in said
    assert said.endswith(f"mizzen: {wrong} is refused\n")
    broken = acm.file("name: [1,\n b: 2")
    assert f"{broken}:1:7" in acm.refused("instantiate", definition, broken)
    assert "a mapping is expected" in acm.refused("instantiate", definition, acm.file("[1, 2]"))
    assert "cannot be read: No such file" in acm.refused("instantiate", definition, "nowhere.yaml")
    assert "cannot be read: Is a directory" in acm.refused("instantiate", definition, str(acm.folder))
    assert "already defined" in acm.refused("instantiate", definition, acm.file(described("named", "/nowhere")))


def test_placeholders_of_samples_and_standard_input(acm: AcmSet, definition: str) -> None:
    """Also one without quotes, which is no YAML of an instance until it is filled in."""
    for number, placeholder in enumerate(("{{compositionId}}", "DO_NOT_CHANGE_THIS_COMPOSITION_ID", '"anything"')):
        told = described(f"filled{number}", "/nowhere") | {"compositionId": "HERE"}
        text = yaml.safe_dump(told, sort_keys=False).replace("HERE", placeholder)
        made = acm("instantiate", definition, "-", input=text).strip()
        assert acm.body(made)["compositionId"] == definition
        acm("delete", made, "--wait")
    made = acm("instantiate", definition, "-", input=json.dumps(described("as-json", "/nowhere"))).strip()
    assert acm.body(made)["name"] == "as-json"
