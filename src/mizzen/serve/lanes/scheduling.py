"""How one model's requests are put to it: what may share a call, how many calls at once, how long one may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scheduling:
    """Attributes:
    batching: None leaves it to the model, True declares its rows independent, False keeps calls single.
    rows, size: what one call may hold, in rows and in bytes of tensors. A larger request goes alone.
    latency: seconds for which a call waits for company, if it is not full before. 0: what arrives during one call
        goes into the next, and nothing waits for a clock.
    concurrency: calls at once; None leaves it to the model.
    queue: requests taken and not yet answered; past that they are refused. None: no bound.
    limit: seconds after which a call is given up for stuck, and the model with it.
    """

    batching: bool | None = None
    rows: int = 1024
    size: int = 16 * 1024 * 1024
    latency: float = 0.0
    concurrency: int | None = None
    queue: int | None = None
    limit: float = 600.0
