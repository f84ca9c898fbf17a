"""The whole flow as an operator goes it, with a real model: what is seen, what is refused, what is kept."""

from __future__ import annotations

import concurrent.futures
import json
from pathlib import Path

import pytest

from acm_set import AcmSet, described, gone, of_payload
from installed import until


def test_from_definition_to_a_model_that_answers_and_back(acm: AcmSet, model: Path) -> None:
    composition = acm.definition("2.0.0", name="whole")
    instance = acm.made(composition, described("whole", model, version="2.0.0"))
    told = acm("deploy", instance, "--wait")
    assert "DEPLOYING" in told
    assert told.rstrip().endswith("DEPLOYED")
    acm.answers("whole")
    standing = acm("status", instance)
    assert "default/whole   ready http://whole-default.example.com" in standing
    assert "ENABLED" in standing
    assert acm("undeploy", instance, "--wait").rstrip().endswith("UNDEPLOYED")
    assert acm.service("whole") is None
    acm("delete", instance, "--wait")
    assert "there is no instance" in acm.refused("deploy", instance)
    acm("deprime", composition, "--wait")
    acm("delete", composition)
    assert composition not in acm("status")


def test_an_order_that_does_not_fit_is_refused_and_changes_nothing(acm: AcmSet, definition: str, model: Path) -> None:
    instance = acm.made(definition, described("fits", model))
    assert "fits:1.0.0 cannot take the order undeploy while it is UNDEPLOYED" in acm.refused("undeploy", instance)
    acm("deploy", instance, "--wait")
    before = acm.service("fits")["metadata"]["generation"]
    assert "cannot take the order deploy while it is DEPLOYED (LOCKED)" in acm.refused("deploy", instance, "--wait")
    assert "DEPLOYED" in acm.refused("delete", instance)
    assert "instances" in acm.refused("deprime", definition)
    assert "instances" in acm.refused("delete", definition)
    assert acm.service("fits")["metadata"]["generation"] == before
    acm("undeploy", instance, "--wait")
    acm("delete", instance, "--wait")


def test_an_operator_presses_deploy_twice_at_once(acm: AcmSet, definition: str, model: Path) -> None:
    instance = acm.made(definition, described("twice", model))
    with concurrent.futures.ThreadPoolExecutor(4) as hands:
        done = list(hands.map(lambda _: acm.run("deploy", instance), range(4)))
    assert sorted(one.returncode for one in done) == [0, 1, 1, 1]
    assert all("cannot take the order deploy while" in one.stderr for one in done if one.returncode)
    acm.settles(instance, "DEPLOYED")
    acm.answers("twice")
    acm("undeploy", instance, "--wait")
    assert acm.service("twice") is None
    acm("delete", instance, "--wait")


def test_update_and_undeploy_race(acm: AcmSet, definition: str, model: Path) -> None:
    told = described("race", model)
    instance = acm.made(definition, told)
    entity = next(iter(told["elements"].values()))["properties"]["kserveInferenceEntities"][0]
    changed = json.loads(entity["payload"])
    for turn in range(3):
        acm("deploy", instance, "--wait")
        changed["metadata"]["annotations"] = {"turn": str(turn)}
        entity["payload"] = json.dumps(changed)
        file = acm.file(told)
        orders = (("update", instance, file), ("undeploy", instance))
        with concurrent.futures.ThreadPoolExecutor(2) as hands:
            update, undeploy = hands.map(lambda words: acm.run(*words), orders)
        # One of the two is first, and the other is refused, unless the first was done by then.
        assert 0 in (update.returncode, undeploy.returncode)
        for refused in (one for one in (update, undeploy) if one.returncode):
            assert refused.returncode == 1
            assert "Traceback" not in refused.stderr
        if undeploy.returncode:
            acm.settles(instance, "DEPLOYED")
            acm("undeploy", instance, "--wait")
        acm.settles(instance, "UNDEPLOYED")
        assert acm.service("race") is None
    acm("delete", instance, "--wait")


def test_an_update_brings_another_model_and_a_migration_another_definition(
    acm: AcmSet, definition: str, model: Path, tmp_path: Path
) -> None:
    other = tmp_path / "model"
    other.symlink_to(model)
    told = described("moving", model)
    instance = acm.made(definition, told)
    acm("deploy", instance, "--wait")
    (element,) = told["elements"].values()
    (entity,) = element["properties"]["kserveInferenceEntities"]
    entity["payload"] = entity["payload"].replace(f"file://{model}", f"file://{other}")
    assert "UPDATING" in acm("update", instance, acm.file(told), "--wait")
    spec = acm.service("moving")["spec"]["predictor"]["model"]
    assert spec["storageUri"] == f"file://{other}"
    acm.answers("moving")
    target = acm.definition("1.2.4")
    element["definition"]["version"] = "1.2.4"
    file = acm.file(told)
    acm("migrate", instance, target, file, "--precheck", "--wait")
    assert acm.body(instance)["compositionId"] == definition
    acm("migrate", instance, target, file, "--wait")
    assert acm.body(instance)["compositionId"] == target
    acm.answers("moving")
    assert "UNLOCKED" in acm("unlock", instance, "--wait")
    assert "LOCKED" in acm("lock", instance, "--wait")
    acm("review", instance, "--wait")
    acm("undeploy", instance, "--wait")
    acm("prepare", instance, "--wait")
    acm("delete", instance, "--wait")


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        ('{"apiVersion": ', "payload: is not JSON"),
        ("{}", "payload"),
        ({"kind": "Deployment"}, "kind"),
        ({"spec": {"predicator": {}}}, "spec.predictor: Required value"),
        ({"spec": {"predictor": {"model": {"modelFormat": {"name": "sklaern"}}}}}, "serves models of format sklaern"),
    ],
    ids=["no JSON", "empty", "another kind", "misspelt field", "unknown format"],
)
def test_a_wrong_payload_is_told_with_its_reason(
    acm: AcmSet, definition: str, payload: str | dict[str, object], says: str
) -> None:
    if isinstance(payload, dict):
        whole = {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": {"name": "wrong", "namespace": "default"},
            "spec": {"predictor": {}},
        }
        payload = json.dumps(whole | payload)
    instance = acm.made(definition, of_payload("wrong", payload))
    said = acm.refused("deploy", instance, "--wait")
    assert f"{instance}: FAILED: Automation composition element deploy failed: " in said
    assert says in said
    assert says.partition(":")[0] in acm("status")
    assert acm.service("wrong") is None
    acm("undeploy", instance, "--wait")
    acm("delete", instance, "--wait")


def test_what_hinders_a_deployment_is_told_while_it_goes_on(
    acm: AcmSet, definition: str, model: Path, tmp_path: Path
) -> None:
    """The model comes late: until then everybody who asks reads what is waited for."""
    late = tmp_path / "late"
    instance = acm.made(definition, described("late", late))
    acm("deploy", instance)
    until(lambda: "there is no 'late'" in acm("status", instance), lambda: acm("status", instance))
    said = acm.run("deploy", instance).stderr
    assert "cannot take the order deploy while it is DEPLOYING" in said
    late.symlink_to(model)
    acm.renew("late")
    acm.settles(instance, "DEPLOYED")
    acm.answers("late")
    acm("undeploy", instance, "--wait")
    acm("delete", instance, "--wait")


def test_everything_is_there_after_a_restart_of_the_set(acm: AcmSet, model: Path) -> None:
    """The broker forgets everything; definitions, instances and what is deployed stay."""
    composition = acm.definition("3.0.0", name="kept")
    kept = acm.made(composition, described("kept", model, version="3.0.0"))
    idle = acm.made(composition, described("idle", model, version="3.0.0"))
    acm("deploy", kept, "--wait")
    before = [part["pid"] for part in acm.state["parts"].values()] + [acm.state["supervisor"]["pid"]]
    assert acm("down") == "stopped\n"
    gone(before)
    assert acm("down").startswith("nothing runs in ")
    acm.answers("kept")
    acm.up()
    assert acm.body(kept)["deployState"] == "DEPLOYED"
    assert acm.body(idle)["deployState"] == "UNDEPLOYED"
    acm("deploy", idle, "--wait")
    acm.answers("idle")
    # What is deployed is watched over again: the runtime hears that it has gone.
    acm.mizzen("delete", "isvc", "kept")
    until(lambda: acm.element(kept).get("operationalState") == "DISABLED", lambda: f"{acm.element(kept)}")
    assert "not ready: Deleted" in acm("status", kept)
    for instance in (kept, idle):
        acm("undeploy", instance, "--wait")
        acm("delete", instance, "--wait")
    assert acm.orphans() == []
    acm("deprime", composition, "--wait")
    acm("delete", composition)
