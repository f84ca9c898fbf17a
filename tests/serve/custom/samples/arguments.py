# ruff: noqa: RUF013
"""A program with arguments of its own beside the server's."""

import argparse
import logging

import kserve
from kserve import model_server
from kserve.model import InferRequest, ModelInferRequest

logging.basicConfig(level=kserve.constants.KSERVE_LOGLEVEL)


class Greeter(kserve.Model):
    def __init__(self, name: str, greeting: str):
        super().__init__(name, return_response_headers=True)
        self.greeting = greeting
        self.ready = True

    async def predict(
        self,
        payload: dict | InferRequest | ModelInferRequest,
        headers: dict[str, str] = None,
        response_headers: dict[str, str] = None,
    ) -> dict:
        response_headers["x-greeting"] = self.greeting
        return {"predictions": [f"{self.greeting} {who}" for who in payload["instances"]]}


parser = argparse.ArgumentParser(parents=[model_server.parser])
parser.add_argument("--greeting", default="hello")
args, _ = parser.parse_known_args()

if __name__ == "__main__":
    kserve.ModelServer(http_port=args.http_port).start([Greeter(args.model_name, args.greeting)])
