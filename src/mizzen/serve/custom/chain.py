"""The stages of a custom model, one after the other, for one request.

A stage is called with as many arguments as it takes: models written for older versions of KServe leave out the header
fields. What it returns is awaited if it can be, so plain methods and coroutines mix as their author likes.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from mizzen.serve.custom.model import Headers, InferenceVerb, Model

# Stages that are what the base class has do nothing worth a coroutine.
_IDLE = {name: getattr(Model, name) for name in ("preprocess", "validate", "postprocess")}


@dataclass(slots=True)
class Outcome:
    """What came of a request.

    Attributes:
        result: what the last stage returned.
        headers: fields for the answer.
        times: seconds that each stage took, by its name.
    """

    result: Any = None
    headers: Headers = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)


async def run(
    model: Model, payload: Any, headers: Headers | None, verb: InferenceVerb, outcome: Outcome | None = None
) -> Outcome:
    """Put a request through the stages.

    Args:
        outcome: filled as the stages end, so that it tells the times even if one raises.
    """
    outcome = outcome or Outcome()
    if type(model).__call__ is not Model.__call__:  # a model that does it all by itself
        answer = await _timed("predict", outcome, model, payload, headers, verb)
        outcome.result, outcome.headers = answer if isinstance(answer, tuple) else (answer, {})
        return outcome
    told = (outcome.headers,) if model.required_response_headers else ()
    payload = await _stage("preprocess", outcome, model, payload, headers)
    payload = await _stage("validate", outcome, model, payload)
    if verb is InferenceVerb.EXPLAIN:
        result = await _timed("explain", outcome, model.explain, payload, headers)
    else:
        result = await _timed("predict", outcome, model.predict, payload, headers, *told)
    outcome.result = await _stage("postprocess", outcome, model, result, headers, *told)
    return outcome


def is_plain(model: Model) -> bool:
    """Whether no stage of the model's own is a coroutine, so that one request runs at a time."""
    stages = {name: getattr(model, name) for name in ("preprocess", "predict", "explain", "postprocess")}
    own = {name: one for name, one in stages.items() if getattr(one, "__func__", None) is not getattr(Model, name)}
    if type(model).__call__ is not Model.__call__ or "predict" not in own:
        return False  # forwarding is a coroutine
    return not any(inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one) for one in own.values())


async def _stage(name: str, outcome: Outcome, model: Model, value: Any, *rest: Any) -> Any:
    stage = getattr(model, name)
    if getattr(stage, "__func__", None) is _IDLE[name] and name != "validate":
        outcome.times[name] = 0.0
        return value
    return await _timed(name, outcome, stage, value, *rest)


async def _timed(name: str, outcome: Outcome, stage: Callable[..., Any], *arguments: Any) -> Any:
    began = time.perf_counter()
    try:
        result = stage(*arguments[: _takes(getattr(stage, "__func__", stage), len(arguments), _bound(stage))])
        return await result if inspect.isawaitable(result) else result
    finally:
        outcome.times[name] = time.perf_counter() - began


def _bound(stage: Callable[..., Any]) -> bool:
    return hasattr(stage, "__self__")


@lru_cache(maxsize=1024)
def _takes(function: Callable[..., Any], given: int, bound: bool) -> int:
    """How many of the arguments the function takes by position."""
    try:
        parameters = list(inspect.signature(function).parameters.values())[int(bound) :]
    except (ValueError, TypeError):
        return given  # a builtin that does not tell
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return given
    return min(given, sum(one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in parameters))
