# ruff: noqa: RUF013
"""Before a predictor: texts become rows of numbers, and numbers become words."""

import argparse

import numpy as np
from kserve import InferInput, InferRequest, InferResponse, Model, ModelServer, model_server
from kserve.model import PredictorProtocol


class Lengths(Model):
    def __init__(self, name: str, protocol: str):
        super().__init__(name)
        self.asks = protocol
        self.ready = True

    def preprocess(self, payload: dict | InferRequest, headers: dict[str, str] = None):
        texts = payload.inputs[0].as_string() if isinstance(payload, InferRequest) else payload["instances"]
        rows = np.array([[len(text), text.count("a")] for text in texts], dtype=np.float32)
        if self.asks == PredictorProtocol.REST_V1.value:
            return {"instances": rows.tolist()}
        data = InferInput("x", list(rows.shape), "FP32", rows)
        return InferRequest(model_name=self.name, infer_inputs=[data], request_id="from-the-transformer")

    def postprocess(self, result: dict | InferResponse, headers: dict[str, str] = None):
        if isinstance(result, InferResponse):
            return {"predictions": [f"{value:g}" for value in result.outputs[0].as_numpy().ravel()]}
        return {"predictions": [f"{value:g}" for value in np.ravel(result["predictions"])]}


parser = argparse.ArgumentParser(parents=[model_server.parser])
args, _ = parser.parse_known_args()

if __name__ == "__main__":
    ModelServer().start([Lengths(args.model_name, args.predictor_protocol)])
