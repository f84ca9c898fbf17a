"""What an installation decides about the KServe handler.

Two groups of keys come from the participant's configuration: ``customresourcedefinition``, which Java's participant has
too, and ``mizzen.kserve``, which is ours. Seconds that a composition or instance names itself go before those here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from msgspec import Struct, structs

from mizzen.acm.participant import configuration
from mizzen.apis.meta import ResourceDef
from mizzen.apis.serving.v1beta1.inferenceservice import INFERENCE_SERVICE
from mizzen.errors import MizzenError

READY_BY_TYPE, INDEX_2 = "ready-by-type", "index-2"
PATCH, REJECT = "patch", "reject"


class SettingsError(MizzenError):
    """A configuration that says something impossible; the message names every such key."""


class Settings(Struct, frozen=True, kw_only=True):
    """
    Attributes:
        resource: the kind that is made, read and deleted.
        grace_period: seconds given to what is deleted.
        namespaces: where InferenceServices may be; empty means anywhere. It also decides what is watched: the whole
            cluster, or each of these.
        default_namespace: where those go that name none.
        readiness: by the condition whose type is Ready, or, as Java's participant does, by the third condition.
        updates: whether a deployed element can be changed, or, as with Java's participant, cannot.
        ready_timeout: seconds for each InferenceService, where ``uninitializedToPassiveTimeout`` is not given.
        status_interval: seconds between looks beside the watch, where ``statusCheckInterval`` is not given.
        undeploy_timeout: seconds, where ``undeployTimeoutMs`` is not given.
        keep_failed: leave what a failed deployment has made, for somebody to look at.
        debounce: seconds in which changes of a deployed element are gathered before they are told.
        call_timeout: seconds for one request.
        kubeconfig: the file that names the cluster; without it, what kubectl or a pod would take.
        generation_grace: seconds after which Ready counts though ``observedGeneration`` lags behind. KServe puts a
            child's generation there, which a change that concerns no child never moves.
    """

    resource: ResourceDef = INFERENCE_SERVICE
    grace_period: int = 10
    namespaces: tuple[str, ...] = ()
    default_namespace: str = ""
    readiness: Literal["ready-by-type", "index-2"] = "ready-by-type"
    updates: Literal["patch", "reject"] = "patch"
    ready_timeout: float = 60.0
    status_interval: float = 30.0
    undeploy_timeout: float = 25.0
    keep_failed: bool = False
    debounce: float = 1.0
    call_timeout: float = 30.0
    kubeconfig: str = ""
    generation_grace: float = 15.0

    def allows(self, namespace: str) -> bool:
        return not self.namespaces or namespace in self.namespaces


def read(custom_resource: Mapping[str, Any] | None, kserve: Mapping[str, Any] | None) -> tuple[Settings, list[str]]:
    """The settings that the two groups of keys make, and a warning for each key that is not known.

    Values may be text, as files and environment variables have them.

    Raises:
        SettingsError: a value is not what its key takes.
    """
    problems: list[str] = []
    warnings: list[str] = []
    given: dict[str, Any] = {}
    for group, keys, section in (
        (CUSTOM_RESOURCE, CUSTOM_RESOURCE_KEYS, custom_resource),
        (KSERVE, KSERVE_KEYS, kserve),
    ):
        for key, value in (section or {}).items():
            if key not in keys:
                warnings.append(f"{group}.{key} is not known, and ignored; it takes {', '.join(keys)}")
                continue
            if value in (None, ""):
                continue
            field, of = keys[key]
            try:
                given[field] = of(value)
            except ValueError as error:
                problems.append(f"{group}.{key}: {error}")
    resource = structs.replace(INFERENCE_SERVICE, **{key: given.pop(key) for key in _RESOURCE if key in given})
    found = Settings(resource=resource, **given)
    if found.default_namespace and not found.allows(found.default_namespace):
        problems.append(f"{KSERVE}.defaultNamespace: {found.default_namespace!r} is not among {KSERVE}.namespaces")
    if problems:
        raise SettingsError("; ".join(problems))
    return found, warnings


def configured(source: configuration.Settings) -> Settings:
    """The settings that a participant's configuration makes; what is not known is added to its warnings.

    Raises:
        SettingsError: a value is not what its key takes.
    """
    found, warnings = read(source.section(CUSTOM_RESOURCE, CUSTOM_RESOURCE_KEYS), source.section(KSERVE, KSERVE_KEYS))
    source.warnings.extend(warnings)
    return found


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{value!r} is no number of seconds")
    try:
        seconds = float(value)
    except ValueError:
        raise ValueError(f"{value!r} is no number of seconds") from None
    if not 0 < seconds < float("inf"):
        raise ValueError(f"{value!r} must be more than 0 seconds")
    return seconds


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not str(value).isascii() or not str(value).isdigit():
        raise ValueError(f"{value!r} is no whole number of seconds")
    return int(value)


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    raise ValueError(f"{value!r} is neither true nor false")


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no name")
    return value


def _names(value: Any) -> tuple[str, ...]:
    """A list, or text with commas, as an environment variable gives it."""
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return tuple(value)
    raise ValueError(f"{value!r} is no list of namespaces")


def _one_of(*words: str) -> Callable[[Any], str]:
    def of(value: Any) -> str:
        if value not in words:
            raise ValueError(f"{value!r} is not one of {', '.join(words)}")
        return str(value)

    return of


Keys = dict[str, tuple[str, Callable[[Any], Any]]]

CUSTOM_RESOURCE, KSERVE = "customresourcedefinition", "mizzen.kserve"
_RESOURCE = ("group", "version", "plural")
# Key, field, and how its value is read.
CUSTOM_RESOURCE_KEYS: Keys = {
    "group": ("group", _name),
    "version": ("version", _name),
    "plural": ("plural", _name),
    "grace-period": ("grace_period", _whole),
}
KSERVE_KEYS: Keys = {
    "namespaces": ("namespaces", _names),
    "defaultNamespace": ("default_namespace", _name),
    "readiness": ("readiness", _one_of(READY_BY_TYPE, INDEX_2)),
    "updates": ("updates", _one_of(PATCH, REJECT)),
    "readyTimeoutSeconds": ("ready_timeout", _seconds),
    "statusIntervalSeconds": ("status_interval", _seconds),
    "undeployTimeoutSeconds": ("undeploy_timeout", _seconds),
    "keepFailed": ("keep_failed", _flag),
    "debounceSeconds": ("debounce", _seconds),
    "callTimeoutSeconds": ("call_timeout", _seconds),
    "kubeconfig": ("kubeconfig", _name),
    "generationGraceSeconds": ("generation_grace", _seconds),
}
