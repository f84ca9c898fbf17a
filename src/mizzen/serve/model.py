"""What a model is to the server: a name, a version, metadata, and one of two call shapes.

Every protocol maps to one of them and every framework implements one; neither knows the other. :class:`TensorModel` is
``infer``, from tensors to tensors: arrays are numpy's, and the first axis is the row axis, which is what lets requests
share one call. :class:`~mizzen.serve.generation.model.GenerativeModel` is ``generate``, from a prompt to chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import UNSET, Struct, UnsetType

if TYPE_CHECKING:
    from mizzen.serve.lanes.lane import Lane
    from mizzen.serve.lanes.scheduling import Scheduling
    from mizzen.serve.observing.metrics import ModelMetrics

# What the protocol lets a parameter be.
Parameter = bool | int | float | str
Parameters = dict[str, Parameter]

Array = np.ndarray[Any, Any]


class Tensor(Struct, gc=False):
    """A named array. Texts are of dtype object and hold ``str`` or ``bytes``, as the protocol brought them."""

    name: str
    array: Array
    parameters: Parameters | None = None


class TensorMetadata(Struct):
    """What one input or output looks like. ``shape`` has -1 for an axis of any length."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] | UnsetType = UNSET


class Options(Struct, frozen=True):
    """What a request says beside its tensors. Requests share a call only if theirs are the same.

    Attributes:
        parameters: the request's, less those that are the protocol's own (``binary_data_output``, ``timeout``).
        outputs: the outputs it asks for, in their order; None is all. The server picks them out of the answer, so a
            model may disregard this.
        headers: names in lower case; None unless the model ``reads_headers``.
        method: ``predict`` or ``explain``.
    """

    parameters: Parameters | None = None
    outputs: tuple[str, ...] | None = None
    headers: dict[str, str] | None = None
    method: str = "predict"

    def key(self) -> Hashable:
        """Equal for options that ask the same. True, 1 and 1.0 are three values here."""
        return (
            tuple((name, type(value), value) for name, value in sorted((self.parameters or {}).items())),
            self.outputs,
            tuple(sorted((self.headers or {}).items())),
            self.method,
        )


# By far the most requests: they are told from others by identity.
NO_OPTIONS = Options()


class Extras(Struct):
    """What an answer says beside its tensors: response parameters, and fields for the response's head."""

    parameters: Parameters | None = None
    headers: dict[str, str] | None = None


class Part(Struct):
    """One answer of several to one request with tensors."""

    outputs: list[Tensor]
    extras: Extras | None = None


class Servable:
    """Anything that can be loaded under a name.

    Attributes:
        name: what requests call it.
        version: None where the model has none.
        platform: the framework, as metadata names it: ``sklearn``, ``onnxruntime_onnx``.
        inputs, outputs: as far as they are known once loaded.
        reads_headers: whether it is to be given the request's header fields.
        files: the files of code of somebody's own that it is made of.
        explains: whether it answers the method ``explain``, too.
        tell: set by whoever serves it; to be called, from any thread, with the reason why it cannot answer for now, and
            with an empty one when it can again.
    """

    def __init__(self, name: str, version: str | None = None) -> None:
        self.name = name
        self.version = version
        self.platform = ""
        self.inputs: list[TensorMetadata] = []
        self.outputs: list[TensorMetadata] = []
        self.reads_headers = False
        self.files: set[Path] = set()
        self.explains = False
        self.tell: Callable[[str], None] | None = None

    def load(self) -> Servable | None:
        """Get ready to answer. Blocking; called once, on a thread or before the server listens.

        Returns:
            the model that stands in this one's place from now on, loaded; nearly always None.

        Raises:
            LoadError: says which file, and why.
        """
        raise NotImplementedError

    def unload(self) -> None:
        """Let go of what :meth:`load` took. Blocking; nothing is asked of the model any more."""

    def open_lane(self, metrics: ModelMetrics, scheduling: Scheduling, stuck: Callable[[str], None]) -> Lane | None:
        """The way to a model that is no :class:`TensorModel` and takes tensors all the same; None if it does not.

        Args:
            stuck: to be called, with the reason, when the model will not answer any more.
        """
        return None


class TensorModel(Servable):
    """A model from tensors to tensors.

    Attributes:
        batchable: whether rows are independent, so that requests may share one call.
        foreign: whether ``infer`` runs code that is not ours or our frameworks'; such code never runs on the loop.
        concurrency: how many threads may be in ``infer`` at once.
    """

    def __init__(self, name: str, version: str | None = None) -> None:
        super().__init__(name, version)
        self.batchable = False
        self.foreign = True
        self.concurrency = 1

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        """Answer. Called by at most ``concurrency`` threads at a time.

        Args:
            inputs: at least one tensor; with a batch, those of several requests joined by rows.
            options: what the requests say beside them; it is the same for all of a batch.

        Returns:
            tensors whose first axis is the inputs', row by row, if the model is ``batchable``.

        Raises:
            InvalidInput: the tensors are not what this model takes (400).
            Exception: anything else is the model's own failure (500, unless it names its status).
        """
        raise NotImplementedError

    def interrupt(self, reason: str) -> bool:
        """Make a call fail that does not end, as not ready for this reason. Called on the loop; returns whether that is
        possible."""
        return False

    def scores(self, inputs: list[Tensor], options: Options) -> Array | None:
        """The scores (rows x classes) that its labels were chosen by, or None. Asked when two answers differ."""
        return None
