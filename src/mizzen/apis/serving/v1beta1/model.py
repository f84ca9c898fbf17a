"""A model as a predictor names it: its format, where it is, and what overrides its runtime's container."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET

from mizzen.apis.meta import Opt, Schema, field_schema
from mizzen.apis.podspec import ContainerFields

# The shorthands of a predictor, in the order in which the defaulter looks for one.
FRAMEWORKS = (
    "sklearn",
    "tensorflow",
    "xgboost",
    "pytorch",
    "triton",
    "onnx",
    "huggingface",
    "pmml",
    "lightgbm",
    "paddle",
)


class StorageUri(Schema):
    """One of several sources of a model and where in the container it appears.

    Attributes:
        uri: where the model is.
        mount_path: where the container finds it, an absolute path; /mnt/models by default.
    """

    uri: Annotated[str, field_schema(minLength=1)]
    mount_path: Annotated[Opt[str], field_schema(default="/mnt/models", maxLength=255, pattern="^/.*")] = UNSET


class StorageSpec(Schema):
    """A model in storage whose credentials a secret holds. Not served yet.

    Attributes:
        path: the model within the storage.
        parameters: what else the storage needs to know, such as its type or bucket.
        key: the entry of the secret that holds the credentials.
        schema_path: a file within the storage that says what the model's inputs are.
    """

    path: Opt[str] = UNSET
    parameters: Opt[dict[str, str]] = UNSET
    key: Opt[str] = UNSET
    schema_path: Opt[str] = UNSET


class Confidential(Schema):
    """A model that is stored encrypted. Not served yet.

    Attributes:
        enabled: whether the model is decrypted after its download.
        resource_id: the key, as kbs:///repository/type/tag.
    """

    enabled: bool
    resource_id: Opt[str] = UNSET


class ModelFormat(Schema):
    """The format of a model, which decides what runtimes can serve it.

    Attributes:
        name: such as sklearn or xgboost, as a runtime lists it.
        version: the version of the format; any if left out.
    """

    name: str
    version: Opt[str] = UNSET


class FrameworkSpec(ContainerFields):
    """A predictor named by its framework: where the model is, and overrides of the runtime's container.

    Attributes:
        storage_uri: the model: a local path, or an address of file://, http:// or https://. Others are not served yet.
        runtime_version: the tag of the runtime's image; the runtime's own by default.
        protocol_version: the inference protocol, such as v1 or v2; the default depends on the format and is mostly v1.
        storage: the model in storage with credentials; not served yet, use storage_uri.
        confidential: how an encrypted model is decrypted; not served yet.
    """

    storage_uri: Opt[str] = UNSET
    runtime_version: Opt[str] = UNSET
    protocol_version: Opt[str] = UNSET
    storage: Opt[StorageSpec] = UNSET
    confidential: Opt[Confidential] = UNSET


class ModelSpec(FrameworkSpec):
    """A predictor's model, its format, and optionally the runtime that serves it.

    Attributes:
        model_format: the format of the model; a runtime that serves it is chosen.
        runtime: the ServingRuntime or ClusterServingRuntime to use; chosen by format and protocol if left out.
    """

    model_format: Opt[ModelFormat] = UNSET
    runtime: Opt[str] = UNSET
