"""LightGBM: a booster's prediction for each row in double precision; for several classes, a column for each.

The library's reader follows what a file says of itself: one that was cut short takes the process down with it. So the
file is held against its own table of contents before the library sees it. Categories by name are coded here, from the
lists that the file keeps, which is what the library does with a DataFrame at many times the cost.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mizzen.serve.errors import InvalidInput, LoadError
from mizzen.serve.model import Array, Tensor, TensorMetadata
from mizzen.serve.runtimes.boosting import BoostingModel
from mizzen.serve.runtimes.frameworks import framework
from mizzen.serve.runtimes.tables import Features
from mizzen.serve.spec import ModelSpec

SUFFIXES = (".bst", ".txt")

# What a zygote imports once for all servers of this kind.
PRELOAD = ("mizzen.serve.main", "mizzen.serve.runtimes.lightgbm", "lightgbm")


def build(spec: ModelSpec, environ: Mapping[str, str]) -> LightGBMModel:
    return LightGBMModel(spec, environ)


class LightGBMModel(BoostingModel):
    """A booster."""

    def __init__(self, spec: ModelSpec, environ: Mapping[str, str]) -> None:
        super().__init__(spec, environ, "lightgbm")
        self._library: Any = None
        self._booster: Any = None
        self._trees = 0
        self._width = 1

    def load(self) -> None:
        path, data = self.file(SUFFIXES, "LightGBM")
        text = checked(data, path)
        self._library = framework("lightgbm", "lightgbm")
        try:
            booster = self._booster = self._library.Booster(model_str=text)
        except (ValueError, self._library.basic.LightGBMError) as error:
            raise LoadError(
                f"{path} cannot be loaded: it is damaged, or of a newer LightGBM than {self._library.__version__} "
                f"({error})"
            ) from None
        self._trees = booster.num_trees()
        self._width = booster.num_model_per_iteration()
        names = booster.feature_name()
        generic = names == [f"Column_{at}" for at in range(len(names))]
        codes = categories(text, path)
        self.features = Features(booster.num_feature(), () if generic else names, codes)
        texts = [at for at, found in codes.items() if any(isinstance(value, str) for value in found)]
        shape = [-1, self._width] if self._width > 1 else [-1]
        self.describe(self.features.metadata("FP64", texts), [TensorMetadata("output-0", "FP64", shape)])

    def answer(self, inputs: list[Tensor], method: str = "") -> Array:
        if self.features.names and len(inputs) > 1:
            inputs = [self._renamed(tensor) for tensor in inputs]
        rows = self.features.numbers(inputs)
        if rows.dtype.kind != "f" or rows.itemsize < 4:
            # The library would make single precision of them, which has no room for large integers.
            rows = rows.astype(np.float64)
        if not len(rows):
            return np.empty((0, self._width) if self._width > 1 else 0)
        threads = self.threads.for_work(len(rows) * self._trees)
        try:
            return np.asarray(self._booster.predict(rows, num_threads=threads))
        except (ValueError, self._library.basic.LightGBMError) as error:
            raise InvalidInput(str(error)) from None

    def _renamed(self, tensor: Tensor) -> Tensor:
        """LightGBM writes underscores for the blanks in names; whoever asks knows the column by its real one."""
        if tensor.name in self.features.names:
            return tensor
        return Tensor("_".join(tensor.name.split(" ")), tensor.array, tensor.parameters)


def checked(data: bytes, path: Path) -> str:
    """A model's text, if it holds the trees that it lists.

    Raises:
        LoadError: it does not.
    """
    damaged = LoadError(f"{path} is cut short or damaged: it does not hold the trees that it lists")
    sizes = re.search(rb"^tree_sizes=([\d ]*)\r?$", data, re.MULTILINE)
    begin = re.search(rb"^Tree=0\r?$", data, re.MULTILINE)
    end = re.search(rb"^end of trees\r?$", data, re.MULTILINE)
    if sizes is None or end is None or b"\0" in data:
        raise damaged
    at = begin.start() if begin else end.start()
    for number, size in enumerate(sizes.group(1).split()):
        if not re.match(rb"Tree=%d\r?\n" % number, data[at : at + 32]):
            raise damaged
        at += int(size)
    if data[at : end.start()].strip():
        raise damaged
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise damaged from None


def categories(text: str, path: Path) -> dict[int, dict[Any, float]]:
    """The codes of the columns that were categories in the DataFrame a model was trained on, by position.

    Raises:
        LoadError: it cannot be told which columns they are.
    """
    line = re.search(r"^pandas_categorical:(.*)$", text, re.MULTILINE)
    lists = json.loads(line.group(1)) if line else None
    if not lists:
        return {}
    infos = re.search(r"^feature_infos=(.*)$", text, re.MULTILINE)
    kinds = infos.group(1).split(" ") if infos else []
    # A column of numbers has its range, [1:4]; one of categories lists its codes; one that was never used has none.
    found = [at for at, kind in enumerate(kinds) if not kind.startswith("[") and kind != "none"]
    if len(found) != len(lists):
        raise LoadError(
            f"{path} has {len(lists)} columns of categories, and it cannot be told which they are: train it anew "
            "without the columns that have a single value"
        )
    return {
        at: {value: float(code) for code, value in enumerate(values)} for at, values in zip(found, lists, strict=True)
    }
