"""A model from tensors to tensors that another process runs; and the door to all other kinds that one runs.

Which kind a model is, only its loading tells.
"""

from __future__ import annotations

import threading
from pathlib import Path

from mizzen.serve.generation.model import Encoder
from mizzen.serve.isolation.child import Child, Lineage
from mizzen.serve.isolation.wire import Answered, Asked, Failed, Loaded, raised, unwired, wired
from mizzen.serve.model import Options, Servable, Tensor, TensorModel


class Isolated(TensorModel):
    """A model that another process runs.

    Args:
        lineage: starts such a process, and those after it.
    """

    def __init__(self, name: str, version: str | None, lineage: Lineage) -> None:
        super().__init__(name, version)
        self._lineage = lineage
        self._child: Child | None = None
        self._lock = threading.Lock()
        # The child while it is at a request, and whether it is its first and it was started for that.
        self._at_work: Child | None = None
        self._new = False
        self._state = threading.Lock()

    def load(self) -> Servable | None:
        child, loaded = self._lineage.start()
        if loaded.kind == "custom":
            from mizzen.serve.isolation.custom import IsolatedCustom

            return IsolatedCustom(self.name, self.version, self._lineage, child, loaded)
        if loaded.kind == "generates":
            from mizzen.serve.isolation.generative import IsolatedGenerator

            return IsolatedGenerator(self.name, self.version, self._lineage, child, loaded)
        if loaded.methods is not None:
            encoder = IsolatedEncoder(self.name, self.version, self._lineage)
            encoder.methods = frozenset(loaded.methods)
            encoder._adopt(child, loaded)
            return encoder
        self._adopt(child, loaded)
        return None

    def unload(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.end()

    def interrupt(self, reason: str) -> bool:
        with self._state:
            if self._new:
                # Its start took of the time that this request has, and a start has a limit of its own.
                self._new = False
            elif self._at_work is not None:
                self._at_work.kill(reason)
        return True

    def _adopt(self, child: Child, loaded: Loaded) -> None:
        self._child = child
        self.platform = loaded.platform
        self.batchable = loaded.batchable
        self.inputs, self.outputs = loaded.inputs, loaded.outputs
        self.files = set(map(Path, loaded.files))

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        with self._lock:
            child = self._child
            if child is not None and child.process.poll() is not None:
                # It died while nothing was asked of it: that is nothing to this request.
                self._lineage.bury(child)
                child = None
            started = child is None
            if child is None:
                child = self._child = self._lineage.again()
            with self._state:
                self._at_work, self._new = child, started
            try:
                child.channel.send(Asked([wired(tensor) for tensor in inputs], options))
                answer = child.channel.receive()
            except (EOFError, OSError):
                self._child = None
                raise self._lineage.bury(child) from None
            finally:
                with self._state:
                    self._at_work, self._new = None, False
            if child.reason:
                # It was told to end in the moment in which it answered: that is nothing to whoever asks next.
                self._child = None
                self._lineage.bury(child)
        if isinstance(answer, Answered):
            return [unwired(raw) for raw in answer.outputs]
        assert isinstance(answer, Failed)
        raise raised(answer)


class IsolatedEncoder(Isolated, Encoder):
    """One that turns texts into vectors or scores."""

    predict = Isolated.infer
