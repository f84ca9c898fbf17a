"""What is in the volumes that Kubernetes fills: config maps, secrets, the downward API, and projections of several.

Pure: from the volume's declaration and the objects it names to the files it holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from mizzen.apis.meta import Mapping
from mizzen.cluster.node import downward
from mizzen.cluster.node.errors import VolumeUnavailable
from mizzen.cluster.node.podspec import Facts
from mizzen.cluster.node.references import Objects, Reference, binaries

KINDS = ("configMap", "secret", "downwardAPI", "projected")
_DEFAULT_MODE = 0o644


class File(NamedTuple):
    data: bytes
    mode: int


class Payload(NamedTuple):
    """The files of a volume by their paths in it, and what could not be put there, in words."""

    files: dict[str, File]
    missing: list[str]


def references(volume: Mapping) -> set[Reference]:
    """The objects that the volume's content comes from."""
    return {reference for _, source in _sources(volume) if (reference := _reference(*source)) is not None}


def is_downward(volume: Mapping) -> bool:
    """Whether the content depends on the pod itself, whose labels and annotations may change."""
    return any(source[0] == "downwardAPI" for _, source in _sources(volume))


def payload(volume: Mapping, objects: Objects, facts: Facts) -> Payload:
    """The content of the volume.

    Raises:
        ConfigMissing: an object or key is not there and not optional, or a path leads out of the volume.
    """
    files: dict[str, File] = {}
    missing: list[str] = []
    for default_mode, (kind, source) in _sources(volume):
        match kind:
            case "configMap" | "secret":
                files |= _of_object(kind, source, default_mode, objects)
            case "downwardAPI":
                files |= _of_pod(source, default_mode, facts)
            case _:
                missing.append(f"{kind}: nothing on this node provides it")
    for path in files:
        _check(path)
    return Payload(files, missing)


def _sources(volume: Mapping) -> Iterator[tuple[int, tuple[str, Mapping]]]:
    """Every source with the mode that its files have by default."""
    if volume.get("projected") is not None:
        projected = volume["projected"]
        mode = projected.get("defaultMode")
        for source in projected.get("sources") or ():
            for kind, content in source.items():
                if content is not None:
                    yield _DEFAULT_MODE if mode is None else mode, (kind, content)
        return
    for kind in KINDS:
        content = volume.get(kind)
        if content is not None:
            mode = content.get("defaultMode")
            yield _DEFAULT_MODE if mode is None else mode, (kind, content)


def _reference(kind: str, source: Mapping) -> Reference | None:
    # A secret's volume says secretName, a secret's projection says name.
    name = source.get("secretName") or source.get("name") or ""
    if kind == "configMap":
        return Reference("configmap", name)
    return Reference("secret", name) if kind == "secret" else None


def _of_object(kind: str, source: Mapping, default_mode: int, objects: Objects) -> dict[str, File]:
    reference = _reference(kind, source)
    assert reference is not None
    found = objects.get(reference)
    if found is None:
        if source.get("optional"):
            return {}
        raise VolumeUnavailable(f"{reference} not found")
    values = binaries(found, reference)
    items = source.get("items")
    if not items:
        return {key: File(value, default_mode) for key, value in values.items()}
    files = {}
    for item in items:
        if item["key"] in values:
            files[item["path"]] = File(values[item["key"]], _mode(item, default_mode))
        elif not source.get("optional"):
            raise VolumeUnavailable(f"references non-existent {kind.lower()} key: {item['key']} ({reference})")
    return files


def _of_pod(source: Mapping, default_mode: int, facts: Facts) -> dict[str, File]:
    files = {}
    for item in source.get("items") or ():
        if item.get("fieldRef"):
            text = downward.field(item["fieldRef"].get("fieldPath") or "", facts)
        else:
            reference = item.get("resourceFieldRef") or {}
            text = downward.resource(reference, {"name": reference.get("containerName")}, facts)
        files[item["path"]] = File(text.encode(), _mode(item, default_mode))
    return files


def _mode(item: Mapping, default: int) -> int:
    given = item.get("mode")
    return default if given is None else int(given)


def _check(path: str) -> None:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or parts[0].startswith(".."):
        raise VolumeUnavailable(f"the path {path!r} leads out of its volume")
