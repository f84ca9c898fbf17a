"""Keys and values, found as Spring finds them: whatever the case, with dashes or without, the environment first.

Whoever needs a value asks for it by its path. A value that cannot be used is noted with its path and its origin, and
the default goes on in its place, so that all of what is wrong is told at once. What nobody has asked for in the end is
unsupported, and is told by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar
from uuid import UUID

from msgspec import Struct

from mizzen.acm.participant.configuration.placeholders import Unresolvable, resolve
from mizzen.acm.participant.errors import Misconfigured

_T = TypeVar("_T")

_INDEX = re.compile(r"\[(\d+)\]")
_TRUE, _FALSE = {"true", "on", "yes", "1"}, {"false", "off", "no", "0"}
_SECONDS = {"": 0.001, "ns": 1e-9, "us": 1e-6, "ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+)\s*(ns|us|ms|s|m|h|d)?")


class Value(Struct, frozen=True):
    """Attributes: the key as it was written; the text, placeholders and all; the file, or the variable."""

    path: str
    text: str
    origin: str


def canonical(path: str) -> str:
    """A key in the one form by which all ways to write it are found: ``a.bC-d[0]`` is ``a.bcd.0``."""
    return _INDEX.sub(r".\1", path).replace("-", "").replace("_", "").lower()


class Settings:
    """
    Args:
        values: by canonical key.
        environment: variables, which win over ``values``.
    """

    def __init__(self, values: Mapping[str, Value], environment: Mapping[str, str]) -> None:
        self._values = dict(values)
        self._environment = dict(environment)
        self._variables = {
            name.replace("_", ".").lower(): Value(name, text, f"environment variable {name}")
            for name, text in environment.items()
        }
        self._read: set[str] = set()
        self.problems: list[str] = []
        self.warnings: list[str] = []

    def text(self, path: str, default: str = "") -> str:
        """The value with its placeholders filled in; ``default`` where there is none, or an empty one."""
        key = canonical(path)
        self._read.add(key)
        value = self._value(key)
        if value is None:
            return default
        try:
            return resolve(value.text, self._placeholder) or default
        except Unresolvable as error:
            self.problem(path, str(error))
            return default

    def required(self, path: str, example: str) -> str:
        """As :meth:`text`; that there is none is a problem."""
        found = self.text(path)
        if not found:
            self.problem(path, f"is missing; it takes {example}")
        return found

    def number(self, path: str, default: int, *, least: int = 0, most: int | None = None) -> int:
        def parse(text: str) -> int:
            found = int(text)
            if found < least or (most is not None and found > most):
                raise ValueError
            return found

        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
        return self._parsed(path, default, parse, f"a whole number {bounds}")

    def flag(self, path: str, default: bool) -> bool:
        def parse(text: str) -> bool:
            if text.lower() not in _TRUE | _FALSE:
                raise ValueError
            return text.lower() in _TRUE

        return self._parsed(path, default, parse, "true or false")

    def seconds(self, path: str, default: float) -> float:
        """A duration: a number of milliseconds, or one with a unit (``5s``)."""

        def parse(text: str) -> float:
            match = _DURATION.fullmatch(text)
            if match is None:
                raise ValueError
            return int(match[1]) * _SECONDS[match[2] or ""]

        return self._parsed(path, default, parse, "milliseconds, or a number with a unit such as 5s")

    def uuid(self, path: str) -> UUID | None:
        """A required UUID; None once the problem has been noted."""
        found = self.required(path, "a UUID")
        try:
            return UUID(found) if found else None
        except ValueError:
            self.problem(path, f"{found!r} is no UUID")
            return None

    def one_of(self, path: str, default: str, choices: Iterable[str]) -> str:
        allowed = list(choices)

        def parse(text: str) -> str:
            if text not in allowed:
                raise ValueError
            return text

        return self._parsed(path, default, parse, f"one of {', '.join(allowed)}")

    def entries(self, path: str) -> dict[str, str]:
        """A map: what stands below ``path``, by the rest of the key as it was written."""
        found = {}
        for key, value in self._below(canonical(path)):
            # A variable's name says nothing of dashes or capitals.
            written = value.path if key in self._values else key
            prefix = canonical(path).count(".") + 1
            found[".".join(_dotted(written)[prefix:])] = self.text(key)
        return found

    def section(self, path: str, names: Iterable[str] = ()) -> dict[str, str | list[str]]:
        """What stands directly below ``path``: texts and lists of texts.

        Args:
            names: how the keys are spelt, for those who have written them otherwise.
        """
        spelt = {canonical(name): name for name in names}
        found: dict[str, str | list[str]] = {}
        for name in self.entries(path):
            name = name.partition(".")[0]
            below = f"{path}.{name}"
            found[spelt.get(canonical(name), name)] = self.texts(below) if self.items(below) else self.text(below)
        return found

    def variable(self, name: str) -> str:
        """An environment variable by its own name."""
        return self._environment.get(name, "")

    def items(self, path: str) -> list[str]:
        """A list: the paths of its items, as far as they follow each other."""
        start = canonical(path)
        present = {key[len(start) + 1 :].partition(".")[0] for key, _ in self._below(start)}
        found: list[str] = []
        while str(len(found)) in present:
            found.append(f"{path}[{len(found)}]")
        return found

    def texts(self, path: str) -> list[str]:
        """A list of texts; one text with commas is one, too."""
        items = self.items(path)
        if items:
            return [self.text(item) for item in items]
        return [part.strip() for part in self.text(path).split(",") if part.strip()]

    def set(self, path: str, text: str, origin: str) -> None:
        """Put a value before all others."""
        value = Value(path, text, origin)
        self._values[canonical(path)] = self._variables[canonical(path)] = value

    def given(self, path: str) -> bool:
        """Whether there is anything at ``path`` or below it."""
        key = canonical(path)
        return self._value(key) is not None or next(self._below(key), None) is not None

    def pass_over(self, path: str) -> None:
        """Count all below ``path`` as read: nothing is lost without it."""
        self._read.add(canonical(path))
        self._read.update(key for key, _ in self._below(canonical(path)))

    def problem(self, path: str, what: str) -> None:
        """Note what is wrong; of one key only the first."""
        if any(known.startswith(f"{path}: ") for known in self.problems):
            return
        value = self._value(canonical(path))
        where = f" ({value.origin})" if value else ""
        self.problems.append(f"{path}: {what}{where}")

    def warn(self, path: str, what: str) -> None:
        self.warnings.append(f"{path}: {what}")

    def check(self) -> None:
        """
        Raises:
            Misconfigured: with all problems so far.
        """
        if self.problems:
            raise Misconfigured(self.problems)

    def unread(self) -> list[str]:
        """The keys of files that nobody has asked for, as they were written, each with its file."""
        return [f"{value.path} ({value.origin})" for key, value in self._values.items() if key not in self._read]

    def _parsed(self, path: str, default: _T, parse: Callable[[str], _T], what: str) -> _T:
        text = self.text(path)
        if not text:
            return default
        try:
            return parse(text)
        except ValueError:
            self.problem(path, f"{text!r} is not {what}")
            return default

    def _value(self, key: str) -> Value | None:
        return self._variables.get(key) or self._values.get(key)

    def _below(self, key: str) -> Iterator[tuple[str, Value]]:
        seen = set()
        for source in (self._values, self._variables):
            for name, value in source.items():
                if name.startswith(key + ".") and name not in seen:
                    seen.add(name)
                    yield name, value

    def _placeholder(self, name: str) -> str | None:
        if name in self._environment:
            return self._environment[name]
        value = self._value(canonical(name))
        if value is not None:
            self._read.add(canonical(name))
        return value.text if value else None


def _dotted(path: str) -> list[str]:
    return _INDEX.sub(r".\1", path).split(".")
