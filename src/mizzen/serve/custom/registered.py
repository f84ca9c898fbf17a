"""The models of a program, by name: KServe's ``ModelRepository``, for programs that load models by name themselves.

It holds what its program puts there before the server starts; what is served from then on, and in which state it is,
the server's own :class:`~mizzen.serve.repository.Repository` knows.
"""

from __future__ import annotations

from pathlib import Path

from mizzen.serve.custom.model import BaseModel

MODEL_MOUNT_DIRS = "/mnt/models"


class ModelRepository:
    """Args:
    models_dir: where :meth:`load_models` looks.
    """

    def __init__(self, models_dir: str = MODEL_MOUNT_DIRS) -> None:
        self.models: dict[str, BaseModel] = {}
        self.models_dir = models_dir

    def load_models(self) -> None:
        """Load every folder below ``models_dir`` by its name."""
        for entry in sorted(Path(self.models_dir).iterdir()):
            if entry.is_dir():
                self.load_model(entry.name)

    def get_model(self, name: str) -> BaseModel | None:
        return self.models.get(name)

    def get_models(self) -> dict[str, BaseModel]:
        return self.models

    async def is_model_ready(self, name: str) -> bool:
        """Whether there is a model of that name, and it is well."""
        model = self.get_model(name)
        return model is not None and await model.healthy()

    def update(self, model: BaseModel, name: str | None = None) -> None:
        """Put a model there, under its own name or another."""
        self.models[name or model.name] = model

    def load(self, name: str) -> bool:
        """Load a model by its name; for a class of the program's own to say how."""
        return self.load_model(name)

    def load_model(self, name: str) -> bool:
        """See :meth:`load`."""
        return False

    def unload(self, name: str) -> None:
        """Stop a model and forget it.

        Raises:
            KeyError: there is none of that name.
        """
        if name not in self.models:
            raise KeyError(f"model with name {name} does not exist")
        model = self.models.pop(name)
        model.stop()
        if model.engine:
            model.stop_engine()
