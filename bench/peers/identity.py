"""A model that gives back its first tensor, for our server: ``mizzen serve identity.py:Identity``."""

from mizzen.serve.model import Options, Tensor, TensorModel


class Identity(TensorModel):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.foreign = False

    def load(self) -> None:
        pass

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        return [Tensor("output-0", inputs[0].array)]
