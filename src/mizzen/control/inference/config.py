"""The config map ``inferenceservice-config``: KServe's settings, read in KServe's format.

Every value is a JSON document in a string; unknown keys are left alone, so a config map written for KServe works here.
Source: reference of the KServe control plane, section 5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, TypeVar

import msgspec

from mizzen.apis.quantity import QuantityError, parse
from mizzen.control.inference import gotemplate
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
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_URL_PATH = re.compile(r"/[\w.~!$&'()*+,;=:@%/-]*", re.ASCII)
T = TypeVar("T")


class ConfigError(MizzenError):
    """A key of the config map that is no JSON, or holds a value that cannot be meant."""


class _Section(msgspec.Struct, rename="camel"):
    """One key of the config map."""


_DOMAIN = "example.com"
_DOMAIN_TEMPLATE = "{{ .Name }}-{{ .Namespace }}.{{ .IngressDomain }}"
_SCHEME = "http"


class Ingress(_Section):
    """An empty domain, domain template or scheme means the default, as in KServe."""

    enable_gateway_api: bool = False
    kserve_ingress_gateway: str = "kserve/kserve-ingress-gateway"
    ingress_domain: str = _DOMAIN
    additional_ingress_domains: list[str] = []
    ingress_class_name: str | None = None
    domain_template: str = _DOMAIN_TEMPLATE
    url_scheme: str = _SCHEME
    path_template: str = ""
    disable_ingress_creation: bool = False
    disable_http_route_timeout: bool = msgspec.field(name="disableHTTPRouteTimeout", default=False)

    def __post_init__(self) -> None:
        self.ingress_domain = self.ingress_domain or _DOMAIN
        self.domain_template = self.domain_template or _DOMAIN_TEMPLATE
        self.url_scheme = self.url_scheme or _SCHEME

    @property
    def gateway(self) -> tuple[str, str]:
        """Namespace and name of the Gateway that routes attach to."""
        namespace, _, name = self.kserve_ingress_gateway.partition("/")
        return namespace, name

    def path(self, name: str, namespace: str) -> str:
        """Where the service is found on the ingress domain itself, without a slash at the end.

        Raises:
            TemplateError: the path template uses what is not supported.
        """
        return gotemplate.render(self.path_template, {"Name": name, "Namespace": namespace}).rstrip("/")


class Rollout(_Section):
    max_surge: str = ""
    max_unavailable: str = ""


class RolloutStrategy(_Section):
    default_rollout: Rollout | None = None


class Deploy(_Section):
    """Where the key is there, it must name a mode."""

    default_deployment_mode: str
    deployment_rollout_strategy: RolloutStrategy | None = None

    @property
    def mode(self) -> Mode:
        return _ALIASES[self.default_deployment_mode]


_INITIALIZER = "kserve/storage-initializer:latest"


class StorageInitializer(_Section):
    image: str = _INITIALIZER
    cpu_request: str = "100m"
    cpu_limit: str = "1"
    memory_request: str = "100Mi"
    memory_limit: str = "1Gi"

    def __post_init__(self) -> None:
        self.image = self.image or _INITIALIZER

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
    resource: DefaultResources = msgspec.field(default_factory=DefaultResources)
    service_annotation_disallowed_list: list[str] = []
    service_label_disallowed_list: list[str] = []


class Security(_Section):
    # A config map without this key means false, one with it but without the field too: Go's zero value.
    auto_mount_service_account_token: bool = False


_SECRET_ANNOTATION = "serving.kserve.io/storageSecretName"
_GOOGLE_FILE = "gcloud-application-credentials.json"


class GcsCredentials(_Section):
    """Google's credentials are a file in a Secret, under this key."""

    credential_file_name: str = msgspec.field(name="gcsCredentialFileName", default=_GOOGLE_FILE)

    def __post_init__(self) -> None:
        self.credential_file_name = self.credential_file_name or _GOOGLE_FILE


class S3Credentials(_Section):
    """Under which keys Secrets have S3's credentials, and how S3 is asked where they do not say. Empty: not said."""

    access_key_id_name: str = msgspec.field(name="s3AccessKeyIDName", default="")
    secret_access_key_name: str = msgspec.field(name="s3SecretAccessKeyName", default="")
    endpoint: str = msgspec.field(name="s3Endpoint", default="")
    use_https: str = msgspec.field(name="s3UseHttps", default="")
    region: str = msgspec.field(name="s3Region", default="")
    verify_ssl: str = msgspec.field(name="s3VerifySSL", default="")
    use_virtual_bucket: str = msgspec.field(name="s3UseVirtualBucket", default="")
    use_accelerate: str = msgspec.field(name="s3UseAccelerate", default="")
    use_anonymous_credential: str = msgspec.field(name="s3UseAnonymousCredential", default="")
    ca_bundle_config_map: str = msgspec.field(name="s3CABundleConfigMap", default="")
    ca_bundle: str = msgspec.field(name="s3CABundle", default="")


class CredentialSettings(_Section):
    storage_secret_name_annotation: str = _SECRET_ANNOTATION
    gcs: GcsCredentials = msgspec.field(default_factory=GcsCredentials)
    s3: S3Credentials = msgspec.field(default_factory=S3Credentials)

    def __post_init__(self) -> None:
        self.storage_secret_name_annotation = self.storage_secret_name_annotation or _SECRET_ANNOTATION


class ServiceSettings(_Section):
    service_cluster_ip_none: bool = msgspec.field(name="serviceClusterIPNone", default=False)


class Config(msgspec.Struct):
    """The whole config map. Without one, the defaults of KServe's code hold."""

    ingress: Ingress = msgspec.field(default_factory=Ingress)
    deploy: Deploy = msgspec.field(default_factory=lambda: Deploy(default_deployment_mode="Standard"))
    storage_initializer: StorageInitializer = msgspec.field(default_factory=StorageInitializer)
    credentials: CredentialSettings = msgspec.field(default_factory=CredentialSettings)
    inference_service: InferenceServiceDefaults = msgspec.field(default_factory=InferenceServiceDefaults)
    security: Security = msgspec.field(default_factory=Security)
    service: ServiceSettings = msgspec.field(default_factory=ServiceSettings)


def parse_config(data: Mapping[str, str]) -> Config:
    """The settings in the ``data`` of the config map.

    Raises:
        ConfigError: naming the key and what is wrong in it.
    """
    defaults = Config()
    config = Config(
        ingress=_section(data, "ingress", defaults.ingress),
        deploy=_section(data, "deploy", defaults.deploy),
        storage_initializer=_section(data, "storageInitializer", defaults.storage_initializer),
        credentials=_section(data, "credentials", defaults.credentials),
        inference_service=_section(data, "inferenceService", defaults.inference_service),
        security=_section(data, "security", defaults.security),
        service=_section(data, "service", defaults.service),
    )
    if config.deploy.default_deployment_mode not in _ALIASES:
        raise _error(
            "deploy", f"defaultDeploymentMode is {config.deploy.default_deployment_mode!r}; use Standard or Knative"
        )
    _check_ingress(config.ingress)
    for kind in config.storage_initializer.resources.values():
        for text in kind.values():
            try:
                parse(text)
            except QuantityError as error:
                raise _error("storageInitializer", str(error)) from error
    return config


def _check_ingress(ingress: Ingress) -> None:
    if ingress.enable_gateway_api and not all(map(_DNS_LABEL.fullmatch, ingress.gateway)):
        gateway = ingress.kserve_ingress_gateway
        raise _error("ingress", f"kserveIngressGateway is {gateway!r}; it must read <namespace>/<name>, two DNS labels")
    if not ingress.path_template:
        return
    try:
        path = ingress.path("name", "namespace") or "/"
    except gotemplate.TemplateError as error:
        raise _error("ingress", f"pathTemplate: {error}") from error
    if not _URL_PATH.fullmatch(path):
        raise _error("ingress", f"pathTemplate {ingress.path_template!r} makes {path!r}, which is no path of a URL")


def _section(data: Mapping[str, str], key: str, default: T) -> T:
    text = data.get(key)
    if text is None:
        return default
    try:
        return msgspec.json.decode(text, type=type(default))
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
