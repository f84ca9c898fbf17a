"""Pod templates: what is filled in where a manifest is silent, as controllers and clients read it back.

Pods and every kind that carries a template share this. Source: reference of the Kubernetes API, section 9.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mizzen.apis.quantity import canonical
from mizzen.cluster.apiserver.resources import Object, fill

_DEFAULT_MODE = 420  # 0644, as the API writes file modes
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def default_pod_spec(spec: Object) -> None:
    """Fill in a pod's spec, or that of a template, in place.

    Raises:
        QuantityError: an amount of a resource that is no quantity.
    """
    fill(
        spec,
        restartPolicy="Always",
        dnsPolicy="ClusterFirst",
        terminationGracePeriodSeconds=30,
        schedulerName="default-scheduler",
        securityContext={},
    )
    # The old name of the field is kept equal to the new one.
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for volume in spec.get("volumes") or ():
        _default_volume(volume)
    for container in containers(spec):
        _default_container(container, host_network=bool(spec.get("hostNetwork")))
    if "overhead" in spec:
        canonicalise(spec["overhead"])


def default_requests(spec: Object) -> None:
    """In a pod, a limit without a request is also the request."""
    for container in containers(spec):
        resources = container.get("resources") or {}
        for name, amount in (resources.get("limits") or {}).items():
            resources.setdefault("requests", {}).setdefault(name, amount)


def containers(spec: Object) -> Iterator[Object]:
    """Init containers and containers."""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or ()


def canonicalise(amounts: dict[str, Any] | None) -> None:
    """Spell quantities as the API does: ``0.1`` as ``100m``. Raises :class:`QuantityError`."""
    for name, amount in (amounts or {}).items():
        amounts[name] = canonical(amount)  # type: ignore[index]


def quality_of_service(spec: Object) -> str:
    """A pod's QoS class: Guaranteed, Burstable or BestEffort, by the cpu and memory its containers ask for."""
    asked, guaranteed = False, True
    for container in containers(spec):
        resources = container.get("resources") or {}
        requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
        for name in ("cpu", "memory"):
            asked = asked or name in requests or name in limits
            guaranteed = guaranteed and name in limits and requests.get(name, limits[name]) == limits[name]
    return "Guaranteed" if asked and guaranteed else "Burstable" if asked else "BestEffort"


def _default_container(container: Object, *, host_network: bool) -> None:
    fill(
        container,
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        imagePullPolicy=_pull_policy(container.get("image") or ""),
        resources={},
    )
    canonicalise(container["resources"].get("limits"))
    canonicalise(container["resources"].get("requests"))
    for port in container.get("ports") or ():
        fill(port, protocol="TCP")
        if host_network:
            port.setdefault("hostPort", port.get("containerPort"))
    for name in _PROBES:
        if name in container:
            _default_probe(container[name])
    for hook in ((container.get("lifecycle") or {}).get(name) for name in ("postStart", "preStop")):
        if hook and "httpGet" in hook:
            _default_http_get(hook["httpGet"])
    for variable in container.get("env") or ():
        _default_source(variable.get("valueFrom") or {})


def _pull_policy(image: str) -> str:
    if "@" in image:
        return "IfNotPresent"
    tag = image.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def _default_probe(probe: Object) -> None:
    for field, value in (
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ):
        if not probe.get(field):
            probe[field] = value
    if "httpGet" in probe:
        _default_http_get(probe["httpGet"])
    if "grpc" in probe:
        probe["grpc"].setdefault("service", "")


def _default_http_get(action: Object) -> None:
    fill(action, path="/", scheme="HTTP")


def _default_source(source: Object) -> None:
    """Where a variable or a file of the downward API takes its text from."""
    if "fieldRef" in source:
        fill(source["fieldRef"], apiVersion="v1")
    if "resourceFieldRef" in source:
        reference = source["resourceFieldRef"]
        reference["divisor"] = canonical(reference.get("divisor") or 0)


def _default_volume(volume: Object) -> None:
    if len(volume) <= 1:
        volume["emptyDir"] = {}
    for kind in ("configMap", "secret", "projected", "downwardAPI"):
        if kind in volume:
            volume[kind].setdefault("defaultMode", _DEFAULT_MODE)
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    if "sizeLimit" in (volume.get("emptyDir") or {}):
        volume["emptyDir"]["sizeLimit"] = canonical(volume["emptyDir"]["sizeLimit"])
    for item in (volume.get("downwardAPI") or {}).get("items") or ():
        _default_source(item)
    for source in (volume.get("projected") or {}).get("sources") or ():
        if "serviceAccountToken" in source:
            source["serviceAccountToken"].setdefault("expirationSeconds", 3600)
        for item in (source.get("downwardAPI") or {}).get("items") or ():
            _default_source(item)
