"""The messages that go over the wire, in a descriptor pool of our own.

Protobuf's default pool takes each full name once. KServe's package and Triton's client put ``inference.*`` there, each
its own; if ours were there, too, neither could be imported into a process of ours, and a model's code may want to. The
files beside this one are the schema; see :mod:`mizzen.serve.protocols.grpc.protofile`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from mizzen.serve.protocols.grpc import protofile

FOLDER = Path(__file__).with_name("proto")

INFERENCE = "inference.GRPCInferenceService"
HEALTH = "grpc.health.v1.Health"
REFLECTION = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
SERVICES = (INFERENCE, HEALTH, *REFLECTION)


def _files() -> list[FileDescriptorProto]:
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.proto"))}
    reflection = texts["reflection"]
    alpha = reflection.replace("package grpc.reflection.v1;", "package grpc.reflection.v1alpha;")
    return [
        protofile.read(texts["inference"], "inference.proto"),
        protofile.read(texts["health"], "grpc/health/v1/health.proto"),
        protofile.read(reflection, "grpc/reflection/v1/reflection.proto"),
        protofile.read(alpha, "grpc/reflection/v1alpha/reflection.proto"),
    ]


POOL = DescriptorPool()
for _file in _files():
    POOL.AddSerializedFile(_file.SerializeToString())


def message(name: str) -> Any:
    """The class of the message with this full name."""
    return GetMessageClass(POOL.FindMessageTypeByName(name))


def _inference(name: str) -> Any:
    return message(f"inference.{name}")


ServerLiveRequest = _inference("ServerLiveRequest")
ServerLiveResponse = _inference("ServerLiveResponse")
ServerReadyRequest = _inference("ServerReadyRequest")
ServerReadyResponse = _inference("ServerReadyResponse")
ModelReadyRequest = _inference("ModelReadyRequest")
ModelReadyResponse = _inference("ModelReadyResponse")
ServerMetadataRequest = _inference("ServerMetadataRequest")
ServerMetadataResponse = _inference("ServerMetadataResponse")
ModelMetadataRequest = _inference("ModelMetadataRequest")
ModelMetadataResponse = _inference("ModelMetadataResponse")
InferParameter = _inference("InferParameter")
ModelInferRequest = _inference("ModelInferRequest")
ModelInferResponse = _inference("ModelInferResponse")
ModelStreamInferResponse = _inference("ModelStreamInferResponse")
ModelConfigRequest = _inference("ModelConfigRequest")
ModelConfigResponse = _inference("ModelConfigResponse")
ModelStatisticsRequest = _inference("ModelStatisticsRequest")
ModelStatisticsResponse = _inference("ModelStatisticsResponse")
RepositoryIndexRequest = _inference("RepositoryIndexRequest")
RepositoryIndexResponse = _inference("RepositoryIndexResponse")
RepositoryModelLoadRequest = _inference("RepositoryModelLoadRequest")
RepositoryModelLoadResponse = _inference("RepositoryModelLoadResponse")
RepositoryModelUnloadRequest = _inference("RepositoryModelUnloadRequest")
RepositoryModelUnloadResponse = _inference("RepositoryModelUnloadResponse")

HealthCheckRequest = message("grpc.health.v1.HealthCheckRequest")
HealthCheckResponse = message("grpc.health.v1.HealthCheckResponse")
