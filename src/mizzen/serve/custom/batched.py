"""A custom model whose class says ``batchable = True``: requests joined by rows, as those of a framework's model are.

What the server's batcher takes for a model is made of the class's own stages. They run where all of the model's code
runs, on its thread, one call at a time; the batcher's own thread only waits for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from mizzen.serve.custom import chain
from mizzen.serve.custom.answers import tensor_answer
from mizzen.serve.custom.errors import InferenceError
from mizzen.serve.custom.messages import InferRequest
from mizzen.serve.custom.model import InferenceVerb
from mizzen.serve.custom.tensors import InferInput, RequestedOutput
from mizzen.serve.model import Options, Tensor, TensorModel

if TYPE_CHECKING:
    from mizzen.serve.custom.servable import CustomServable


class Batched(TensorModel):
    """Args:
    servable: brings the model, loaded, and its thread.
    """

    def __init__(self, servable: CustomServable) -> None:
        super().__init__(servable.name, servable.version)
        self.batchable = True
        self._servable = servable

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        answers: list[list[Tensor]] = []
        self._servable.thread.run(self._ask(inputs, options, answers))
        return answers[0]

    async def _ask(self, inputs: list[Tensor], options: Options, answers: list[list[Tensor]]) -> None:
        model = self._servable.model
        assert model is not None
        request = InferRequest(
            self.name,
            [cast(InferInput, InferInput.of(tensor)) for tensor in inputs],
            parameters=dict(options.parameters) if options.parameters else {},
            request_outputs=None if options.outputs is None else [RequestedOutput(name) for name in options.outputs],
            model_version=self.version,
        )
        try:
            answers.append(tensor_answer(await chain.run(model, request, {}, InferenceVerb.PREDICT)).result)
        except SystemExit as error:
            raise InferenceError(f"the model tried to end the process: sys.exit({error.code!r})") from error
