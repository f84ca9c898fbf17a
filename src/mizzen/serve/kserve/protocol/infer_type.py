"""KServe's requests, answers and tensors."""

from mizzen.serve.custom.messages import InferRequest, InferResponse
from mizzen.serve.custom.tensors import InferInput, InferOutput, RequestedOutput

__all__ = ["InferInput", "InferOutput", "InferRequest", "InferResponse", "RequestedOutput"]
