"""Asking a model: several requests together, each alone, or both to compare.

These run on the loop or on a model's thread, as :mod:`mizzen.serve.lanes.batching` decides, and never raise: what a
model raises is an answer too.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from mizzen.serve.errors import InferenceError
from mizzen.serve.lanes.joining import agree, differ, join, split
from mizzen.serve.lanes.placement import LoopGauge, ThreadGauge
from mizzen.serve.model import Options, Tensor, TensorModel

Answer = list[Tensor] | BaseException
Requests = list[list[Tensor]]


@dataclass(slots=True)
class Outcome:
    """What became of some requests.

    Attributes:
        answers: one for each; None if the joined call failed, so that each must be asked alone.
        began: on :func:`time.perf_counter`.
        seconds: how long the model took, by the clock.
        cost: how long it took as :mod:`mizzen.serve.lanes.placement` judges it.
        objection: why this model must not be batched any more; empty if there is nothing to say.
        checked: whether the joined call was compared with single ones.
        retried: whether each was asked alone because the joined call failed.
    """

    answers: list[Answer] | None
    began: float
    seconds: float
    cost: float
    objection: str = ""
    checked: bool = False
    retried: bool = False


def together(
    model: TensorModel, requests: Requests, options: Options, gauge: type[LoopGauge | ThreadGauge] = LoopGauge
) -> Outcome:
    """Ask once for all. A single request's error is its answer; that of several is nobody's yet."""
    began = time.perf_counter()
    cost = gauge()
    outputs = _ask(model, requests, options)
    spent, seconds = cost.seconds(), time.perf_counter() - began
    if len(requests) == 1:
        return Outcome([outputs], began, seconds, spent)
    if isinstance(outputs, BaseException):
        return Outcome(None, began, seconds, spent)
    answers: list[Answer] = []
    objection = ""
    try:
        answers += split(outputs, [inputs[0].array.shape[0] for inputs in requests]) or ()
    except Exception as error:
        objection = f"its outputs are not what a model must give: {error}"
    if not answers and not objection:
        objection = "its outputs do not have one row for each row of the inputs"
    return Outcome(answers or None, began, seconds, spent, objection)


def separately(model: TensorModel, requests: Requests, options: Options, failed: Outcome) -> Outcome:
    """Ask for each request alone, once, after ``failed``."""
    answers = [_ask(model, [inputs], options) for inputs in requests]
    seconds = time.perf_counter() - failed.began
    return Outcome(answers, failed.began, seconds, failed.cost, failed.objection, retried=True)


def attempt(model: TensorModel, requests: Requests, options: Options) -> Outcome:
    """Ask once for all and, if that fails, for each alone. For the model's thread."""
    outcome = together(model, requests, options, ThreadGauge)
    return outcome if outcome.answers is not None else separately(model, requests, options, outcome)


def compared(model: TensorModel, requests: Requests, options: Options) -> Outcome:
    """Ask once for all, then for each alone, and answer with the latter. Says if the two disagree."""
    outcome = together(model, requests, options, ThreadGauge)
    if outcome.answers is None:
        return separately(model, requests, options, outcome)
    if not differ(requests):
        return outcome
    outcome.checked = True
    alone = [_ask(model, [inputs], options) for inputs in requests]
    for inputs, shared, single in zip(requests, outcome.answers, alone, strict=True):
        outcome.objection = outcome.objection or _objection(model, inputs, options, shared, single)
    outcome.answers = alone
    return outcome


def _objection(model: TensorModel, inputs: list[Tensor], options: Options, shared: Answer, single: Answer) -> str:
    """What speaks against joining, after a request was answered in company and alone."""
    if isinstance(shared, BaseException):
        return ""
    if isinstance(single, BaseException):
        return f"a request that fails alone passed in company: {single}"
    try:
        same = agree(inputs, shared, single, lambda inputs: _scores(model, inputs, options))
    except Exception as error:
        return f"its answers cannot be compared: {error}"
    return "" if same else "its answer to a request depends on the requests beside it"


def _ask(model: TensorModel, requests: Requests, options: Options) -> Answer:
    try:
        return model.infer(requests[0] if len(requests) == 1 else join(requests), options)
    except SystemExit as error:
        return InferenceError(f"the model tried to end the process: sys.exit({error.code!r})")
    except Exception as error:
        return error


def _scores(model: TensorModel, inputs: list[Tensor], options: Options) -> np.ndarray | None:
    try:
        return model.scores(inputs, options)
    except Exception:
        return None  # no scores, no excuse for a difference
