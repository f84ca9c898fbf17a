"""JSON paths as definitions write them: printer columns, scale paths, selectable fields.

The subset of Kubernetes' JSONPath that those need: fields (``.spec.replicas``, ``['a.b']``, ``.a\\.b``), places in
lists (``[0]``, ``[-1]``, ``[*]``) and filters (``[?(@.type=="Ready")].status``), in braces or not. A path finds every
value it leads to; one that leads nowhere finds nothing and is no error.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from mizzen.cluster.apiserver.validation import same

# A step leads from one value to those below it.
Step = Callable[[Any], Iterator[Any]]

_NAME = re.compile(r"(?:\\.|[^.\[\]{}()\s'\"\\=!<>])+")
_NUMBER = re.compile(r"-?\d+")
_LITERAL_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_OPERATOR = re.compile(r"==|!=|<=|>=|<|>")
_WORDS = {"true": True, "false": False, "null": None, "nil": None}
_ORDERINGS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class JsonPath:
    """A compiled path."""

    def __init__(self, text: str, steps: tuple[Step, ...]) -> None:
        self.text = text
        self._steps = steps

    def find(self, value: Any) -> list[Any]:
        """Every value that the path leads to from ``value``, in document order."""
        found = [value]
        for step in self._steps:
            found = [below for above in found for below in step(above)]
        return found

    def __repr__(self) -> str:
        return f"JsonPath({self.text!r})"


@lru_cache(maxsize=1024)
def compile(text: str) -> JsonPath:
    """The path that ``text`` says. Raises :class:`ValueError`, which tells the position of the mistake."""
    return JsonPath(text, tuple(_Parser(text).parse()))


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def parse(self) -> list[Step]:
        self._space()
        braces = self._take("{")
        self._space()
        steps = self._steps(("}",) if braces else ())
        self._space()
        if braces:
            self._need("}")
            self._space()
        if self._at < len(self._text):
            raise self._wrong("the path should end here")
        return steps

    def _steps(self, ends: tuple[str, ...]) -> list[Step]:
        """Steps up to the end of the text, or to one of ``ends``, or to what cannot continue a path."""
        steps: list[Step] = []
        if self._take("$") or self._take("@"):
            pass
        elif self._peek() not in (".", "[", "", *ends):
            steps.append(_field(self._name()))
        while self._at < len(self._text):
            if self._text.startswith("..", self._at):
                raise self._wrong("the search through all levels (..) is not supported")
            if self._take("."):
                if self._take("*"):
                    steps.append(_every)
                elif self._peek() in ("", *ends) or self._peek().isspace():
                    if steps:
                        raise self._wrong("a field name is missing")
                elif self._peek() != "[":
                    steps.append(_field(self._name()))
            elif self._take("["):
                steps.append(self._bracket())
            else:
                break
        return steps

    def _name(self) -> str:
        found = _NAME.match(self._text, self._at)
        if found is None:
            raise self._wrong("a field name is expected")
        self._at = found.end()
        return re.sub(r"\\(.)", r"\1", found[0])

    def _bracket(self) -> Step:
        self._space()
        if self._peek() in ("'", '"'):
            step = _field(self._quoted())
        elif self._take("*"):
            step = _every
        elif self._take("?"):
            self._need("(")
            step = self._filter()
            self._need(")")
        else:
            number = _NUMBER.match(self._text, self._at)
            if number is None:
                raise self._wrong("an index, a name in quotes, * or a filter is expected")
            self._at = number.end()
            step = _place(int(number[0]))
        self._space()
        self._need("]")
        return step

    def _filter(self) -> Step:
        self._space()
        if self._peek() != "@":
            raise self._wrong("a filter starts with @")
        path = JsonPath("", tuple(self._steps((")",))))
        self._space()
        found = _OPERATOR.match(self._text, self._at)
        if found is None:
            return _matching(lambda item: bool(path.find(item)))
        self._at = found.end()
        self._space()
        comparison, right = found[0], self._literal()
        self._space()
        return _matching(lambda item: any(_holds(comparison, value, right) for value in path.find(item)))

    def _literal(self) -> Any:
        if self._peek() in ("'", '"'):
            return self._quoted()
        number = _LITERAL_NUMBER.match(self._text, self._at)
        if number is not None:
            self._at = number.end()
            return float(number[0]) if set(number[0]) & set(".eE") else int(number[0])
        for word, value in _WORDS.items():
            if self._text.startswith(word, self._at):
                self._at += len(word)
                return value
        raise self._wrong("a text in quotes, a number, true, false or null is expected")

    def _quoted(self) -> str:
        quote = self._text[self._at]
        found = re.compile(rf"{quote}((?:\\.|[^\\{quote}])*){quote}").match(self._text, self._at)
        if found is None:
            raise self._wrong("the closing quote is missing")
        self._at = found.end()
        return re.sub(r"\\(.)", r"\1", found[1])

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, token: str) -> bool:
        if not self._text.startswith(token, self._at):
            return False
        self._at += len(token)
        return True

    def _need(self, token: str) -> None:
        if not self._take(token):
            raise self._wrong(f"{token} is expected")

    def _space(self) -> None:
        while self._peek().isspace():
            self._at += 1

    def _wrong(self, what: str) -> ValueError:
        found = repr(self._text[self._at :]) if self._at < len(self._text) else "the end"
        return ValueError(f"JSON path {self._text!r}, position {self._at + 1}: {what}, found {found}")


def _field(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]

    return step


def _place(index: int) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list) and -len(value) <= index < len(value):
            yield value[index]

    return step


def _every(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, dict)):
        yield from value.values() if isinstance(value, dict) else value


def _matching(holds: Callable[[Any], bool]) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list):
            yield from filter(holds, value)

    return step


def _holds(comparison: str, left: Any, right: Any) -> bool:
    if comparison in ("==", "!="):
        return same(left, right) == (comparison == "==")
    both_numbers = all(isinstance(side, (int, float)) and not isinstance(side, bool) for side in (left, right))
    comparable = both_numbers or (isinstance(left, str) and isinstance(right, str))
    return comparable and _ORDERINGS[comparison](left, right)
