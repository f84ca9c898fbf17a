"""MLServer's layout: a ``model-settings.json`` beside each model, at any depth, and ``settings.json`` for the server.

What is read is what decides answers: name, implementation, address of the files, versions, declared inputs and
outputs, batching. Settings that have no effect here are named in a warning. Several folders may hold versions of one
name; the highest answers where none is asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from mizzen.serve.arguments import Arguments
from mizzen.serve.errors import LoadError, ModelNotFound
from mizzen.serve.lanes.scheduling import Scheduling
from mizzen.serve.layouts.folder import is_model
from mizzen.serve.spec import ModelSpec

logger = logging.getLogger(__name__)

MODEL = "model-settings.json"
SERVER = "settings.json"


class ModelParameters(Struct):
    uri: str | None = None
    version: str | None = None
    format: str | None = None
    content_type: str | None = None
    extra: dict[str, Any] | None = None
    environment_path: str | None = None
    environment_tarball: str | None = None
    inference_pool_gid: str | None = None
    autogenerate_inference_pool_gid: bool | None = None


class ModelSettings(Struct):
    """A ``model-settings.json``."""

    implementation: str
    name: str = ""
    platform: str = ""
    versions: list[str] = []
    inputs: list[dict[str, Any]] = []
    outputs: list[dict[str, Any]] = []
    max_batch_size: int = 0
    max_batch_time: float = 0.0
    parallel_workers: int | None = None
    warm_workers: bool | None = None
    cache_enabled: bool | None = None
    parameters: ModelParameters | None = None


# Settings of models that change nothing here.
_IDLE_MODEL = ("environment_path", "environment_tarball", "inference_pool_gid", "autogenerate_inference_pool_gid")

# Settings of the server: the argument that each is, or None where it has no effect.
_SERVER: dict[str, str | None] = {
    "host": "host",
    "http_port": "http_port",
    "grpc_port": "grpc_port",
    "grpc_max_message_length": "grpc_max_receive_message_length",
    "parallel_workers": None,
    "debug": None,
    "load_models_at_startup": "load_at_start",
    "parallel_workers_timeout": None,
}


def found(root: Path) -> bool:
    """Whether a folder is laid out for MLServer. One that is a model by itself is not searched: it may be anybody's."""
    if (root / MODEL).is_file() or (root / SERVER).is_file():
        return True
    return not is_model(root) and next(root.glob(f"**/{MODEL}"), None) is not None


class MLServerRepository:
    """Args:
    root: the folder.
    isolation: for every model in it.
    """

    def __init__(self, root: Path, isolation: str = "thread") -> None:
        self._root = root
        self._isolation = isolation
        # What each file said, as long as it is the same: every model is looked for among all of them.
        self._named: dict[Path, tuple[int, int, str]] = {}

    def names(self) -> list[str]:
        return list(dict.fromkeys(name for name, _ in self._files()))

    def specs(self, name: str, parameters: Mapping[str, Any] | None = None) -> Sequence[ModelSpec]:
        files = [file for known, file in self._files() if known == name]
        if not files:
            raise ModelNotFound(name)
        return [self._spec(name, file) for file in files]

    def _files(self) -> list[tuple[str, Path]]:
        files = sorted(file for file in self._root.glob(f"**/{MODEL}") if not _hidden(file.relative_to(self._root)))
        return [(self._name(file), file) for file in files]

    def _name(self, file: Path) -> str:
        now = file.stat()
        written, size, name = self._named.get(file, (-1, -1, ""))
        if (written, size) != (now.st_mtime_ns, now.st_size):
            name = _name(file)
            self._named[file] = (now.st_mtime_ns, now.st_size, name)
        return name

    def _spec(self, name: str, file: Path) -> ModelSpec:
        settings = read(file)
        parameters = settings.parameters or ModelParameters()
        for option in _IDLE_MODEL:
            if getattr(parameters, option):
                logger.warning("%s: parameters.%s has no effect on this server", file, option)
        for option in ("parallel_workers", "cache_enabled"):
            if getattr(settings, option):
                logger.warning("%s: %s has no effect on this server", file, option)
        directory = file.parent if parameters.uri is None else _place(file.parent, parameters.uri)
        batched = settings.max_batch_size > 1 and settings.max_batch_time > 0
        return ModelSpec(
            name=name,
            directory=directory,
            version=parameters.version,
            runtime=settings.implementation,
            settings={
                **(parameters.extra or {}),
                "layout": "mlserver",
                "inputs": settings.inputs,
                "outputs": settings.outputs,
                "content_type": parameters.content_type,
                "platform": settings.platform,
            },
            scheduling=Scheduling(batching=True, rows=settings.max_batch_size, latency=settings.max_batch_time)
            if batched
            else None,
            isolation=self._isolation,
        )


def read(file: Path) -> ModelSettings:
    """Raises:
    LoadError: it is no model's settings; says where and why.
    """
    try:
        return msgspec.json.decode(file.read_bytes(), type=ModelSettings)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LoadError(f"{file}: {error}") from None
    except OSError as error:
        raise LoadError(f"{file} cannot be read: {error.strerror or error}") from None


def configure(root: Path, arguments: Arguments) -> None:
    """Take over what ``settings.json`` says of the server, unless the command line says it."""
    file = root / SERVER
    if not file.is_file():
        return
    try:
        settings = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LoadError(f"{file}: {error}") from None
    for name, value in settings.items():
        argument = _SERVER.get(name)
        if argument is None or not hasattr(arguments, argument):
            arguments.warnings.append(f"{file}: {name} has no effect on this server")
        elif argument not in arguments.given:
            wanted = type(getattr(arguments, argument))
            if wanted is not type(None) and not isinstance(value, wanted):
                kind = "a number" if wanted is int else "true or false" if wanted is bool else "a text"
                raise LoadError(f"{file}: {name} must be {kind}, not {value!r}")
            setattr(arguments, argument, value)


def _name(file: Path) -> str:
    try:
        return read(file).name or file.parent.name
    except LoadError:
        return file.parent.name  # its specs say what is wrong with it


def _place(folder: Path, uri: str) -> Path:
    return folder / uri.removeprefix("file://")


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
