"""A program that serves a model which answers with what it gets."""

from __future__ import annotations

from mizzen.serve import ModelServer
from mizzen.serve.model import Options, Tensor, TensorModel


class Echo(TensorModel):
    def load(self) -> None:
        self.foreign = False

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        return [Tensor(tensor.name, tensor.array) for tensor in inputs]


if __name__ == "__main__":
    ModelServer().start([Echo("echo")])
