"""A model from tensors to tensors that another process runs; and the door to a user's own that one runs.

Which of the two a model is, only its loading tells.
"""

from __future__ import annotations

import threading
from pathlib import Path

from mizzen.serve.errors import InferenceError
from mizzen.serve.isolation.child import Child, Lineage
from mizzen.serve.isolation.wire import Answered, Asked, Failed, unwired, wired
from mizzen.serve.model import Options, Servable, Tensor, TensorModel
from mizzen.serve.spec import ModelSpec


class Isolated(TensorModel):
    """A model that another process runs."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec.name, spec.version)
        self._lineage = Lineage(spec)
        self._child: Child | None = None
        self._lock = threading.Lock()

    def load(self) -> Servable | None:
        child, loaded = self._lineage.start()
        if loaded.custom:
            from mizzen.serve.isolation.custom import IsolatedCustom

            return IsolatedCustom(self.name, self.version, self._lineage, child, loaded)
        self._child = child
        self.platform = loaded.platform
        self.batchable = loaded.batchable
        self.inputs, self.outputs = loaded.inputs, loaded.outputs
        self.files = set(map(Path, loaded.files))
        return None

    def unload(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.end()

    def interrupt(self, reason: str) -> bool:
        child = self._child
        if child is not None:
            child.kill(reason)
        # If there is none, one has just died and another starts, which has a limit of its own.
        return True

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        with self._lock:
            child = self._child
            if child is None:
                child = self._child = self._lineage.again()
            try:
                child.channel.send(Asked([wired(tensor) for tensor in inputs], options))
                answer = child.channel.receive()
            except (EOFError, OSError):
                self._child = None
                raise self._lineage.bury(child) from None
        if isinstance(answer, Answered):
            return [unwired(raw) for raw in answer.outputs]
        assert isinstance(answer, Failed)
        if answer.status == 501:
            raise NotImplementedError(answer.text)
        raise InferenceError(answer.text, answer.status)
