"""Which model it was that took the process with it.

A crash leaves no time to say anything, and whom the kernel kills for memory it does not even ask. So what is needed is
there before. Python's :mod:`faulthandler` writes the stack of a crash to standard error, and the functions through
which a model is asked or loaded go, in stacks, by its name: a copy of a function that differs in nothing else. And
whoever outlives the process, a supervisor or the next server (:mod:`mizzen.serve.running.crumb`), sees a board on which
each model has a mark while it is at work.
"""

from __future__ import annotations

import faulthandler
import itertools
import mmap
import os
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import TypeVar, cast

F = TypeVar("F", bound=Callable[..., object])

# A mark: a byte that says what the model is at, one with the length of its name, and its name.
MARK_SIZE = 256
_BOARD_SIZE = MARK_SIZE * 4096

_ANSWERING, _LOADING = 1, 2


def tell() -> None:
    """From now on a crash of this process writes its stacks to standard error."""
    try:
        descriptor = sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return  # standard error is closed, or no file: there is nowhere to write to
    faulthandler.enable(descriptor)


def named(function: F, model: str) -> F:
    """The same function, called ``model NAME`` where a stack is shown."""
    assert isinstance(function, FunctionType)
    name = f"model {model}"
    code = function.__code__.replace(co_name=name, co_qualname=name)
    copy = FunctionType(code, function.__globals__, function.__name__, function.__defaults__, function.__closure__)
    copy.__kwdefaults__ = function.__kwdefaults__
    return cast(F, copy)


class Board:
    """Marks, in memory that two processes may see. Untouched parts of it take none."""

    def __init__(self, memory: mmap.mmap | bytearray) -> None:
        self.memory = memory
        self._next = itertools.count()
        self._free: deque[int] = deque()

    def take(self) -> int | None:
        """The place of a mark that nobody has; None if all are taken. From any thread."""
        try:
            return self._free.popleft()
        except IndexError:
            at = next(self._next) * MARK_SIZE
            return at if at + MARK_SIZE <= len(self.memory) else None

    def give_back(self, at: int) -> None:
        self.memory[at] = 0
        self._free.append(at)

    def at_work(self) -> list[str]:
        """The models that have a mark, and which of them were loading."""
        found = []
        for at in range(0, len(self.memory), MARK_SIZE):
            length = self.memory[at + 1]
            if not length:
                break  # marks are taken in their order
            if self.memory[at]:
                name = bytes(self.memory[at + 2 : at + 2 + length]).decode("utf-8", "replace")
                found.append(f"{name} (loading)" if self.memory[at] == _LOADING else name)
        return list(dict.fromkeys(found))


# Of a process that nobody watches: there is no place on it.
_board = Board(bytearray())


def use(board: Board) -> None:
    """From now on models have their marks there. Before any of them is made."""
    global _board
    _board = board


def share() -> int | None:
    """Let this process's models be seen by its supervisor. Before any of them is made.

    Returns:
        the descriptor of the board, for :func:`seen`; None where the system has nothing of the kind.
    """
    if not hasattr(os, "memfd_create"):
        return None
    descriptor = os.memfd_create("mizzen-models-at-work")
    os.ftruncate(descriptor, _BOARD_SIZE)
    use(Board(mmap.mmap(descriptor, _BOARD_SIZE)))
    return descriptor


def seen(process: int, descriptor: int) -> Board | None:
    """The board of another process, while that lives; None if it cannot be had."""
    try:
        with Path(f"/proc/{process}/fd/{descriptor}").open("rb") as file:
            return Board(mmap.mmap(file.fileno(), _BOARD_SIZE, prot=mmap.PROT_READ))
    except (OSError, ValueError):
        return None


class Mark:
    """Says of one thread, the event loop's included, whether a model is at work there.

    Args:
        loading: whether that is its loading.
    """

    __slots__ = ("_at", "_board", "_memory", "_what")

    def __init__(self, model: str, loading: bool = False) -> None:
        self._what = _LOADING if loading else _ANSWERING
        self._board = _board
        self._memory = _board.memory
        at = _board.take()
        if at is None:
            at, self._memory = 0, bytearray(1)
        else:
            name = model.encode("utf-8", "replace")[: MARK_SIZE - 2]
            self._memory[at + 2 : at + 2 + len(name)] = name
            self._memory[at + 1] = max(len(name), 1)
        self._at = at

    def begin(self) -> None:
        self._memory[self._at] = self._what

    def end(self) -> None:
        self._memory[self._at] = 0

    def close(self) -> None:
        """The model is gone."""
        if self._memory is self._board.memory:
            self._board.give_back(self._at)
            self._memory, self._at = bytearray(1), 0

    # Of what was never used, such as the way to a model that could not be loaded, nobody closes it.
    __del__ = close
