"""A program that serves two models that crash when they are told to: one of a user's, and a quick one of ours."""

from __future__ import annotations

import ctypes
from typing import Any

from mizzen.serve import Model, ModelServer
from mizzen.serve.model import Options, Tensor, TensorModel


class Own(Model):
    def load(self) -> bool:
        self.ready = True
        return True

    def predict(self, payload: Any, headers: Any = None) -> Any:
        if payload["instances"] == ["crash"]:
            ctypes.string_at(0)
        return {"predictions": payload["instances"]}


class Quick(TensorModel):
    """Runs on the event loop once it has been quick for long enough."""

    def load(self) -> None:
        self.foreign = False

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        if inputs[0].array.dtype.kind == "O":
            ctypes.string_at(0)
        return [Tensor("o", inputs[0].array)]


if __name__ == "__main__":
    ModelServer().start([Own("own"), Quick("quick")])
