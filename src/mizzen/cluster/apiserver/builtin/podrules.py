"""Pod templates: what is refused, and why.

The rules are those whose breach would otherwise surface much later and far from the manifest. What the schema demands
(required fields, types) has been checked before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mizzen.apis.quantity import parse
from mizzen.cluster.apiserver.resources import Object
from mizzen.kube.errors import Cause, duplicate, forbidden_field, invalid_value, required, unsupported

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9](-?[a-z0-9]){0,14}")
_PROBE_HANDLERS = ("exec", "grpc", "httpGet", "tcpSocket")
_PROTOCOLS = ("SCTP", "TCP", "UDP")


def pod_spec_causes(spec: Object, path: str) -> list[Cause]:
    """What is wrong with a pod's spec at ``path``."""
    return list(_pod_spec(spec, path))


def port_causes(port: Any, path: str) -> list[Cause]:
    """What is wrong with a port number."""
    if isinstance(port, int) and 1 <= port <= 65535:
        return []
    return [invalid_value(path, port, "must be between 1 and 65535, inclusive")]


def port_or_name_causes(port: Any, path: str) -> list[Cause]:
    """What is wrong with a port that may be a number or the name of a container's port."""
    if not isinstance(port, str):
        return port_causes(port, path)
    if len(port) <= 15 and _PORT_NAME.fullmatch(port):
        return []
    why = "a port name is at most 15 lower-case letters, digits and single '-', with a letter among them"
    return [invalid_value(path, port, why)]


def _pod_spec(spec: Object, path: str) -> Iterator[Cause]:
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    yield from _one_of(spec, "restartPolicy", ("Always", "OnFailure", "Never"), path)
    yield from _one_of(spec, "dnsPolicy", ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"), path)
    if spec.get("terminationGracePeriodSeconds", 0) < 0:
        yield invalid_value(
            f"{path}.terminationGracePeriodSeconds",
            spec["terminationGracePeriodSeconds"],
            "must be greater than or equal to 0",
        )
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and deadline < 1:
        yield invalid_value(f"{path}.activeDeadlineSeconds", deadline, "must be greater than 0")
    volumes: set[str] = set()
    for place, volume in enumerate(spec.get("volumes") or ()):
        yield from _volume(volume, f"{path}.volumes[{place}]", volumes)
    names: set[str] = set()
    for field in ("initContainers", "containers"):
        for place, container in enumerate(spec.get(field) or ()):
            yield from _container(container, f"{path}.{field}[{place}]", names, volumes)


def _volume(volume: Object, path: str, names: set[str]) -> Iterator[Cause]:
    yield from _unique_name(volume.get("name"), f"{path}.name", names)
    sources = [key for key in volume if key != "name"]
    if len(sources) > 1:
        yield forbidden_field(f"{path}.{sources[1]}", "may not specify more than 1 volume type")


def _container(container: Object, path: str, names: set[str], volumes: set[str]) -> Iterator[Cause]:
    yield from _unique_name(container.get("name"), f"{path}.name", names)
    image = container.get("image") or ""
    if not image:
        yield required(f"{path}.image")
    elif image != image.strip():
        yield invalid_value(f"{path}.image", image, "must not have leading or trailing whitespace")
    yield from _one_of(container, "imagePullPolicy", ("Always", "IfNotPresent", "Never"), path)
    yield from _one_of(container, "terminationMessagePolicy", ("FallbackToLogsOnError", "File"), path)
    yield from _ports(container.get("ports") or (), path)
    yield from _variables(container.get("env") or (), path)
    yield from _mounts(container.get("volumeMounts") or (), path, volumes)
    yield from _amounts(container.get("resources") or {}, path)
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if name in container:
            yield from _probe(container[name], f"{path}.{name}", once=name != "readinessProbe")


def _unique_name(name: Any, path: str, names: set[str]) -> Iterator[Cause]:
    if not name:
        yield required(path)
    elif not _LABEL.fullmatch(name):
        yield invalid_value(path, name, "a name here is at most 63 lower-case letters, digits and '-'")
    elif name in names:
        yield duplicate(path, name)
    names.add(name)


def _ports(ports: Any, path: str) -> Iterator[Cause]:
    names: set[str] = set()
    for place, port in enumerate(ports):
        here = f"{path}.ports[{place}]"
        yield from port_causes(port.get("containerPort"), f"{here}.containerPort")
        yield from _one_of(port, "protocol", _PROTOCOLS, here)
        name = port.get("name")
        if name:
            yield from port_or_name_causes(name, f"{here}.name")
            if name in names:
                yield duplicate(f"{here}.name", name)
            names.add(name)


def _variables(variables: Any, path: str) -> Iterator[Cause]:
    for place, variable in enumerate(variables):
        here = f"{path}.env[{place}]"
        name = variable.get("name") or ""
        if not name:
            yield required(f"{here}.name")
        elif "=" in name or not name.isprintable():
            yield invalid_value(f"{here}.name", name, "a variable's name consists of printable characters except '='")
        source = variable.get("valueFrom")
        if source is not None:
            if variable.get("value"):
                yield invalid_value(f"{here}.valueFrom", "", "may not be specified when `value` is not empty")
            elif len(source) != 1:
                why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
                yield invalid_value(f"{here}.valueFrom", "", why)


def _mounts(mounts: Any, path: str, volumes: set[str]) -> Iterator[Cause]:
    places: set[str] = set()
    for place, mount in enumerate(mounts):
        here = f"{path}.volumeMounts[{place}]"
        name, where = mount.get("name"), mount.get("mountPath")
        if not name:
            yield required(f"{here}.name")
        elif name not in volumes:
            yield Cause("FieldValueNotFound", f"{here}.name", f'Not found: "{name}"')
        if not where:
            yield required(f"{here}.mountPath")
        elif where in places:
            yield invalid_value(f"{here}.mountPath", where, "must be unique")
        places.add(where)
        if mount.get("subPath") and mount.get("subPathExpr"):
            yield invalid_value(f"{here}.subPathExpr", mount["subPathExpr"], "subPathExpr and subPath are exclusive")


def _amounts(resources: Object, path: str) -> Iterator[Cause]:
    limits = resources.get("limits") or {}
    for kind in ("limits", "requests"):
        for name, amount in (resources.get(kind) or {}).items():
            here = f"{path}.resources.{kind}[{name}]" if "/" in name else f"{path}.resources.{kind}.{name}"
            if parse(amount) < 0:
                yield invalid_value(here, amount, "must be greater than or equal to 0")
            elif kind == "requests" and name in limits and parse(amount) > parse(limits[name]):
                why = f"must be less than or equal to {name} limit of {limits[name]}"
                yield invalid_value(f"{path}.resources.requests", amount, why)


def _probe(probe: Object, path: str, *, once: bool) -> Iterator[Cause]:
    handlers = [name for name in _PROBE_HANDLERS if name in probe]
    if not handlers:
        yield required(path, "must specify a handler type")
    for extra in handlers[1:]:
        yield forbidden_field(f"{path}.{extra}", "may not specify more than 1 handler type")
    for name in ("httpGet", "tcpSocket"):
        if name in probe:
            yield from port_or_name_causes(probe[name].get("port"), f"{path}.{name}.port")
    if "grpc" in probe:
        yield from port_causes(probe["grpc"].get("port"), f"{path}.grpc.port")
    if "exec" in probe and not probe["exec"].get("command"):
        yield required(f"{path}.exec.command")
    for field in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"):
        if probe.get(field, 0) < 0:
            yield invalid_value(f"{path}.{field}", probe[field], "must be greater than or equal to 0")
    if once and probe.get("successThreshold", 1) != 1:
        yield invalid_value(f"{path}.successThreshold", probe["successThreshold"], "must be 1")


def _one_of(value: Object, field: str, known: tuple[str, ...], path: str) -> Iterator[Cause]:
    found = value.get(field)
    if found is not None and found not in known:
        yield unsupported(f"{path}.{field}", found, known)
