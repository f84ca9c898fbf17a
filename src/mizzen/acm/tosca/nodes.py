"""A document that remembers where everything stands in its text.

YAML and JSON both become the same tree: every value with the line and column where it begins, every key with its own.
A tree, because an alias in YAML then costs nothing: the same node hangs in two places, and what it would come to
written out is counted before it is.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from mizzen.acm.tosca.problems import Path, Problem, Unreadable, path_text

Scalar = str | int | float | bool | None

# What a person writes has some thousand values, at most ten levels deep. ONAP's own reader stops at 50 aliases and 50
# levels of YAML, so nothing that works there is refused here for its size.
MAX_BYTES = 5 * 1024 * 1024
MAX_VALUES = 200_000
MAX_DEPTH = 100


class Mark(NamedTuple):
    """A place in the text; both counted from 1."""

    line: int
    column: int


class Node:
    """One value: a scalar, a list of nodes, or the members of a mapping with the place of each key."""

    __slots__ = ("mark", "value")

    def __init__(self, value: Scalar | list[Node] | dict[str, tuple[Mark, Node]], mark: Mark) -> None:
        self.value = value
        self.mark = mark


class Document:
    """A text that was read.

    Attributes:
        text: what was read.
        root: the tree.
        value: the same as a JSON value.
    """

    def __init__(self, text: str, root: Node) -> None:
        self.text = text
        self.root = root
        self.value: dict[str, Any] = _plain(root, _Budget(), 1)

    def mark(self, path: Path, *, key: bool = False) -> Mark:
        """Where a value stands, or where its key does; of what is not there, the nearest thing around it.

        An empty value, and one that begins on a later line, is shown by its key.
        """
        node, mark = self.root, self.root.mark
        for number, step in enumerate(path):
            here = node.value
            if isinstance(here, dict) and step in here:
                at_key, node = here[str(step)]
                last = number == len(path) - 1
                below = isinstance(node.value, (dict, list)) or node.value is None
                mark = at_key if (last and key) or below else node.mark
            elif isinstance(here, list) and isinstance(step, int) and step < len(here):
                node = here[step]
                mark = node.mark
            else:
                break
        return mark

    def problem(self, path: Path, message: str, hint: str = "", *, key: bool = False) -> Problem:
        """A problem with the value at a path, or with its key."""
        mark = self.mark(path, key=key)
        return Problem(path_text(path), mark.line, mark.column, message, hint)


class _Budget:
    """How many values may yet be written out."""

    left = MAX_VALUES

    def spend(self, mark: Mark, depth: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise Unreadable([too_many(mark)])
        if depth > MAX_DEPTH:
            raise Unreadable([too_deep(mark)])


def too_many(mark: Mark) -> Problem:
    return Problem(
        "",
        mark.line,
        mark.column,
        f"the document stands for more than {MAX_VALUES} values",
        "aliases count as often as they are used",
    )


def too_deep(mark: Mark) -> Problem:
    return Problem("", mark.line, mark.column, f"values are nested more than {MAX_DEPTH} levels deep")


def _plain(node: Node, budget: _Budget, depth: int) -> Any:
    budget.spend(node.mark, depth)
    if isinstance(node.value, dict):
        return {key: _plain(member, budget, depth + 1) for key, (_, member) in node.value.items()}
    if isinstance(node.value, list):
        return [_plain(member, budget, depth + 1) for member in node.value]
    return node.value


def kind_of(value: Any) -> str:
    """What a value is, in words."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "true or false"
    return "a text" if isinstance(value, str) else "empty" if value is None else "a number"
