"""What users of the kserve SDK's REST client do. Run with an interpreter that has the SDK, and a server's URL."""

from __future__ import annotations

import asyncio
import sys

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig


async def main(url: str) -> None:
    one = InferenceRESTClient(RESTConfig(protocol="v1", timeout=20))
    two = InferenceRESTClient(RESTConfig(protocol="v2", timeout=20))
    assert await one.is_server_live(url) and await two.is_server_live(url)
    assert await two.is_server_ready(url)
    assert await one.is_model_ready(url, "m") and await two.is_model_ready(url, "m")
    print("ready")

    answer = await one.infer(url, {"instances": [[1.5, 2.5]]}, model_name="m")
    assert answer == {"predictions": [[1.5, 2.5]]}, answer
    answer = await one.explain(url, model_name="explains", data={"instances": [[1]]})
    assert answer == {"explanations": [[1]]}, answer
    print("rows")

    rows = np.arange(8, dtype=np.float32).reshape(2, 4)
    for binary in (True, False):
        tensor = InferInput("x", [2, 4], "FP32")
        tensor.set_data_from_numpy(rows, binary_data=binary)
        for everywhere in (None, True):
            said = {"binary_data_output": True} if everywhere else None
            request = InferRequest("m", [tensor], request_id="r1", parameters=said)
            answer = await two.infer(url, request, model_name="m")
            assert answer.id == "r1" and answer.model_name == "m"
            assert np.array_equal(answer.outputs[0].as_numpy(), rows)
    half = InferInput("h", [1], "FP16")
    half.set_data_from_numpy(np.array([0.5], np.float16), binary_data=True)
    request = InferRequest("m", [half], parameters={"binary_data_output": True})
    answer = await two.infer(url, request, model_name="m")
    assert answer.outputs[0].as_numpy().tolist() == [0.5]
    text = InferInput("t", [1], "BYTES")
    text.set_data_from_numpy(np.array([b"\xc3\xbc"], object), binary_data=True)
    answer = await two.infer(url, InferRequest("m", [text]), model_name="m")
    assert answer.outputs[0].data == ["\xfc"]
    print("tensors")

    for client, name, status in ((one, "nobody", 404), (two, "nobody", 404), (two, "fails", 500)):
        try:
            data = {"instances": [[1]]} if client is one else InferRequest(name, [half])
            await client.infer(url, data, model_name=name)
        except httpx.HTTPStatusError as error:
            assert error.response.status_code == status, error
            assert "Model with name nobody does not exist." in str(error) or "it broke" in str(error)
        else:
            raise AssertionError(name)
    print("errors")
    await one.close()
    await two.close()


asyncio.run(main(sys.argv[1]))
