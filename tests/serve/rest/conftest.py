"""Models that show what reached them, and say what they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from mizzen.serve.generation.model import EMBED, RERANK, Encoder
from mizzen.serve.lanes.lane import Call, Lane
from mizzen.serve.lanes.payloads import PayloadCall
from mizzen.serve.model import NO_OPTIONS, Options, Servable, Tensor, TensorMetadata, TensorModel


class Echo(TensorModel):
    """Answers with its inputs, and remembers them and what was said beside."""

    def __init__(self, name: str = "m", version: str | None = None, inputs: list[TensorMetadata] | None = None) -> None:
        super().__init__(name, version)
        self.platform = "echo"
        self.inputs = inputs or []
        self.seen: list[list[Tensor]] = []
        self.options: Options = NO_OPTIONS

    def load(self) -> None:
        pass

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        self.seen.append(inputs)
        self.options = options
        return [Tensor(tensor.name, tensor.array) for tensor in inputs]

    @property
    def array(self) -> np.ndarray:
        """What came last, if it was one tensor."""
        [tensor] = self.seen[-1]
        return tensor.array


class Answers(Echo):
    """Answers with the tensors that it is given."""

    def __init__(self, *outputs: Tensor) -> None:
        super().__init__()
        self._answer = list(outputs)

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        super().infer(inputs, options)
        return self._answer


class Meaning(Encoder):
    """Makes of a text its length and the number of its words, and likes documents that hold the query."""

    methods = frozenset({EMBED, RERANK})

    def __init__(self, name: str = "meaning") -> None:
        super().__init__(name)
        self.inputs = [TensorMetadata("input-0", "BYTES", [-1])]
        self.outputs = [TensorMetadata("embedding", "FP32", [-1, 2])]

    def load(self) -> None:
        pass

    def embed(self, texts: Sequence[str | list[int]]) -> tuple[np.ndarray, list[int]]:
        words = [len(text.split()) if isinstance(text, str) else len(text) for text in texts]
        return np.array([[len(text), count] for text, count in zip(texts, words, strict=True)], np.float32), words

    def rerank(self, query: str, documents: Sequence[str]) -> tuple[np.ndarray, int]:
        return np.array([float(query in document) for document in documents]), len(documents)

    def predict(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        vectors, _ = self.embed([str(text) for text in inputs[0].array.ravel()])
        return [Tensor("embedding", vectors)]


class Sleeper(Echo):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        import threading

        self.go = threading.Event()

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        self.go.wait(20)
        return super().infer(inputs, options)


class PayloadLane(Lane):
    """Hands each call to a function, on the loop."""

    def __init__(self, answer: Callable[[PayloadCall], Any]) -> None:
        self._answer = answer
        self.calls: list[PayloadCall] = []

    @property
    def in_flight(self) -> int:
        return 0

    def submit(self, call: Call) -> None:
        raise NotImplementedError

    def submit_payload(self, call: PayloadCall) -> None:
        self.calls.append(call)
        asyncio.get_running_loop().call_soon(self._give, call)

    def _give(self, call: PayloadCall) -> None:
        try:
            found = self._answer(call)
        except Exception as error:
            call.give(error)
            return
        if isinstance(found, tuple):
            call.give(*found)
        elif found is not None:
            call.give(found)


class Payloads(Servable):
    """A model that takes payloads, and answers with what ``answer(call)`` returns: a result, or it and extras."""

    def __init__(self, answer: Callable[[PayloadCall], Any], name: str = "p") -> None:
        super().__init__(name)
        self.lane = PayloadLane(answer)

    def load(self) -> None:
        pass

    def open_lane(self, metrics: Any, scheduling: Any, stuck: Any) -> Lane:
        return self.lane


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def asking(serving: Callable[..., Any]) -> Callable[..., Any]:
    """``ask = await asking(model, ...)``: a server of any models, not of tensors alone."""

    async def start(*models: Servable, **options: Any) -> Any:
        ask = await serving(**options)
        for model in models:
            ask.server.repository.load(model)
        return ask

    return start
