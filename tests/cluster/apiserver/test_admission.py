"""Admission: rules that change objects come first, rules that refuse them come last, and both see whole objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from api_client import DEFAULT, JSON_PATCH, STRATEGIC, Api, config_map
from apiserver_fixture import serving
from mizzen.apis.meta import ResourceDef
from mizzen.kube.admission import AdmissionRequest, AdmissionResponse, Admitter, Operation, Reader
from widgets import CRDS, WIDGETS, definition, widget

MAPS = f"{DEFAULT}/configmaps"
CONFIG_MAP = ResourceDef(group="", version="v1", kind="ConfigMap", plural="configmaps")
WIDGET = ResourceDef(group="exp.io", version="v1", kind="Widget", plural="widgets")


class Recorder:
    """Admission rules that note what they saw."""

    def __init__(self) -> None:
        self.seen: list[AdmissionRequest] = []

    def rule(
        self,
        name: str,
        change: Any = None,
        *,
        refuse: str = "",
        operations: tuple[Operation, ...] = ("CREATE", "UPDATE"),
        warnings: tuple[str, ...] = (),
    ) -> Admitter:
        def admit(request: AdmissionRequest, reader: Reader) -> AdmissionResponse:
            self.seen.append(request)
            if refuse:
                return AdmissionResponse(allowed=False, message=refuse)
            changed = change(request.object, reader) if change is not None else None
            return AdmissionResponse(object=changed, warnings=list(warnings))

        return Admitter(
            name=name,
            resources=(CONFIG_MAP, WIDGET),
            operations=operations,
            mutates=change is not None,
            admit=admit,
        )


def adding(key: str) -> Any:
    return lambda value, reader: {**value, "data": {**(value.get("data") or {}), key: str(len(value["data"]))}}


async def test_rules_run_in_order_and_what_they_make_is_stored(tmp_path: Path) -> None:
    recorder = Recorder()
    rules = (recorder.rule("check"), recorder.rule("one", adding("a")), recorder.rule("two", adding("b")))
    async with serving(tmp_path, admitters=rules) as server, server.session() as session:
        api = Api(session)
        made = (await api.create(MAPS, config_map("x"))).ok()
        assert made["data"] == {"a": "0", "b": "1"}
        assert [request.object["data"] for request in recorder.seen if request.object] == [
            {},
            {"a": "0"},
            {"a": "0", "b": "1"},
        ]
        request = recorder.seen[-1]
        assert (request.operation, request.name, request.namespace, request.user) == (
            "CREATE",
            "x",
            "default",
            "mizzen-admin",
        )
        assert request.old_object is None and not request.dry_run
        recorder.seen.clear()
        await api.patch(f"{MAPS}/x?dryRun=All", {"data": {"c": "1"}})
        assert recorder.seen[0].operation == "UPDATE" and recorder.seen[0].dry_run
        assert recorder.seen[0].old_object is not None and "c" not in recorder.seen[0].old_object["data"]


async def test_a_refusal_reaches_the_writer_and_nothing_is_stored(tmp_path: Path) -> None:
    rule = Recorder().rule("maps.example.com", refuse="two frameworks in one predictor")
    async with serving(tmp_path, admitters=(rule,)) as server, server.session() as session:
        api = Api(session)
        for answer in (
            await api.create(MAPS, config_map("x")),
            await api.apply(f"{MAPS}/x", config_map("x")),
            await api.create(f"{MAPS}?dryRun=All", config_map("x")),
        ):
            assert (answer.code, answer.reason) == (403, "Forbidden")
            assert answer.message == (
                'admission webhook "maps.example.com" denied the request: two frameworks in one predictor'
            )
        assert (await api.get(MAPS)).ok()["items"] == []


async def test_every_way_of_writing_passes_admission(tmp_path: Path) -> None:
    recorder = Recorder()
    async with serving(tmp_path, admitters=(recorder.rule("all"),)) as server, server.session() as session:
        api = Api(session)
        made = (await api.create(MAPS, config_map("x"))).ok()
        made["data"] = {"a": "1"}
        (await api.put(f"{MAPS}/x", made)).ok()
        (await api.patch(f"{MAPS}/x", {"data": {"b": "1"}})).ok()
        (await api.patch(f"{MAPS}/x", {"data": {"c": "1"}}, STRATEGIC)).ok()
        (await api.patch(f"{MAPS}/x", [{"op": "add", "path": "/data/d", "value": "1"}], JSON_PATCH)).ok()
        (await api.apply(f"{MAPS}/x", config_map("x", {"e": "1"}))).ok()
        (await api.apply(f"{MAPS}/y", config_map("y"))).ok()
        assert [request.operation for request in recorder.seen] == ["CREATE", *["UPDATE"] * 5, "CREATE"]


async def test_a_deletion_can_be_refused(tmp_path: Path) -> None:
    rule = Recorder().rule("keep", refuse="it is needed", operations=("DELETE",))
    async with serving(tmp_path, admitters=(rule,)) as server, server.session() as session:
        api = Api(session)
        (await api.create(MAPS, config_map("x"))).ok()
        assert (await api.delete(f"{MAPS}/x")).code == 403
        assert (await api.get(f"{MAPS}/x")).ok()


async def test_what_a_rule_makes_is_defaulted_and_validated_again(tmp_path: Path) -> None:
    def size_from_color(value: Any, reader: Reader) -> Any:
        spec = {**value["spec"], "parts": [{"name": "added"}], "junk": 1}
        return {**value, "spec": spec | ({"size": 99} if spec.get("color") == "huge" else {})}

    rule = Recorder().rule("widgets", size_from_color)
    async with serving(tmp_path, admitters=(rule,)) as server, server.session() as session:
        api = Api(session)
        (await api.create(CRDS, definition())).ok()
        made = (await api.create(WIDGETS, widget("w"))).ok()
        assert made["spec"] == {"size": 1, "mode": "a", "parts": [{"name": "added", "on": True}]}
        assert made["metadata"]["name"] == "w" and made["metadata"]["uid"]
        refused = await api.create(WIDGETS, widget("v", color="huge"))
        assert refused.fields == [("spec.size", "FieldValueInvalid")]


async def test_rules_see_defaults_and_read_the_store(tmp_path: Path) -> None:
    def copy_from_template(value: Any, reader: Reader) -> Any:
        if "spec" not in value:
            return None
        assert value["spec"]["mode"] == "a"
        template = reader.get(CONFIG_MAP, "template", "default")
        assert reader.get(CONFIG_MAP, "absent", "default") is None
        assert template is not None
        names = [found["metadata"]["name"] for found in reader.list(CONFIG_MAP, "default")]
        return {**value, "spec": {**value["spec"], "color": template["data"]["color"] + ",".join(names)}}

    rule = Recorder().rule(
        "widgets", lambda value, reader: copy_from_template(value, reader) if "spec" in value else None
    )
    async with serving(tmp_path, admitters=(rule,)) as server, server.session() as session:
        api = Api(session)
        (await api.create(MAPS, config_map("template", {"color": "red:"}))).ok()
        (await api.create(CRDS, definition())).ok()
        made = (await api.create(WIDGETS, widget("w"))).ok()
        assert made["spec"]["color"] == "red:template"


async def test_status_is_not_the_business_of_rules(tmp_path: Path) -> None:
    recorder = Recorder()
    async with serving(tmp_path, admitters=(recorder.rule("all"),)) as server, server.session() as session:
        api = Api(session)
        await api.create(CRDS, definition())
        await api.create(WIDGETS, widget("w"))
        recorder.seen.clear()
        (await api.patch(f"{WIDGETS}/w/status", {"status": {"replicas": 1}})).ok()
        assert recorder.seen == []


async def test_warnings_reach_the_client(tmp_path: Path) -> None:
    rule = Recorder().rule("warn", warnings=('use "predictor" instead',))
    async with serving(tmp_path, admitters=(rule,)) as server, server.session() as session:
        made = (await Api(session).create(MAPS, config_map("x"))).ok()
        assert made.warnings == ['299 - "use \\"predictor\\" instead"']


async def test_a_rule_cannot_change_who_an_object_is(tmp_path: Path) -> None:
    def rename(value: Any, reader: Reader) -> Any:
        return {**value, "metadata": {"name": "other", "namespace": "kube-system", "uid": "mine", "labels": {"a": "b"}}}

    async with serving(tmp_path, admitters=(Recorder().rule("rename", rename),)) as server, server.session() as session:
        made = (await Api(session).create(MAPS, config_map("x"))).ok()
        metadata = made["metadata"]
        assert (metadata["name"], metadata["namespace"], metadata["labels"]) == ("x", "default", {"a": "b"})
        assert metadata["uid"] != "mine"
