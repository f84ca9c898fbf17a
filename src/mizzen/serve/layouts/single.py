"""One model, named on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from mizzen.serve.errors import ModelNotFound
from mizzen.serve.spec import ModelSpec


class Single:
    """A source of one model.

    Args:
        versions: says which numbered folders there are now, where its files are in such.
    """

    def __init__(self, spec: ModelSpec, versions: Callable[[], Sequence[Path]] | None = None) -> None:
        self._spec = spec
        self._versions = versions

    def names(self) -> list[str]:
        return [self._spec.name]

    def specs(self, name: str, parameters: Mapping[str, Any] | None = None) -> Sequence[ModelSpec]:
        if name != self._spec.name:
            raise ModelNotFound(name)
        if self._versions is None:
            return [self._spec]
        return [replace(self._spec, directory=folder, version=folder.name) for folder in self._versions()]
