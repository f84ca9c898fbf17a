"""What every protocol makes of a request's parameters, and of the outputs it asks for: plain functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mizzen.serve.errors import InvalidInput
from mizzen.serve.model import NO_OPTIONS, Options, Parameters, Servable, Tensor

# Parameters that are the protocol's: how the answer is to be written, and how long it is waited for.
BINARY_OUTPUT = "binary_data_output"
TIMEOUT = "timeout"
# Triton's, which would change the answer, or where it goes.
CLASSIFICATION = "classification"
SHARED_MEMORY = "shared_memory_region"
_OURS = {BINARY_OUTPUT, TIMEOUT}


def options(
    model: Servable,
    parameters: Parameters | None,
    outputs: Sequence[str] | None,
    headers: Callable[[], dict[str, str]],
    method: str = "predict",
) -> Options:
    """What a request says beside its tensors; the one constant where it says nothing.

    Args:
        parameters: the request's, as they came.
        outputs: the names it asks for.
        headers: gives the request's fields; called only for a model that reads them.
    """
    kept = {name: value for name, value in parameters.items() if name not in _OURS} if parameters else None
    if not kept and outputs is None and not model.reads_headers and method == "predict":
        return NO_OPTIONS
    wanted = None if outputs is None else tuple(outputs)
    return Options(kept or None, wanted, headers() if model.reads_headers else None, method)


def check_output(name: str, parameters: Parameters | None) -> None:
    """See that nothing is asked of an output that would be another answer than the one that is given.

    Raises:
        InvalidInput: it is to be classified, or put into shared memory.
    """
    if parameters:
        for unknown in (CLASSIFICATION, SHARED_MEMORY):
            if unknown in parameters:
                raise InvalidInput(f"output '{name}': {unknown} is not supported; the tensor itself is sent")


def deadline(parameters: Parameters | None, now: float) -> float | None:
    """When the caller stops waiting, on the clock of ``now`` (seconds).

    It is the request parameter ``timeout``, in microseconds, which Triton's clients send.

    Raises:
        InvalidInput: it is no positive number.
    """
    if not parameters or TIMEOUT not in parameters:
        return None
    value = parameters[TIMEOUT]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e15:
        raise InvalidInput(f"the parameter timeout must be a positive number of microseconds, not {value!r}")
    return now + value / 1e6


def chosen(outputs: list[Tensor], wanted: Sequence[str] | None, model: str) -> list[Tensor]:
    """The outputs that a request asks for, in its order.

    Raises:
        InvalidInput: one does not exist.
    """
    if wanted is None:
        return outputs
    by_name = {tensor.name: tensor for tensor in outputs}
    for name in wanted:
        if name not in by_name:
            raise InvalidInput(f"Unexpected inference output '{name}' for model '{model}'")
    return [by_name[name] for name in wanted]
