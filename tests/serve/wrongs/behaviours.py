"""Models that do what models should not. A server imports this where a pickle names one of them."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

RAISES, EXITS, HANGS, SEGFAULTS, ENDS, LEAKS, EATS = range(11, 18)


class Moody:
    """Twice its input; at some numbers it does what it should not."""

    n_features_in_ = 1

    def __init__(self) -> None:
        self.kept: list[Any] = []

    def predict(self, rows: Any) -> Any:
        rows = np.asarray(rows)
        if (rows == RAISES).any():
            raise ValueError("11 is not liked here")
        if (rows == EXITS).any():
            sys.exit(3)
        if (rows == HANGS).any():
            time.sleep(3600)
        if (rows == SEGFAULTS).any():
            ctypes.string_at(0)
        if (rows == ENDS).any():
            os.kill(os.getpid(), signal.SIGKILL)
        if (rows == LEAKS).any():
            self.kept.append(np.full((4 << 20,), 1, np.uint8))
        if (rows == EATS).any():
            np.zeros(1 << 60, np.uint8)
        return rows[:, 0] * 2


class Scale:
    """A row's sum, times a number."""

    n_features_in_ = 2

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def predict(self, rows: Any) -> Any:
        rows = np.asarray(rows)
        if (rows < 0).any():
            raise ValueError("negative")
        if rows.shape[1] != 2:
            raise ValueError(f"{rows.shape[1]} columns")
        return rows.sum(axis=1) * self.factor


class Gate:
    """Twice its input, once a file called ``go`` is there; notes in ``asked`` what it is asked (both in ``GATE``)."""

    n_features_in_ = 1

    def predict(self, rows: Any) -> Any:
        folder = Path(os.environ["GATE"])
        with (folder / "asked").open("a") as file:
            file.write("".join(f"{value:g}\n" for value in np.asarray(rows).ravel()))
        end = time.monotonic() + 60
        while not (folder / "go").exists() and time.monotonic() < end:
            time.sleep(0.005)
        return np.asarray(rows)[:, 0] * 2


class Crashing:
    """What ends the process that loads it."""

    def __init__(self) -> None:
        ctypes.string_at(0)


class Fatal:
    """What cannot be loaded."""

    def __init__(self) -> None:
        raise RuntimeError("no model today")
