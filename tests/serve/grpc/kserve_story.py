"""What users of the kserve SDK's gRPC client do. Run with an interpreter that has the SDK, and a server's address."""

from __future__ import annotations

import asyncio
import sys

import grpc
import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest


async def main(address: str) -> None:
    client = InferenceGRPCClient(url=address, timeout=20)
    assert await client.is_server_live()
    assert await client.is_server_ready()
    assert await client.is_model_ready("echo")
    print("ready")

    rows = np.arange(8, dtype=np.float32).reshape(2, 4)
    for binary in (True, False):
        tensor = InferInput("x", [2, 4], "FP32")
        tensor.set_data_from_numpy(rows, binary_data=binary)
        answer = await client.infer(
            InferRequest("echo", [tensor], request_id="r1", parameters={"mode": "fast"}), headers=[("x-tag", "t")]
        )
        assert answer.id == "r1"
        assert np.array_equal(answer.outputs[0].as_numpy(), rows), answer.outputs[0].as_numpy()
    print("raw and typed")

    texts = np.array([b"one", b"\xc3\xa9"], dtype=object)
    tensor = InferInput("text", [2], "BYTES")
    tensor.set_data_from_numpy(texts, binary_data=True)
    answer = await client.infer(InferRequest("echo", [tensor]))
    assert answer.outputs[0].as_numpy().tolist() == texts.tolist()
    half = InferInput("half", [1], "FP16")
    half.set_data_from_numpy(np.array([0.5], np.float16), binary_data=True)
    answer = await client.infer(InferRequest("echo", [half]))
    assert answer.outputs[0].as_numpy().tolist() == [0.5]
    print("texts and halves")

    for name, code, text in (
        ("nobody", grpc.StatusCode.NOT_FOUND, "Model with name nobody does not exist."),
        ("raising", grpc.StatusCode.INTERNAL, "it broke"),
    ):
        try:
            await client.infer(InferRequest(name, [tensor]))
        except grpc.RpcError as error:
            assert (error.code(), error.details()) == (code, text), error
        else:
            raise AssertionError(name)
    print("errors")
    await client.close()


asyncio.run(main(sys.argv[1]))
