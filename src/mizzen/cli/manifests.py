"""Reading manifests from files, folders and standard input, with each document's place for messages.

They are read as the API reads them (and kubectl): a plain ``yes`` is a boolean, a date is a text.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from mizzen.cluster.apiserver.decode import decode
from mizzen.cluster.apiserver.yaml11 import Document, load_all
from mizzen.errors import MizzenError
from mizzen.kube.errors import ApiError

_SUFFIXES = (".yaml", ".yml", ".json")


class ManifestError(MizzenError):
    """Files that hold no manifests; the message names each, with the line where one can be told."""


class Manifest(msgspec.Struct):
    """One document and where it was found (``model.yaml``, or ``model.yaml:14 (document 2)``)."""

    where: str
    value: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.value["metadata"]["name"])


def read(sources: tuple[str, ...]) -> list[Manifest]:
    """All documents of the named files, of the manifests in the named folders, and of ``-``, standard input.

    Raises:
        ManifestError: files cannot be read, are no YAML or JSON, or hold what is no Kubernetes object. Every mistake
            is told at once, because a person mends them all before trying again.
    """
    mistakes: list[str] = []
    found = [manifest for source in sources for manifest in _read(source, mistakes)]
    if len(mistakes) > 1:
        lines = "".join(f"\n  {mistake}" for mistake in mistakes)
        raise ManifestError(f"{len(mistakes)} mistakes in the manifests; nothing was sent to the API:{lines}")
    if mistakes:
        raise ManifestError(mistakes[0])
    return found


def _read(source: str, mistakes: list[str]) -> Iterator[Manifest]:
    for name, load in _texts(source, mistakes):
        try:
            yield from _documents(name, load(), mistakes)
        except OSError as error:
            mistakes.append(f"{name}: {error.strerror}")
        except ManifestError as error:
            mistakes.append(str(error))


def _texts(source: str, mistakes: list[str]) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """The names of the texts that a source means, and how each is read."""
    path = Path(source)
    if source == "-":
        yield "standard input", sys.stdin.buffer.read
    elif path.is_dir():
        entries = sorted(entry for entry in path.iterdir() if entry.suffix in _SUFFIXES)
        if not entries:
            mistakes.append(f"{source}: the folder holds no manifests ({', '.join(_SUFFIXES)})")
        for entry in entries:
            yield str(entry), entry.read_bytes
    else:
        yield source, path.read_bytes


def _documents(where: str, text: bytes, mistakes: list[str]) -> Iterator[Manifest]:
    try:
        documents = list(_load(where, text))
    except ApiError as error:
        raise ManifestError(str(error)) from error
    if not documents:
        raise ManifestError(f"{where}: holds no object")
    for number, document in enumerate(documents, 1):
        place = where if len(documents) == 1 else f"{where}:{document.line} (document {number})"
        mistakes += [f"{place}: the key {key} stands twice" for key in document.duplicates]
        yield from _objects(place, document.value, mistakes)


def _load(where: str, text: bytes) -> Iterable[Document]:
    if text.lstrip()[:1] == b"{":
        try:
            found = decode(text, "application/json", find_duplicates=True)
            return [Document(1, found.value, found.duplicates)]
        except ApiError:
            pass  # YAML may begin with a brace, too, and its reader says where it is wrong
    return load_all(text, where)


def _objects(where: str, document: Any, mistakes: list[str]) -> Iterator[Manifest]:
    if not isinstance(document, dict):
        mistakes.append(f"{where}: is {_kind_of(document)}, not an object with apiVersion, kind and metadata")
        return
    missing = [key for key in ("apiVersion", "kind") if not isinstance(document.get(key), str) or not document[key]]
    if not missing and document["kind"] == "List":
        for number, item in enumerate(document.get("items") or (), 1):
            yield from _objects(f"{where} item {number}", item, mistakes)
        return
    if not isinstance(document.get("metadata"), dict):
        missing.append("metadata")
    elif not document["metadata"].get("name"):
        missing.append("metadata.name")
    if missing:
        mistakes.append(f"{where}: {' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing")
        return
    yield Manifest(where, document)


def _kind_of(value: Any) -> str:
    if isinstance(value, list):
        return "a list"
    return "a text" if isinstance(value, str) else f"a {type(value).__name__}"


def files_option(help_text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``-f FILE``, as often as needed."""
    return click.option("-f", "--filename", "sources", multiple=True, metavar="FILE|FOLDER|-", help=help_text)
