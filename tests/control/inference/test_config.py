"""KServe's config map is read in KServe's format, and what is wrong in it is said with its key."""

from __future__ import annotations

import pytest
import yaml

from inference_objects import SHARED
from mizzen.control.inference.config import Config, ConfigError, deployment_mode, normalised_mode, parse_config
from mizzen.control.inference.manifests import objects


def test_without_a_config_map_kserves_own_defaults_hold():
    config = parse_config({})
    assert config == Config()
    assert config.ingress.domain_template == "{{ .Name }}-{{ .Namespace }}.{{ .IngressDomain }}"
    assert config.ingress.gateway == ("kserve", "kserve-ingress-gateway")
    assert config.deploy.mode == "Standard"
    assert config.security.auto_mount_service_account_token is False
    assert config.storage_initializer.resources == {
        "limits": {"cpu": "1", "memory": "1Gi"},
        "requests": {"cpu": "100m", "memory": "100Mi"},
    }


def test_two_configs_share_nothing():
    first, second = Config(), Config()
    first.ingress.additional_ingress_domains.append("other.com")
    assert second.ingress.additional_ingress_domains == []


def test_kserves_shipped_config_map():
    path = SHARED / "kserve" / "inferenceservice-config.yaml"
    if not path.exists():
        pytest.skip("KServe's config map is not beside this checkout")
    config = parse_config(yaml.safe_load(path.read_text())["data"])
    assert config.deploy.mode == "Knative"
    assert config.ingress.ingress_class_name == "istio"
    assert config.inference_service.resource.memory_limit == "2Gi"
    assert config.security.auto_mount_service_account_token is True


def test_our_shipped_config_map():
    found = next(obj for obj in objects() if obj["kind"] == "ConfigMap")
    config = parse_config(found["data"])
    assert config.deploy.mode == "Standard"
    assert config.ingress.ingress_class_name == "mizzen"
    assert "$VERSION" not in config.storage_initializer.image


@pytest.mark.parametrize(
    ("data", "check"),
    [
        ({"ingress": "{}"}, lambda c: c.ingress.ingress_domain == "example.com"),
        ({"ingress": '{"ingressDomain": "", "urlScheme": "", "domainTemplate": ""}'}, lambda c: c == Config()),
        ({"ingress": '{"unknown": 1, "urlScheme": "https"}'}, lambda c: c.ingress.url_scheme == "https"),
        ({"ingress": '{"disableHTTPRouteTimeout": true}'}, lambda c: c.ingress.disable_http_route_timeout),
        ({"ingress": '{"kserveIngressGateway": "nonsense"}'}, lambda c: not c.ingress.enable_gateway_api),
        (
            {"ingress": '{"pathTemplate": "/serving/{{ .Namespace }}/{{ .Name }}/"}'},
            lambda c: c.ingress.path("iris", "ns") == "/serving/ns/iris",
        ),
        ({"ingress": '{"pathTemplate": "/"}'}, lambda c: c.ingress.path("iris", "ns") == ""),
        ({"deploy": '{"defaultDeploymentMode": "RawDeployment"}'}, lambda c: c.deploy.mode == "Standard"),
        ({"deploy": '{"defaultDeploymentMode": "Serverless"}'}, lambda c: c.deploy.mode == "Knative"),
        ({"security": "{}"}, lambda c: c.security.auto_mount_service_account_token is False),
        (
            {"storageInitializer": '{"image": ""}'},
            lambda c: c.storage_initializer.image == "kserve/storage-initializer:latest",
        ),
        ({"service": '{"serviceClusterIPNone": true}'}, lambda c: c.service.service_cluster_ip_none),
        ({"_example": "not JSON", "logger": "nor this"}, lambda c: c == Config()),
    ],
)
def test_reading(data, check):
    assert check(parse_config(data))


@pytest.mark.parametrize(
    ("data", "key", "word"),
    [
        ({"ingress": "{"}, "ingress", "truncated"),
        ({"ingress": '{"enableGatewayApi": "yes"}'}, "ingress", "enableGatewayApi"),
        ({"ingress": '{"enableGatewayApi": true, "kserveIngressGateway": "gateway"}'}, "ingress", "<namespace>/<name>"),
        ({"ingress": '{"enableGatewayApi": true, "kserveIngressGateway": "a/b/c"}'}, "ingress", "a/b/c"),
        ({"ingress": '{"enableGatewayApi": true, "kserveIngressGateway": "A/b"}'}, "ingress", "DNS"),
        ({"ingress": '{"pathTemplate": "/{{ .Host }}"}'}, "ingress", ".Host"),
        ({"ingress": '{"pathTemplate": "serving/{{ .Name }}"}'}, "ingress", "no path"),
        ({"ingress": '{"pathTemplate": "http://x/{{ .Name }}"}'}, "ingress", "no path"),
        ({"ingress": '{"pathTemplate": "/{{ .Name }}?q"}'}, "ingress", "no path"),
        ({"deploy": "{}"}, "deploy", "defaultDeploymentMode"),
        ({"deploy": '{"defaultDeploymentMode": ""}'}, "deploy", "defaultDeploymentMode"),
        ({"deploy": '{"defaultDeploymentMode": "Docker"}'}, "deploy", "Docker"),
        ({"storageInitializer": '{"cpuLimit": "much"}'}, "storageInitializer", "much"),
        ({"storageInitializer": '{"memoryRequest": ""}'}, "storageInitializer", "quantity"),
        ({"inferenceService": "[]"}, "inferenceService", "object"),
    ],
)
def test_what_cannot_be_meant_is_said_with_its_key(data, key, word):
    with pytest.raises(ConfigError) as caught:
        parse_config(data)
    assert f"key {key}" in str(caught.value)
    assert "kserve/inferenceservice-config" in str(caught.value)
    assert word in str(caught.value)


@pytest.mark.parametrize(
    ("status", "annotation", "default", "mode"),
    [
        ("", None, "Standard", "Standard"),
        ("", None, "Knative", "Knative"),
        ("", "Knative", "Standard", "Knative"),
        ("", "Serverless", "Standard", "Knative"),
        ("", "RawDeployment", "Knative", "Standard"),
        ("", "ModelMesh", "Standard", "ModelMesh"),
        ("", "nonsense", "Knative", "Knative"),
        ("Standard", "Knative", "Knative", "Standard"),
        ("RawDeployment", "Knative", "Knative", "Standard"),
    ],
)
def test_the_mode_is_the_recorded_one_then_the_annotated_then_the_default(status, annotation, default, mode):
    annotations = {} if annotation is None else {"serving.kserve.io/deploymentMode": annotation}
    config = parse_config({"deploy": f'{{"defaultDeploymentMode": "{default}"}}'})
    assert deployment_mode(status, annotations, config) == mode


def test_only_five_words_are_modes():
    known = {
        word: normalised_mode(word) for word in ("Standard", "RawDeployment", "Knative", "Serverless", "ModelMesh")
    }
    assert None not in known.values()
    assert normalised_mode("standard") is None
    assert normalised_mode("") is None
