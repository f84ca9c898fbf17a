"""The other built-in kinds: defaults, rules, and the columns of their tables."""

from __future__ import annotations

import asyncio
import base64
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from api_client import APPS, CORE, DEFAULT, JSON_PATCH, STRATEGIC, TABLE, Api, config_map, deployment
from apiserver_fixture import SERVICE_NETWORK, serving

SERVICES = f"{DEFAULT}/services"
NETWORKING = "/apis/networking.k8s.io/v1/namespaces/default/ingresses"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
SCALERS = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], **spec}}


def named(name: str, **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, **fields}


# Deployments and ReplicaSets


async def test_a_deployment_is_completed(api: Api) -> None:
    made = (await api.create(f"{APPS}/deployments", deployment("web"))).ok()
    spec = {key: value for key, value in made["spec"].items() if key not in ("selector", "template")}
    assert spec == {
        "replicas": 1,
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
    }
    # What a limit says about requests is a pod's default, not a template's.
    assert made["spec"]["template"]["spec"]["containers"][0]["resources"] == {}
    zero = (await api.create(f"{APPS}/deployments", deployment("zero", replicas=0, revisionHistoryLimit=0))).ok()
    assert (zero["spec"]["replicas"], zero["spec"]["revisionHistoryLimit"]) == (0, 0)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"replicas": -1}, "spec.replicas"),
        ({"selector": {"matchLabels": {"app": "other"}}}, "spec.template.metadata.labels"),
        ({"selector": {}}, "spec.selector"),
        ({"selector": None}, "spec.selector"),
        ({"template": None}, "spec.template"),
        ({"strategy": {"type": "Sudden"}}, "spec.strategy.type"),
        ({"strategy": {"type": "Recreate", "rollingUpdate": {}}}, "spec.strategy.rollingUpdate"),
        (
            {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}},
            "spec.strategy.rollingUpdate.maxUnavailable",
        ),
        ({"strategy": {"rollingUpdate": {"maxSurge": "many"}}}, "spec.strategy.rollingUpdate.maxSurge"),
        ({"minReadySeconds": 600}, "spec.progressDeadlineSeconds"),
    ],
)
async def test_deployments_that_make_no_sense_are_refused(api: Api, spec: Any, field: str) -> None:
    answer = await api.create(f"{APPS}/deployments", deployment("web", **spec))
    assert answer.code == 422, answer.text
    assert field in [found for found, _ in answer.fields]


async def test_a_selector_never_changes(api: Api) -> None:
    body = deployment("web")
    body["spec"]["template"]["metadata"]["labels"]["also"] = "this"
    await api.create(f"{APPS}/deployments", body)
    answer = await api.patch(f"{APPS}/deployments/web", {"spec": {"selector": {"matchLabels": {"also": "this"}}}})
    assert answer.fields == [("spec.selector", "FieldValueInvalid")]


async def test_retain_keys_lets_a_strategy_change(api: Api) -> None:
    await api.create(f"{APPS}/deployments", deployment("web"))
    path = f"{APPS}/deployments/web"
    half = await api.patch(path, {"spec": {"strategy": {"type": "Recreate"}}}, STRATEGIC)
    assert half.fields == [("spec.strategy.rollingUpdate", "FieldValueForbidden")]
    whole = await api.patch(path, {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}, STRATEGIC)
    assert whole.ok()["spec"]["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize("plural", ["deployments", "replicasets"])
async def test_scale(api: Api, plural: str) -> None:
    path = f"{APPS}/{plural}/web"
    body = {**deployment("web", replicas=2), "kind": ""}
    made = (await api.create(f"{APPS}/{plural}", body)).ok()
    scale = (await api.get(f"{path}/scale")).ok()
    assert scale == {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            key: made["metadata"][key] for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        },
        "spec": {"replicas": 2},
        "status": {"replicas": 0, "selector": "app=web"},
    }
    assert (await api.patch(f"{path}/scale", {"spec": {"replicas": 5}})).ok()["spec"] == {"replicas": 5}
    assert (await api.put(f"{path}/scale", scale)).code == 409
    scale["metadata"].pop("resourceVersion")
    scale["spec"] = {}
    assert (await api.put(f"{path}/scale", scale)).ok()["spec"] == {"replicas": 0}
    found = (await api.get(path)).ok()
    assert found["spec"]["replicas"] == 0
    assert found["metadata"]["generation"] == 3
    assert (await api.patch(f"{path}/scale", {"spec": {"replicas": -1}})).code == 422
    assert (await api.patch(f"{path}/scale", {"spec": {"replicas": "many"}})).code == 400
    replaced = [{"op": "replace", "path": "/spec/replicas", "value": 4}]
    assert (await api.patch(f"{path}/scale", replaced, JSON_PATCH)).ok()["spec"] == {"replicas": 4}


# Services


async def test_a_service_gets_an_address_of_its_own(api: Api) -> None:
    made = [(await api.create(SERVICES, service(f"s{number}"))).ok() for number in range(5)]
    addresses = [answer["spec"]["clusterIP"] for answer in made]
    assert len(set(addresses)) == 5
    assert all(ip_address(address) in ip_network(SERVICE_NETWORK) for address in addresses)
    spec = made[0]["spec"]
    assert spec == {
        "type": "ClusterIP",
        "clusterIP": addresses[0],
        "clusterIPs": [addresses[0]],
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "internalTrafficPolicy": "Cluster",
        "sessionAffinity": "None",
        "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
    }
    assert made[0]["status"] == {"loadBalancer": {}}


async def test_an_address_stays_and_is_given_back(api: Api) -> None:
    made = (await api.create(SERVICES, service("s", clusterIP="127.40.200.7"))).ok()
    assert made["spec"]["clusterIP"] == "127.40.200.7"
    taken = await api.create(SERVICES, service("t", clusterIP="127.40.200.7"))
    assert taken.fields == [("spec.clusterIPs", "FieldValueInvalid")]
    outside = await api.create(SERVICES, service("t", clusterIP="10.0.0.1"))
    assert "not in the valid range" in outside.message
    replaced = (await api.put(f"{SERVICES}/s", service("s", selector={"a": "b"}))).ok()
    assert replaced["spec"]["clusterIPs"] == ["127.40.200.7"]
    moved = await api.patch(f"{SERVICES}/s", {"spec": {"clusterIP": "127.40.200.8", "clusterIPs": ["127.40.200.8"]}})
    assert moved.fields == [("spec.clusterIPs[0]", "FieldValueInvalid")]
    (await api.delete(f"{SERVICES}/s")).ok()
    assert (await api.create(SERVICES, service("t", clusterIP="127.40.200.7"))).ok()


async def test_a_service_may_want_no_address(api: Api) -> None:
    headless = (await api.create(SERVICES, service("h", clusterIP="None"))).ok()
    assert headless["spec"]["clusterIPs"] == ["None"]
    outside = (await api.create(SERVICES, service("e", type="ExternalName", externalName="example.com"))).ok()
    assert "clusterIP" not in outside["spec"]
    inside = (await api.patch(f"{SERVICES}/e", {"spec": {"type": "ClusterIP", "externalName": None}})).ok()
    assert ip_address(inside["spec"]["clusterIP"]) in ip_network(SERVICE_NETWORK)
    again = await api.patch(
        f"{SERVICES}/e",
        {"spec": {"type": "ExternalName", "externalName": "x.io", "clusterIP": None, "clusterIPs": None}},
    )
    assert "clusterIP" not in again.ok()["spec"]
    assert (await api.create(SERVICES, service("reuse", clusterIP=inside["spec"]["clusterIP"]))).ok()


async def test_what_is_not_stored_gives_its_address_back(tmp_path: Path) -> None:
    async with serving(tmp_path, service_network="127.50.0.0/30") as server, server.session() as session:
        api = Api(session)
        for _ in range(5):
            assert (await api.create(f"{SERVICES}?dryRun=All", service("dry"))).ok()
            assert (await api.create(SERVICES, service("bad", sessionAffinity="Much"))).code == 422
            assert (await api.create(SERVICES, service("Bad-Name"))).code == 422
        answers = await asyncio.gather(*(api.create(SERVICES, service("same")) for _ in range(5)))
        assert sorted(answer.code for answer in answers)[0] == 201
        assert (await api.create(SERVICES, service("other"))).ok()
        full = await api.create(SERVICES, service("full"))
        assert full.code == 500
        assert "no cluster IP is left in 127.50.0.0/30" in full.message
        (await api.delete(f"{SERVICES}/same")).ok()
        assert (await api.create(SERVICES, service("full"))).ok()


async def test_addresses_are_remembered_over_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path, service_network="127.50.0.0/30") as server, server.session() as session:
        first = (await Api(session).create(SERVICES, service("a"))).ok()["spec"]["clusterIP"]
    async with serving(tmp_path, service_network="127.50.0.0/30") as server, server.session() as session:
        second = (await Api(session).create(SERVICES, service("b"))).ok()["spec"]["clusterIP"]
    assert {first, second} == {"127.50.0.1", "127.50.0.2"}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"ports": []}, "spec.ports"),
        ({"ports": [{"port": 0}]}, "spec.ports[0].port"),
        ({"ports": [{"port": 1}, {"port": 2}]}, "spec.ports[0].name"),
        ({"ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "a"}]}, "spec.ports[1].name"),
        ({"ports": [{"port": 1, "name": "a"}, {"port": 1, "name": "b"}]}, "spec.ports[1]"),
        ({"ports": [{"port": 1, "targetPort": "No Name"}]}, "spec.ports[0].targetPort"),
        ({"ports": [{"port": 1, "protocol": "IPX"}]}, "spec.ports[0].protocol"),
        ({"type": "Magic"}, "spec.type"),
        ({"type": "ExternalName"}, "spec.externalName"),
        ({"sessionAffinity": "Strong"}, "spec.sessionAffinity"),
        ({"type": "LoadBalancer", "clusterIP": "None"}, "spec.clusterIPs[0]"),
    ],
)
async def test_services_that_make_no_sense_are_refused(api: Api, spec: Any, field: str) -> None:
    answer = await api.create(SERVICES, service("s", **spec))
    assert answer.code == 422, answer.text
    assert field in [found for found, _ in answer.fields]


async def test_a_service_name_is_a_dns_label(api: Api) -> None:
    for name in ("1st", "a.b", "x" * 64):
        assert (await api.create(SERVICES, service(name))).code == 422


# ConfigMaps and Secrets


async def test_string_data_is_folded_into_data(api: Api) -> None:
    secrets = f"{DEFAULT}/secrets"
    made = (await api.create(secrets, named("s", data={"a": "eA=="}, stringData={"b": "päss", "a": "new"}))).ok()
    assert made["type"] == "Opaque"
    assert "stringData" not in made
    assert {key: base64.b64decode(text).decode() for key, text in made["data"].items()} == {"a": "new", "b": "päss"}
    changed = (await api.patch(f"{secrets}/s", {"stringData": {"c": "3"}})).ok()
    assert sorted(changed["data"]) == ["a", "b", "c"]
    assert (await api.patch(f"{secrets}/s", {"type": "Other"})).fields == [("type", "FieldValueInvalid")]
    assert (await api.patch(f"{secrets}/s", {"data": {"d": "not base64!"}})).code == 400
    assert (await api.create(secrets, named("t", type="kubernetes.io/tls"))).code == 422
    assert (await api.get(f"{secrets}?fieldSelector=type%3DOpaque")).ok().names == ["s"]


@pytest.mark.parametrize("plural", ["configmaps", "secrets"])
async def test_immutable_data_stays(api: Api, plural: str) -> None:
    path = f"{DEFAULT}/{plural}"
    await api.create(path, named("a", data={"k": "eA=="}, immutable=True))
    for change in ({"data": {"k": "eQ=="}}, {"data": {"l": "eQ=="}}, {"immutable": False}, {"immutable": None}):
        assert (await api.patch(f"{path}/a", change)).code == 422, change
    assert (await api.patch(f"{path}/a", {"metadata": {"labels": {"a": "b"}}})).ok()
    assert (await api.delete(f"{path}/a")).ok()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"data": {"ok.key-1_": ""}}, 201),
        ({"data": {"bad key": ""}}, 422),
        ({"data": {"..": ""}}, 422),
        ({"data": {"k": "x"}, "binaryData": {"k": "eA=="}}, 422),
        ({"binaryData": {"k": "no!"}}, 400),
        ({"data": {"k": "x" * 1_100_000}}, 422),
        ({"data": {"k": None}}, 201),
    ],
)
async def test_config_map_data(api: Api, fields: Any, code: int) -> None:
    assert (await api.create(f"{DEFAULT}/configmaps", named("a", **fields))).code == code


# Networking


def ingress(path_type: str | None = "Prefix", path: str = "/", host: str = "a.io", **backend: Any) -> dict[str, Any]:
    found = {"path": path, "backend": {"service": {"name": "web", "port": {"number": 80}, **backend}}}
    if path_type:
        found["pathType"] = path_type
    return named("web", spec={"rules": [{"host": host, "http": {"paths": [found]}}]})


async def test_an_ingress_counts_its_generation(api: Api) -> None:
    assert (await api.create(NETWORKING, ingress())).ok()["metadata"]["generation"] == 1
    changed = (await api.put(f"{NETWORKING}/web", ingress(host="b.io"))).ok()
    assert changed["metadata"]["generation"] == 2
    status = {"status": {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}}}
    assert (await api.patch(f"{NETWORKING}/web/status", status)).ok()["metadata"]["generation"] == 2
    table = (await api.get(NETWORKING, Accept=TABLE)).ok()
    assert table["rows"][0]["cells"][:5] == ["web", "<none>", "b.io", "127.0.0.1", "80"]


@pytest.mark.parametrize(
    "body",
    [
        named("web", spec={}),
        ingress(path_type=None),
        ingress(path_type="Regex"),
        ingress(path="relative"),
        ingress(host="a.*.io"),
        ingress(name=""),
        ingress(port={}),
        ingress(port={"number": 80, "name": "http"}),
    ],
)
async def test_ingresses_that_lead_nowhere_are_refused(api: Api, body: Any) -> None:
    assert (await api.create(NETWORKING, body)).code == 422


async def test_endpoint_slices(api: Api) -> None:
    body = named("s", addressType="IPv4", endpoints=[{"addresses": ["127.0.0.1"]}], ports=[{"port": 80}])
    made = (await api.create(SLICES, body)).ok()
    assert made["ports"] == [{"name": "", "port": 80, "protocol": "TCP"}]
    assert (await api.patch(f"{SLICES}/s", {"addressType": "IPv6"})).fields == [("addressType", "FieldValueInvalid")]
    assert (await api.create(SLICES, named("t", addressType="IPX", endpoints=[]))).code == 422


async def test_endpoints_in_a_table(api: Api) -> None:
    subsets = [{"addresses": [{"ip": f"127.0.0.{n}"} for n in range(1, 6)], "ports": [{"port": 80}]}]
    (await api.create(f"{DEFAULT}/endpoints", named("e", subsets=subsets))).ok()
    table = (await api.get(f"{DEFAULT}/endpoints", Accept=TABLE)).ok()
    assert table["rows"][0]["cells"][1] == "127.0.0.1:80,127.0.0.2:80,127.0.0.3:80 + 2 more..."


# Leases, nodes, events


async def test_a_lease_is_never_overwritten_blindly(api: Api) -> None:
    spec = {"holderIdentity": "a", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.123456Z"}
    made = (await api.create(LEASES, named("l", spec=spec))).ok()
    assert made["spec"] == spec
    assert "generation" not in made["metadata"]
    blind = await api.put(f"{LEASES}/l", named("l", spec={"holderIdentity": "b"}))
    assert blind.fields == [("metadata.resourceVersion", "FieldValueInvalid")]
    made["spec"]["holderIdentity"] = "b"
    assert (await api.put(f"{LEASES}/l", made)).ok()
    assert (await api.put(f"{LEASES}/l", made)).code == 409
    assert (await api.create(LEASES, named("m", spec={"leaseDurationSeconds": 0}))).code == 422


async def test_a_node_and_its_status(api: Api) -> None:
    nodes = f"{CORE}/nodes"
    labels = {"node-role.kubernetes.io/worker": ""}
    (await api.create(nodes, {"metadata": {"name": "n1", "labels": labels}, "status": {"phase": "x"}})).ok()
    status = {
        "capacity": {"cpu": 4, "memory": "8192Mi"},
        "conditions": [{"type": "Ready", "status": "True"}],
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "nodeInfo": {"kubeletVersion": "v1.33.0"},
    }
    found = (await api.patch(f"{nodes}/n1/status", {"status": status}, STRATEGIC)).ok()
    assert found["status"]["capacity"] == {"cpu": "4", "memory": "8Gi"}
    (await api.patch(f"{nodes}/n1", {"spec": {"unschedulable": True}})).ok()
    assert (await api.get(f"{nodes}?fieldSelector=spec.unschedulable%3Dtrue")).ok().names == ["n1"]
    cells = (await api.get(nodes, Accept=TABLE)).ok()["rows"][0]["cells"]
    assert cells[:3] == ["n1", "Ready,SchedulingDisabled", "worker"]
    assert cells[4:6] == ["v1.33.0", "127.0.0.1"]


async def test_events_are_found_by_what_they_are_about(api: Api) -> None:
    events = f"{DEFAULT}/events"
    for name, about in (("a.1", "web"), ("b.2", "db")):
        body = {
            "metadata": {"name": name},
            "involvedObject": {"kind": "Pod", "name": about, "namespace": "default", "uid": f"uid-{about}"},
            "reason": "Started",
            "message": "it started",
            "type": "Normal",
            "source": {"component": "kubelet"},
            "lastTimestamp": "2026-01-01T00:00:00Z",
        }
        (await api.create(events, body)).ok()
    selector = "involvedObject.name%3Dweb,involvedObject.uid%3Duid-web,source%3Dkubelet"
    assert (await api.get(f"{events}?fieldSelector={selector}")).ok().names == ["a.1"]
    cells = (await api.get(f"{events}/a.1", Accept=TABLE)).ok()["rows"][0]["cells"]
    assert cells[1:4] == ["Normal", "Started", "pod/web"]
    assert cells[6] == "it started" and cells[-1] == "a.1"
    stray = {"metadata": {"name": "c"}, "involvedObject": {"namespace": "other"}}
    assert (await api.create(events, stray)).fields == [("involvedObject.namespace", "FieldValueInvalid")]


# Records


async def test_volumes_are_records(api: Api) -> None:
    claim = named("c", spec={"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}})
    made = (await api.create(f"{DEFAULT}/persistentvolumeclaims", claim)).ok()
    assert made["spec"]["resources"]["requests"] == {"storage": "1Gi"}
    assert made["status"] == {"phase": "Pending"}
    assert (await api.create(f"{DEFAULT}/persistentvolumeclaims", named("d", spec={}))).code == 422
    spec = {"accessModes": ["ReadOnlyMany"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/x"}}
    (await api.create(f"{CORE}/persistentvolumes", named("v", spec=spec))).ok()
    cells = (await api.get(f"{CORE}/persistentvolumes", Accept=TABLE)).ok()["rows"][0]["cells"]
    assert cells[:5] == ["v", "1Gi", "ROX", "Retain", "Pending"]


async def test_autoscalers_are_records(api: Api) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    made = (await api.create(SCALERS, named("h", spec={"maxReplicas": 3, "scaleTargetRef": target}))).ok()
    assert made["spec"]["minReplicas"] == 1
    assert made["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 80
    wrong = named("i", spec={"minReplicas": 5, "maxReplicas": 3, "scaleTargetRef": target})
    assert (await api.create(SCALERS, wrong)).fields == [("spec.maxReplicas", "FieldValueInvalid")]
    assert (await api.create(SCALERS, named("j", spec={"scaleTargetRef": target}))).code == 422
    cells = (await api.get(SCALERS, Accept=TABLE)).ok()["rows"][0]["cells"]
    assert cells[:5] == ["h", "Deployment/web", "cpu: <unknown>/80%", 1, 3]


@pytest.mark.parametrize(
    ("path", "columns"),
    [
        (f"{CORE}/namespaces", ["Name", "Status", "Age"]),
        (f"{CORE}/configmaps", ["Name", "Data", "Age"]),
        (f"{CORE}/secrets", ["Name", "Type", "Data", "Age"]),
        (f"{CORE}/serviceaccounts", ["Name", "Secrets", "Age"]),
        (f"{CORE}/services", ["Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "Selector"]),
        (
            f"{CORE}/pods",
            ["Name", "Ready", "Status", "Restarts", "Age", "IP", "Node", "Nominated Node", "Readiness Gates"],
        ),
        (
            "/apis/apps/v1/deployments",
            ["Name", "Ready", "Up-to-date", "Available", "Age", "Containers", "Images", "Selector"],
        ),
        (
            "/apis/apps/v1/replicasets",
            ["Name", "Desired", "Current", "Ready", "Age", "Containers", "Images", "Selector"],
        ),
        ("/apis/networking.k8s.io/v1/ingresses", ["Name", "Class", "Hosts", "Address", "Ports", "Age"]),
        ("/apis/networking.k8s.io/v1/ingressclasses", ["Name", "Controller", "Parameters", "Age"]),
        ("/apis/discovery.k8s.io/v1/endpointslices", ["Name", "AddressType", "Ports", "Endpoints", "Age"]),
        ("/apis/coordination.k8s.io/v1/leases", ["Name", "Holder", "Age"]),
        ("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", ["Name", "Created At"]),
    ],
)
async def test_tables_have_the_columns_of_their_kind(api: Api, path: str, columns: list[str]) -> None:
    table = (await api.get(path, Accept=TABLE)).ok()
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [column["name"] for column in table["columnDefinitions"]] == columns


async def test_rows_carry_what_was_asked_for(api: Api) -> None:
    await api.create(f"{DEFAULT}/configmaps", config_map("a", {"x": "1"}))
    path = f"{DEFAULT}/configmaps"
    row = (await api.get(path, Accept=TABLE)).ok()["rows"][0]
    assert row["object"]["kind"] == "PartialObjectMetadata" and "data" not in row["object"]
    row = (await api.get(f"{path}?includeObject=Object", Accept=TABLE)).ok()["rows"][0]
    assert row["object"]["data"] == {"x": "1"}
    row = (await api.get(f"{path}?includeObject=None", Accept=TABLE)).ok()["rows"][0]
    assert "object" not in row
    assert (await api.get(f"{path}?includeObject=Some", Accept=TABLE)).code == 400
    missing = await api.get(f"{path}/absent", Accept=TABLE)
    assert (missing.code, missing["kind"]) == (404, "Status")
