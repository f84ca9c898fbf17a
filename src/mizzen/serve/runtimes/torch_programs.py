"""The two forms in which PyTorch saves what runs by itself, behind one face: arguments in, what forward returns out.

TorchScript tells the names and kinds of its arguments, and nothing of their types and shapes. An exported program tells
all of it.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from mizzen.serve.errors import InvalidInput, LoadError
from mizzen.serve.model import Array
from mizzen.serve.runtimes.signature import OBJECT, Slot, texts
from mizzen.serve.runtimes.torch_names import leaves

# Kinds of TorchScript arguments that a tensor can stand for.
_TENSORS = ("Tensor", "Optional[Tensor]")
_SCALARS = {"int": int, "float": float, "bool": bool, "str": str}


class Script:
    """A TorchScript module.

    Args:
        device: where it runs.

    Attributes:
        slots: its arguments, under forward's own names.
        outputs: nothing is known of them.
        by_name: whether forward takes one dictionary of tensors, so that names are its keys.

    Raises:
        LoadError: its forward takes what tensors cannot stand for.
    """

    def __init__(self, path: Path, device: Any) -> None:
        import torch

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torch\.jit")
            self._module = torch.jit.load(str(path), map_location=device)
        self._module.eval()
        arguments = self._module.forward.schema.arguments[1:]
        self._kinds = {argument.name: str(argument.type) for argument in arguments}
        for argument in arguments:
            self._check(argument, path)
        self.by_name = list(self._kinds.values()) == ["Dict[str, Tensor]"]
        self.outputs: list[Slot] = []
        self.slots = [
            Slot(
                argument.name,
                OBJECT if str(argument.type) in ("List[str]", "str") else None,
                optional=argument.has_default_value() or str(argument.type).startswith("Optional["),
            )
            for argument in arguments
        ]
        self.floats = _floats(self._module)

    def _check(self, argument: Any, path: Path) -> None:
        kind = str(argument.type)
        if kind in _TENSORS or kind in _SCALARS or kind == "List[str]" or argument.has_default_value():
            return
        if kind == "Dict[str, Tensor]" and len(self._kinds) == 1:
            return
        raise LoadError(
            f"{path} cannot be served: its forward takes '{argument.name}', {kind}, for which no tensor can stand; "
            "wrap it in a module whose forward takes tensors"
        )

    def __call__(self, tensors: dict[str, Any]) -> Any:
        if self.by_name:
            return self._module(tensors)
        return self._module(**tensors)

    def value(self, name: str, array: Array) -> Any:
        """What forward is given for an argument that is no tensor; None if it is one."""
        kind = self._kinds.get(name, "")
        if kind == "List[str]":
            return texts(array, f"input '{name}'").ravel().tolist()
        if kind in _SCALARS:
            if array.size != 1:
                raise InvalidInput(f"input '{name}' is a single {kind}, not {array.size} values")
            return _SCALARS[kind](texts(array, f"input '{name}'").item() if kind == "str" else array.item())
        return None


class Program:
    """An exported program.

    Attributes:
        slots, outputs: its inputs and outputs, with types and shapes.

    Raises:
        LoadError: it takes or gives what the protocol cannot carry.
    """

    by_name = False

    def __init__(self, path: Path, device: Any) -> None:
        import torch
        from torch.utils import _pytree as pytree

        program = torch.export.load(str(path))
        if device.type != "cpu":
            from torch.export.passes import move_to_device_pass

            program = move_to_device_pass(program, device)
        self._module = program.module()
        self._unflatten = pytree.tree_unflatten
        self._spec = program.call_spec.in_spec
        values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
        self._arguments = list(program.graph_signature.user_inputs)
        names = [name for name in self._arguments if isinstance(values.get(str(name)), torch.Tensor)]
        self.slots = [_slot(str(name), values[name], path) for name in names]
        self._types = {name: values[name].dtype for name in names}
        self.outputs = _outputs(program, path)
        self.floats = None

    def __call__(self, tensors: dict[str, Any]) -> Any:
        given = {name: tensor.to(self._types[name]) for name, tensor in tensors.items()}
        # What is no tensor was fixed when the program was exported, and stands among the arguments as its value.
        arguments = [given.get(name) if name in self._types else name for name in self._arguments]
        args, kwargs = self._unflatten(arguments, self._spec)
        try:
            return self._module(*args, **kwargs)
        except AssertionError as error:
            if str(error).startswith("Guard failed"):
                raise InvalidInput(f"the program was exported for other inputs: {error}") from None
            raise

    def value(self, name: str, array: Array) -> Any:
        return None


def _slot(name: str, value: Any, path: Path) -> Slot:
    dtype = numpy_type(value.dtype)
    if dtype is None:
        raise LoadError(f"{path} cannot be served: '{name}' is of {value.dtype}, which the protocol cannot carry")
    return Slot(name, dtype, tuple(size if isinstance(size, int) else -1 for size in value.shape))


def _outputs(program: Any, path: Path) -> list[Slot]:
    """What an exported program returns, by name; nothing if it returns more than tensors."""
    import torch
    from torch.utils import _pytree as pytree

    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    found = [values.get(str(name)) for name in program.graph_signature.user_outputs]
    if not all(isinstance(value, torch.Tensor) for value in found):
        return []
    named = leaves(pytree.tree_unflatten(found, program.call_spec.out_spec))
    return [_slot(name, value, path) for name, value in named.items()]


def numpy_type(dtype: Any) -> np.dtype[Any] | None:
    """numpy's type for PyTorch's; bfloat16, which numpy lacks, goes as float32."""
    import torch

    if dtype == torch.bfloat16:
        return np.dtype(np.float32)
    try:
        found = torch.empty(0, dtype=dtype).numpy().dtype
    except (TypeError, RuntimeError):
        return None
    return None if found.kind == "c" else found


def _floats(module: Any) -> Any:
    """The type of a module's weights, or None if it has none of floats."""
    for value in (*module.parameters(), *module.buffers()):
        if value.is_floating_point():
            return value.dtype
    return None
