"""KServe's repository of a program's models."""

from mizzen.serve.custom.registered import MODEL_MOUNT_DIRS, ModelRepository

__all__ = ["MODEL_MOUNT_DIRS", "ModelRepository"]
