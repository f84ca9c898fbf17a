"""Models that users write: a class with ``load``, ``preprocess``, ``predict``, ``postprocess`` and ``explain``.

The class is KServe's, so that what was written for that package runs here with one import changed; where it runs is
ours. Each model has a thread of its own with an event loop on it, so that code which blocks, raises, or tries to end
the process does so to nobody else.
"""

from __future__ import annotations

from collections.abc import Mapping

from mizzen.serve.model import Servable
from mizzen.serve.spec import ModelSpec


def build(spec: ModelSpec, environ: Mapping[str, str]) -> Servable:
    """The model of a spec whose runtime is ``module:Class`` or ``my_model.py:MyModel``, not yet imported.

    Raises:
        LoadError: the runtime is written otherwise.
    """
    from mizzen.serve.custom import building

    return building.build(spec, environ)
