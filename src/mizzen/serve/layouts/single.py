"""One model, named on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mizzen.serve.errors import ModelNotFound
from mizzen.serve.spec import ModelSpec


class Single:
    """A source of one model."""

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec

    def names(self) -> list[str]:
        return [self._spec.name]

    def specs(self, name: str, parameters: Mapping[str, Any] | None = None) -> Sequence[ModelSpec]:
        if name != self._spec.name:
            raise ModelNotFound(name)
        return [self._spec]
