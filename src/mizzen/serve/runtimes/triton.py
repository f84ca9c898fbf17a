"""A model of a Triton repository: one of our runtimes, held to the ``config.pbtxt`` beside it.

The configuration decides what clients see: which inputs and outputs there are, their types, and their shapes less the
batch axis, which is there if ``max_batch_size`` is not 0. Requests must be as it says, to the letter: who moves here
from Triton gets the same refusals. What the configuration leaves out is completed from the model, where that tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from mizzen.serve.codecs import datatypes
from mizzen.serve.errors import InferenceError, InvalidInput, LoadError
from mizzen.serve.model import Array, Options, Tensor, TensorMetadata, TensorModel
from mizzen.serve.runtimes import registry
from mizzen.serve.runtimes.signature import ONLY, converted, matches
from mizzen.serve.spec import ModelSpec

Config = dict[str, Any]

# The largest batch of a model that could have any, where no configuration says.
ROWS = 1024


def build(spec: ModelSpec, environ: Mapping[str, str]) -> TritonModel:
    return TritonModel(spec, environ)


class _Port(Struct, frozen=True):
    """One input or output of a configuration.

    Attributes:
        shape: as clients see it, the batch axis included.
        inner: as the model sees it.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    inner: tuple[int, ...]
    optional: bool

    @property
    def dtype(self) -> np.dtype[Any]:
        return datatypes.NUMPY[self.datatype]

    @property
    def metadata(self) -> TensorMetadata:
        return TensorMetadata(self.name, self.datatype, list(self.shape))


class TritonModel(TensorModel):
    """Args:
    spec: its settings are ``config``, with ``default_model_filename``, and ``runtime``, which of ours runs it.
    """

    def __init__(self, spec: ModelSpec, environ: Mapping[str, str]) -> None:
        super().__init__(spec.name, spec.version)
        self._config: Config = dict(spec.settings["config"])
        self.platform = self._config["platform"]
        self._told = bool(self._config.get("max_batch_size"))
        settings = {key: value for key, value in spec.settings.items() if key not in ("config", "runtime")}
        batch = self._told
        for key, field in (("inputs", "input"), ("outputs", "output")):
            if ports := _ports(self._config, field, batch):
                settings[key] = [_declared(port) for port in ports]
        inner = registry.build(
            ModelSpec(
                name=spec.name,
                directory=spec.directory / self._config["default_model_filename"],
                version=spec.version,
                runtime=spec.settings["runtime"],
                settings=settings,
            ),
            environ,
        )
        assert isinstance(inner, TensorModel)
        self._inner = inner
        self._inputs: dict[str, _Port] = {}
        self._outputs: dict[str, _Port] = {}
        self._batched = False

    @property
    def config(self) -> Config:
        """The configuration in effect, completed from the model once that is loaded: a ``ModelConfig`` as a mapping of
        its fields, enumerations by name."""
        return effective(self._config)

    @property
    def configuration(self) -> Config:
        """See :mod:`mizzen.serve.configuration`."""
        return self.config

    def load(self) -> None:
        self._inner.load()
        try:
            self._config = complete(self._config, self._inner)
            batched = self._batched = bool(self._config.get("max_batch_size"))
            inputs, outputs = (_ports(self._config, field, batched) for field in ("input", "output"))
            _compare("input", inputs, self._inner.inputs, batched)
            _compare("output", outputs, self._inner.outputs, batched)
        except LoadError as error:
            self._inner.unload()
            raise LoadError(f"model {self.name}, version {self.version}: {error}") from None
        self._inputs = {port.name: port for port in inputs}
        self._outputs = {port.name: port for port in outputs}
        self.inputs = [port.metadata for port in inputs]
        self.outputs = [port.metadata for port in outputs]
        self.batchable = self._inner.batchable and batched
        self.foreign = self._inner.foreign
        self.concurrency = self._inner.concurrency

    def unload(self) -> None:
        self._inner.unload()

    def infer(self, inputs: list[Tensor], options: Options) -> list[Tensor]:
        given = self._checked(inputs)
        wanted = options.outputs
        for name in wanted or ():
            if name not in self._outputs:
                raise InvalidInput(f"unexpected inference output '{name}' for model '{self.name}'")
        if wanted is None and len(self._outputs) < len(self._inner.outputs):
            options = Options(options.parameters, tuple(self._outputs), options.headers, options.method)
        rows = given[0].array.shape[0] if self._batched else None
        found = {tensor.name: tensor for tensor in self._inner.infer(given, options)}
        return [self._answer(self._outputs[name], found, rows) for name in wanted or self._outputs]

    def _checked(self, tensors: list[Tensor]) -> list[Tensor]:
        given: list[Tensor] = []
        names = set()
        for tensor in tensors:
            port = self._inputs.get(tensor.name)
            array = tensor.array
            if port is None and len(self._inputs) == 1 and tensor.name in ONLY:
                # V1's rows have neither a name nor a type.
                [port] = self._inputs.values()
                if array.dtype != port.dtype:
                    array = converted(array, port.dtype, f"input '{port.name}' of model '{self.name}'")
            if port is None:
                raise InvalidInput(
                    f"unexpected inference input '{tensor.name}' for model '{self.name}'; allowed inputs are: "
                    f"{', '.join(self._inputs)}"
                )
            if port.name in names:
                raise InvalidInput(f"input '{port.name}' for model '{self.name}' is given twice")
            names.add(port.name)
            given.append(Tensor(port.name, self._fitting(port, array)))
        missing = [port.name for port in self._inputs.values() if port.name not in names and not port.optional]
        if missing:
            raise InvalidInput(
                f"expected {len(self._inputs)} inputs but got {len(names)} for model '{self.name}'; missing: "
                f"{', '.join(missing)}"
            )
        self._check_rows(given)
        return given

    def _fitting(self, port: _Port, array: Array) -> Array:
        """A request's array as the model is to see it."""
        if array.dtype != port.dtype:
            raise InvalidInput(
                f"inference input '{port.name}' data-type is '{datatypes.name(array.dtype)}', but model '{self.name}' "
                f"expects '{port.datatype}'"
            )
        if not matches(array.shape, port.shape):
            raise InvalidInput(
                f"unexpected shape for input '{port.name}' for model '{self.name}'. Expected {list(port.shape)}, got "
                f"{list(array.shape)}" + (". The first is the batch axis" if self._batched else "")
            )
        return array if port.shape == port.inner else _reshaped(array, port.inner, self._batched)

    def _check_rows(self, given: list[Tensor]) -> None:
        if not self._batched or not given:
            return
        rows = {tensor.array.shape[0] for tensor in given}
        if len(rows) > 1:
            sizes = ", ".join(f"'{tensor.name}' {tensor.array.shape[0]}" for tensor in given)
            raise InvalidInput(f"inputs of model '{self.name}' must have one batch size, not {sizes}")
        limit = self._config["max_batch_size"]
        if self._told and rows.pop() > limit:
            raise InvalidInput(f"inference request batch-size must be <= {limit} for '{self.name}'")

    def _answer(self, port: _Port, found: Mapping[str, Tensor], rows: int | None) -> Tensor:
        tensor = found.get(port.name)
        if tensor is None:
            raise InferenceError(f"model '{self.name}' gave no output '{port.name}', which its configuration names")
        array = tensor.array
        if array.dtype != port.dtype:
            raise InferenceError(
                f"output '{port.name}' of model '{self.name}' is {datatypes.name(array.dtype) or array.dtype}, and its "
                f"configuration says {port.datatype}"
            )
        if rows is not None and (not array.ndim or array.shape[0] != rows):
            raise InferenceError(
                f"output '{port.name}' of model '{self.name}' is of shape {list(array.shape)} for {rows} rows: "
                "without an axis for the batch max_batch_size must be 0"
            )
        if port.shape != port.inner:
            array = _reshaped(array, port.shape, self._batched)
        if not matches(array.shape, port.shape):
            raise InferenceError(
                f"output '{port.name}' of model '{self.name}' is of shape {list(array.shape)}, and its configuration "
                f"says {list(port.shape)}"
            )
        return Tensor(port.name, array, tensor.parameters)


def complete(config: Config, model: TensorModel) -> Config:
    """What a configuration leaves out, from what the model tells of itself.

    Raises:
        LoadError: it tells nothing.
    """
    missing = [field for field in ("input", "output") if not config.get(field)]
    if not missing:
        return config
    told = {"input": model.inputs, "output": model.outputs}
    for field in missing:
        if not told[field]:
            raise LoadError(
                f"the model does not tell its {field}s: config.pbtxt must name them, with data_type and dims"
            )
    made = dict(config)
    if len(missing) == 2 and not config.get("max_batch_size"):
        every = [*model.inputs, *model.outputs]
        if all(one.shape and one.shape[0] == -1 for one in every) and model.batchable:
            made["max_batch_size"] = ROWS
    skip = 1 if made.get("max_batch_size") else 0
    for field in missing:
        made[field] = [
            {"name": one.name, "data_type": _data_type(one.datatype), "dims": list(one.shape[skip:])}
            for one in told[field]
        ]
    return made


def effective(config: Config) -> Config:
    """A configuration with Triton's defaults said."""
    made = dict(config)
    made.setdefault("version_policy", {"latest": {"num_versions": 1}})
    made.setdefault("max_batch_size", 0)
    made["input"] = [{"format": "FORMAT_NONE", **one} for one in config.get("input", ())]
    made["output"] = [{"label_filename": "", **one} for one in config.get("output", ())]
    groups = config.get("instance_group") or [{}]
    made["instance_group"] = [
        {"name": f"{config['name']}_{at}", "kind": "KIND_AUTO", "count": 1, **group} for at, group in enumerate(groups)
    ]
    made.setdefault("parameters", {})
    return made


def _ports(config: Config, field: str, batched: bool) -> list[_Port]:
    axis = (-1,) if batched else ()
    found = []
    for one in config.get(field, ()):
        dims = (*axis, *one["dims"])
        reshape = one.get("reshape")
        inner = dims if reshape is None else (*axis, *reshape.get("shape", ()))
        found.append(_Port(one["name"], _datatype(one["data_type"]), dims, inner, bool(one.get("optional"))))
    return found


def _declared(port: _Port) -> dict[str, Any]:
    return {"name": port.name, "datatype": port.datatype, "shape": list(port.inner), "optional": port.optional}


def _compare(field: str, ports: Sequence[_Port], told: Sequence[TensorMetadata], batched: bool) -> None:
    """Hold a configuration against what the model tells of itself.

    Raises:
        LoadError: they contradict each other.
    """
    if not told:
        return
    known = {one.name: one for one in told}
    for port in ports:
        one = known.get(port.name)
        if one is None:
            raise LoadError(f"the configuration has an {field} '{port.name}', the model has {', '.join(known)}")
        if one.datatype != port.datatype:
            raise LoadError(
                f"{field} '{port.name}' is {_data_type(port.datatype)} in the configuration, and "
                f"{_data_type(one.datatype)} in the model"
            )
        fixed = batched and bool(one.shape) and one.shape[0] != -1
        if fixed or not _compatible(port.inner, one.shape):
            why = (
                f"dims {list(port.inner[1:])} after the batch axis that max_batch_size asks for"
                if batched
                else f"dims {list(port.inner)}, and no batch axis, since max_batch_size is 0"
            )
            raise LoadError(f"{field} '{port.name}' of the model is of shape {one.shape}; the configuration says {why}")
    lacking = [name for name in known if name not in {port.name for port in ports}]
    if field == "input" and lacking:
        raise LoadError(f"the configuration lacks the inputs {', '.join(lacking)} of the model")


def _compatible(said: Sequence[int], shape: Sequence[int]) -> bool:
    if not shape:
        return True  # of a scalar, or of a rank that the model does not tell
    return len(said) == len(shape) and all(a == b or -1 in (a, b) for a, b in zip(said, shape, strict=True))


def _reshaped(array: Array, shape: Sequence[int], batched: bool) -> Array:
    """To another shape; the axes of any length keep their order."""
    if batched:
        shape = (array.shape[0], *shape[1:])
    rest = shape[1:] if batched else shape
    if rest.count(-1) > 1:
        # Each axis of any length goes to one of any length; the others are of length 1 on one side or the other.
        lengths = iter(size for size in (array.shape[1:] if batched else array.shape) if size != 1)
        rest = tuple(next(lengths, 1) if size == -1 else size for size in rest)
        shape = (array.shape[0], *rest) if batched else rest
    try:
        if array.size == 0:
            shape = tuple(0 if size == -1 else size for size in shape)
        return array.reshape(tuple(shape))
    except ValueError:
        raise InvalidInput(f"shape {list(array.shape)} cannot be made {list(shape)}") from None


def _datatype(data_type: str) -> str:
    return "BYTES" if data_type == "TYPE_STRING" else data_type.removeprefix("TYPE_")


def _data_type(datatype: str) -> str:
    return "TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}"
