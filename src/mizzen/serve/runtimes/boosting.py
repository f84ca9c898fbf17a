"""What the three gradient boosting libraries have in common as models: one file, one table in, one array out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mizzen.serve.errors import LoadError
from mizzen.serve.model import Array, Options, Tensor, TensorMetadata, TensorModel
from mizzen.serve.runtimes import outputs, tables
from mizzen.serve.runtimes.artifact import artifact, contents
from mizzen.serve.runtimes.frameworks import Threads
from mizzen.serve.runtimes.magic import framework_of, framework_of_head
from mizzen.serve.runtimes.tables import Features
from mizzen.serve.spec import ModelSpec


class BoostingModel(TensorModel):
    """A model of trees. Its rows are independent, and the code that runs is the library's alone.

    Args:
        spec: ``settings`` may hold ``nthread``, and MLServer's.
        platform: the library's name, in metadata and in what its files are told by.

    Attributes:
        methods: of a model that is laid out for MLServer.
        features: the columns it was trained on.
        threads: how many a call may use.
    """

    def __init__(self, spec: ModelSpec, environ: Mapping[str, str], platform: str) -> None:
        super().__init__(spec.name, spec.version)
        self.platform = platform
        self.foreign = False
        self.batchable = True
        self.settings = spec.settings
        self.by_method = outputs.is_mlserver(spec.settings)
        self.methods: Sequence[str] = ("predict",)
        self.features = Features(0)
        self.threads = Threads(spec.settings, environ)
        self._directory = spec.directory

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        if not self.by_method:
            return [Tensor("output-0", self.answer(inputs))]
        names = outputs.methods(options, self.methods, "predict")
        return [outputs.by_method(self.answer(inputs, name), name) for name in names]

    def answer(self, inputs: list[Tensor], method: str = "") -> Array:
        """What the library predicts for each row.

        Args:
            method: one of ``methods``; empty is what KServe's server answers.

        Raises:
            InvalidInput: the rows are not this model's.
        """
        raise NotImplementedError

    def file(self, suffixes: Sequence[str], title: str) -> tuple[Path, bytes]:
        """The model's file and what is in it.

        Raises:
            LoadError: there is none, or it is no file of this library.
        """
        path = artifact(self._directory, suffixes, lambda file: framework_of(file) == self.platform)
        data = contents(path)
        found = framework_of_head(data)
        if found != self.platform:
            what = "it is empty" if not data else f"it is a file of {found}" if found else "it does not begin like one"
            raise LoadError(f"{path} is no {title} model: {what}")
        return path, data

    def describe(self, inputs: list[TensorMetadata], told: list[TensorMetadata]) -> None:
        """Set the metadata: what MLServer's settings say, else what the file tells."""
        self.inputs, self.outputs = inputs, told
        if self.by_method:
            self.inputs = tables.declared(self.settings.get("inputs") or ()) or inputs
            self.outputs = tables.declared(self.settings.get("outputs") or ()) or outputs.of_method(told, "predict")
