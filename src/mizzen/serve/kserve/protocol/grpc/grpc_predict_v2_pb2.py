"""The V2 protocol's messages, by the name of the module that protobuf's compiler makes for KServe."""

from mizzen.serve.protocols.grpc.schema import InferParameter, ModelInferRequest, ModelInferResponse

__all__ = ["InferParameter", "ModelInferRequest", "ModelInferResponse"]
