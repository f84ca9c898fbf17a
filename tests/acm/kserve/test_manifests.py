"""What puts the participant on a real cluster: its role allows what the handler asks, and nothing more."""

import asyncio
from pathlib import Path

import pytest

from element_world import element, entity, standing, world
from mizzen.acm.manifests import participant
from mizzen.acm.participant.configuration import load, read
from mizzen.acm.participant.handler import Failed
from mizzen.acm.participant.kserve import settings as kserve
from mizzen.apis.apps import DEPLOYMENT
from mizzen.apis.core import CONFIG_MAP


def of_kind(kind: str, *models: str):
    return [found for found in participant("onap", "kafka:9092", models) if found["kind"] == kind]


def granted(role) -> set[tuple[str, str, str]]:
    """Group, resource and verb of everything that a role allows."""
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def asked(request) -> tuple[str, str, str]:
    """What a request needs, by its path: ``/apis/<group>/<version>[/namespaces/<namespace>]/<resource>[/<name>]``."""
    _, apis, group, _, *rest = request.path.split("/")
    assert apis == "apis"
    resource = rest[2] if rest[0] == "namespaces" else rest[0]
    return group, resource, request.verb


async def everything(api, handler, runtime):
    """A story in which the handler does all that it can do."""
    one = element(entity("iris"), entity("wine"))
    await handler.deploy(one)
    await handler.deploy(one)
    after = element(entity("iris"), like=one)
    await handler.precheck(one, element(entity("iris"), entity("new"), like=one))
    await handler.update(one, after)
    await handler.rollback_update(after, one)
    await handler.migrate(one, after, 0)
    api.wrong["iris"] = standing(False)
    await api.stand("iris", api.wrong["iris"])
    await runtime.hears(lambda told: told.state == "DISABLED")
    await handler.undeploy(after)
    await handler.delete(after)
    await api.make("digits")
    await handler.deployed(element(entity("digits")))
    await runtime.hears(lambda told: told.state == "ENABLED" and told.properties["entities"][0]["name"] == "digits")
    api.wrong["broken"] = standing(False)
    with pytest.raises(Failed):
        await handler.deploy(element(entity("broken"), common={"uninitializedToPassiveTimeout": 1}))
    async with asyncio.timeout(20):
        while await handler.check() is not None:
            await asyncio.sleep(0.05)


async def test_the_role_allows_what_is_asked_and_no_more(tmp_path):
    (role,) = of_kind("ClusterRole")
    async with world(tmp_path) as api, api.kserve(), api.handler() as (handler, runtime):
        await everything(api, handler, runtime)
        assert {asked(request) for request in api.relay.requests} == granted(role)


async def test_the_role_of_a_namespace_allows_it_there(tmp_path):
    (role,) = of_kind("Role", "default")
    assert role["metadata"]["namespace"] == "default"
    async with world(tmp_path) as api, api.kserve(), api.handler(namespaces=("default",)) as (handler, runtime):
        await everything(api, handler, runtime)
        assert {asked(request) for request in api.relay.requests} == granted(role)
        assert all("/namespaces/default/" in request.path for request in api.relay.requests)


@pytest.mark.parametrize("models", [(), ("models", "tests")])
def test_a_role_is_bound_to_the_participant_s_own_account(models):
    (account,) = of_kind("ServiceAccount", *models)
    subject = {"kind": "ServiceAccount", **{key: account["metadata"][key] for key in ("name", "namespace")}}
    kinds = ("Role", "RoleBinding") if models else ("ClusterRole", "ClusterRoleBinding")
    roles, bindings = (of_kind(kind, *models) for kind in kinds)
    assert len(roles) == len(bindings) == max(1, len(models))
    for role, binding in zip(roles, bindings, strict=True):
        assert binding["subjects"] == [subject]
        assert binding["roleRef"]["name"] == role["metadata"]["name"]
        assert binding["metadata"].get("namespace") == role["metadata"].get("namespace")
    other = ("ClusterRole", "ClusterRoleBinding") if models else ("Role", "RoleBinding")
    assert not any(of_kind(kind, *models) for kind in other)
    (deployment,) = of_kind("Deployment", *models)
    assert deployment["spec"]["template"]["spec"]["serviceAccountName"] == account["metadata"]["name"]


def test_its_configuration_is_one(tmp_path: Path):
    (found,) = of_kind("ConfigMap", "models", "tests")
    file = tmp_path / "application.yaml"
    file.write_text(found["data"]["application.yaml"])
    environment = {"HTTP_PASSWORD": "secret", "POD_UID": "7"}
    configuration = read(load([file], environment))
    assert configuration.kafka.servers == "kafka:9092"
    settings = kserve.configured(configuration.settings)
    assert settings == kserve.Settings(namespaces=("models", "tests"))
    assert configuration.warnings() == []


async def test_an_api_server_takes_them(tmp_path):
    async with world(tmp_path) as api:
        for resource, kind in ((CONFIG_MAP, "ConfigMap"), (DEPLOYMENT, "Deployment")):
            (found,) = of_kind(kind)
            found["metadata"]["namespace"] = "default"
            await api.client.create(resource, found)
