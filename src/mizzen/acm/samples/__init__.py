"""A composition and an instance to begin with: one scikit-learn model, served by KServe.

ONAP's own sample is refused by its current runtime; these two are not. The instance has two placeholders, the id that
commissioning answers with and the place of the model, which :func:`kserve_instance` fills in.
"""

from __future__ import annotations

import json
from importlib.resources import files
from uuid import UUID

COMPOSITION = "kserve-composition.yaml"
INSTANCE = "kserve-instance.yaml"


def text(name: str) -> str:
    """A sample as it ships: :data:`COMPOSITION` or :data:`INSTANCE`."""
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def kserve_composition() -> str:
    """The composition, ready to be commissioned."""
    return text(COMPOSITION)


def kserve_instance(composition_id: UUID | str, storage_uri: str) -> str:
    """The instance, ready to be posted.

    Args:
        composition_id: of the commissioned composition.
        storage_uri: where the model is, as an InferenceService names it.
    """
    filled = text(INSTANCE).replace("{{compositionId}}", str(composition_id))
    return filled.replace("{{storageUri}}", json.dumps(storage_uri)[1:-1])
