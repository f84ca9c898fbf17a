"""A model of a spec: its class imported, and called with what it asks for."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mizzen.serve.custom import importing
from mizzen.serve.custom.model import Model
from mizzen.serve.custom.servable import CustomServable
from mizzen.serve.errors import LoadError
from mizzen.serve.forwarding.config import current
from mizzen.serve.model import Servable
from mizzen.serve.spec import ModelSpec

BASE = "mizzen.serve.Model (from mizzen.serve import Model)"


def build(spec: ModelSpec, environ: Mapping[str, str]) -> Servable:
    """See :func:`mizzen.serve.custom.build`."""
    reference = importing.parse(spec.runtime, spec.directory)
    return CustomServable(spec.name, partial(make, spec, reference), spec.version, environ)


def make(spec: ModelSpec, reference: importing.Reference) -> tuple[Model | Servable, set[Path]]:
    """Import the class and call it. It may also be a TensorModel, or a GenerativeModel.

    Raises:
        LoadError: in words, with the line of the user's own code.
    """
    found, files = importing.load(reference, (Model, Servable), BASE)
    model = construct(found, spec)
    if isinstance(model, Model) and not hasattr(model, "ready"):
        raise LoadError(f"model {spec.name}: the __init__ of {found.__name__} must call super().__init__(name)")
    return model, files


def construct(found: type[Any], spec: ModelSpec) -> Any:
    """Call a class with its name and with those of the settings that it has parameters for.

    Raises:
        LoadError: it wants something that the settings have not.
    """
    given = known(spec)
    try:
        parameters = list(inspect.signature(found).parameters.values())
    except (ValueError, TypeError):
        parameters = []
    arguments: dict[str, Any] = {}
    for one in parameters:
        if one.kind is one.VAR_KEYWORD:
            arguments = {"name": spec.name, **spec.settings, **arguments}
        elif one.kind is not one.VAR_POSITIONAL:
            if one.name in given and given[one.name] is not None:
                arguments[one.name] = given[one.name]
            elif one.default is one.empty:
                raise LoadError(
                    f"model {spec.name}: {found.__name__} wants {one.name!r}: give it a default, or a value in the "
                    "model's settings"
                )
    return found(**arguments)


def known(spec: ModelSpec) -> dict[str, Any]:
    """What a constructor's parameters are filled with, by their names."""
    config = current()
    forwarding = (
        {}
        if config is None
        else {
            "predictor_host": config.predictor_host,
            "predictor_protocol": config.predictor_protocol,
            "predictor_use_ssl": config.predictor_use_ssl,
            "protocol": config.predictor_protocol,
            "use_ssl": config.predictor_use_ssl,
        }
    )
    return {
        "model_name": spec.name,
        "model_dir": str(spec.directory),
        **forwarding,
        **spec.settings,
        "name": spec.name,
        "version": spec.version,
    }
