"""Reading manifests from files, folders and standard input, with each document's place for messages."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import yaml

from mizzen.errors import MizzenError

_SUFFIXES = (".yaml", ".yml", ".json")


class ManifestError(MizzenError):
    """A file that holds no manifest; the message has its name, and the line where one can be told."""


class Manifest(msgspec.Struct):
    """One document and where it was found (``model.yaml``, or ``model.yaml document 2``)."""

    where: str
    value: dict[str, Any]

    @property
    def title(self) -> str:
        """``inferenceservice.serving.kserve.io/iris``, as messages name an object."""
        group = self.value["apiVersion"].rpartition("/")[0]
        kind = self.value["kind"].lower()
        return f"{kind}.{group}/{self.name}" if group else f"{kind}/{self.name}"

    @property
    def name(self) -> str:
        return str(self.value["metadata"].get("name") or "")


def read(sources: tuple[str, ...]) -> list[Manifest]:
    """All documents of the named files, of the manifests in the named folders, and of ``-``, standard input.

    Raises:
        ManifestError: a file cannot be read, is no YAML or JSON, or holds something that is no Kubernetes object.
    """
    return [manifest for source in sources for manifest in _read(source)]


def _read(source: str) -> Iterator[Manifest]:
    if source == "-":
        yield from _documents("standard input", sys.stdin.read())
        return
    path = Path(source)
    if path.is_dir():
        found = sorted(entry for entry in path.iterdir() if entry.suffix in _SUFFIXES)
        if not found:
            raise ManifestError(f"{source}: the folder holds no manifests ({', '.join(_SUFFIXES)})")
        for entry in found:
            yield from _documents(str(entry), _text(entry))
        return
    yield from _documents(source, _text(path))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise ManifestError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: is no UTF-8 text (byte {error.start})") from error


def _documents(where: str, text: str) -> Iterator[Manifest]:
    try:
        documents = [document for document in yaml.load_all(text, yaml.CSafeLoader) if document is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        what = getattr(error, "problem", None) or str(error)
        raise ManifestError(f"{where}{place}: malformed YAML: {what}") from error
    if not documents:
        raise ManifestError(f"{where}: holds no object")
    for number, document in enumerate(documents, 1):
        place = where if len(documents) == 1 else f"{where} document {number}"
        yield from _objects(place, document)


def _objects(where: str, document: Any) -> Iterator[Manifest]:
    if not isinstance(document, dict):
        raise ManifestError(f"{where}: is {_kind_of(document)}, not an object with apiVersion, kind and metadata")
    for key in ("apiVersion", "kind"):
        if not isinstance(document.get(key), str) or not document[key]:
            raise ManifestError(f"{where}: {key} is missing")
    if document["kind"] == "List":
        for number, item in enumerate(document.get("items") or (), 1):
            yield from _objects(f"{where} item {number}", item)
        return
    if not isinstance(document.get("metadata"), dict):
        raise ManifestError(f"{where}: metadata is missing")
    yield Manifest(where, document)


def _kind_of(value: Any) -> str:
    if isinstance(value, list):
        return "a list"
    return "a text" if isinstance(value, str) else f"a {type(value).__name__}"


def files_option(help_text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``-f FILE``, as often as needed."""
    return click.option("-f", "--filename", "sources", multiple=True, metavar="FILE|FOLDER|-", help=help_text)
