"""What the server tells of itself and of its models, the same over REST and gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mizzen
from mizzen.serve.errors import ModelNotReady, ServerNotReady

if TYPE_CHECKING:
    from mizzen.serve.repository import Repository

NAME = "mizzen"
VERSION = mizzen.__version__

# KServe's name for the repository extension, and Triton's names for all that are here.
EXTENSIONS = [
    "model_repository_extension",
    "model_repository",
    "model_configuration",
    "binary_tensor_data",
    "parameters",
    "statistics",
]


def why_not_ready(repository: Repository) -> str | None:
    """Why it makes no sense to send the server requests; None if it does.

    KServe's server says that it is ready whatever its models are. Here one that cannot answer does not keep the others
    from being asked, either; but a server of which no model can answer does not call itself ready.
    """
    if repository.draining:
        return "It is about to end."
    models = list(repository)
    if not models or any(served.ready or served.dormant for served in models):
        return None
    return " ".join(f"{served.model.name}: {served.reason or served.state.value.lower()}." for served in models[:8])


def is_ready(repository: Repository) -> bool:
    """Whether it makes sense to send the server requests."""
    return why_not_ready(repository) is None


def check_ready(repository: Repository, name: str, version: str | None = None) -> None:
    """See that a model can be asked; one that was unloaded to make room can, and is not woken by this.

    Raises:
        ModelNotFound, VersionNotFound, ModelNotReady
        ServerNotReady: the server is about to end.
    """
    served = repository.get(name, version)
    if not served.ready and not served.dormant:
        raise ModelNotReady(name, served.reason)
    if repository.draining:
        raise ServerNotReady
