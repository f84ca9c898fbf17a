"""The config map ``inferenceservice-config``: KServe's settings, read in KServe's format.

Every value is a JSON document in a string; unknown keys are left alone, so a config map written for KServe works here.
Source: reference of the KServe control plane, section 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar

import msgspec

from mizzen.apis.quantity import QuantityError, parse
from mizzen.errors import MizzenError

NAME = "inferenceservice-config"
NAMESPACE = "kserve"

MODE_ANNOTATION = "serving.kserve.io/deploymentMode"

Mode = Literal["Standard", "Knative", "ModelMesh"]
_ALIASES: dict[str, Mode] = {
    "Standard": "Standard",
    "RawDeployment": "Standard",
    "Knative": "Knative",
    "Serverless": "Knative",
    "ModelMesh": "ModelMesh",
}
T = TypeVar("T")


class ConfigError(MizzenError):
    """A key of the config map that is no JSON, or holds a value that cannot be meant."""


class _Section(msgspec.Struct, rename="camel"):
    """One key of the config map."""


class Ingress(_Section):
    enable_gateway_api: bool = False
    kserve_ingress_gateway: str = "kserve/kserve-ingress-gateway"
    ingress_domain: str = "example.com"
    additional_ingress_domains: list[str] = []
    ingress_class_name: str | None = None
    domain_template: str = "{{ .Name }}-{{ .Namespace }}.{{ .IngressDomain }}"
    url_scheme: str = "http"
    path_template: str = ""
    disable_ingress_creation: bool = False
    disable_http_route_timeout: bool = msgspec.field(name="disableHTTPRouteTimeout", default=False)

    @property
    def gateway(self) -> tuple[str, str]:
        """Namespace and name of the Gateway that routes attach to."""
        namespace, _, name = self.kserve_ingress_gateway.partition("/")
        return namespace, name


class Rollout(_Section):
    max_surge: str = ""
    max_unavailable: str = ""


class RolloutStrategy(_Section):
    default_rollout: Rollout | None = None


class Deploy(_Section):
    default_deployment_mode: str = "Standard"
    deployment_rollout_strategy: RolloutStrategy | None = None

    @property
    def mode(self) -> Mode:
        return _ALIASES[self.default_deployment_mode]


class StorageInitializer(_Section):
    image: str = "kserve/storage-initializer:latest"
    cpu_request: str = "100m"
    cpu_limit: str = "1"
    memory_request: str = "100Mi"
    memory_limit: str = "1Gi"

    @property
    def resources(self) -> dict[str, dict[str, str]]:
        return {
            "limits": {"cpu": self.cpu_limit, "memory": self.memory_limit},
            "requests": {"cpu": self.cpu_request, "memory": self.memory_request},
        }


class DefaultResources(_Section):
    cpu_limit: str = ""
    memory_limit: str = ""
    cpu_request: str = ""
    memory_request: str = ""


class InferenceServiceDefaults(_Section):
    resource: DefaultResources = DefaultResources()
    service_annotation_disallowed_list: list[str] = []
    service_label_disallowed_list: list[str] = []


class Security(_Section):
    # A config map without this key means false, one with it but without the field too: Go's zero value.
    auto_mount_service_account_token: bool = False


class ServiceSettings(_Section):
    service_cluster_ip_none: bool = msgspec.field(name="serviceClusterIPNone", default=False)


class Config(msgspec.Struct):
    """The whole config map. Without one, the defaults of KServe's code hold."""

    ingress: Ingress = Ingress()
    deploy: Deploy = Deploy()
    storage_initializer: StorageInitializer = StorageInitializer()
    inference_service: InferenceServiceDefaults = InferenceServiceDefaults()
    security: Security = Security()
    service: ServiceSettings = ServiceSettings()


def parse_config(data: Mapping[str, str]) -> Config:
    """The settings in the ``data`` of the config map.

    Raises:
        ConfigError: naming the key and what is wrong in it.
    """
    config = Config(
        ingress=_section(data, "ingress", Ingress),
        deploy=_section(data, "deploy", Deploy),
        storage_initializer=_section(data, "storageInitializer", StorageInitializer),
        inference_service=_section(data, "inferenceService", InferenceServiceDefaults),
        security=_section(data, "security", Security),
        service=_section(data, "service", ServiceSettings),
    )
    if config.deploy.default_deployment_mode not in _ALIASES:
        raise _error(
            "deploy", f"defaultDeploymentMode is {config.deploy.default_deployment_mode!r}; use Standard or Knative"
        )
    if config.ingress.enable_gateway_api and not all(config.ingress.gateway):
        gateway = config.ingress.kserve_ingress_gateway
        raise _error("ingress", f"kserveIngressGateway is {gateway!r}; it must read <namespace>/<name>")
    for kind in config.storage_initializer.resources.values():
        for text in kind.values():
            try:
                parse(text)
            except QuantityError as error:
                raise _error("storageInitializer", str(error)) from error
    return config


def _section(data: Mapping[str, str], key: str, kind: type[T]) -> T:
    text = data.get(key)
    if text is None:
        return kind()
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as error:
        raise _error(key, str(error)) from error


def _error(key: str, what: str) -> ConfigError:
    return ConfigError(f"config map {NAMESPACE}/{NAME}, key {key}: {what}")


def normalised_mode(word: str) -> Mode | None:
    """The deployment mode that a word means, legacy names included, or ``None``."""
    return _ALIASES.get(word)


def deployment_mode(status_mode: str, annotations: Mapping[str, str], config: Config) -> Mode:
    """How an InferenceService is deployed: as its status says, else its annotation, else the config map.

    A mode that was once written to the status stays, whatever is annotated later.
    """
    recorded = normalised_mode(status_mode)
    annotated = normalised_mode(annotations.get(MODE_ANNOTATION, ""))
    return recorded or annotated or config.deploy.mode
