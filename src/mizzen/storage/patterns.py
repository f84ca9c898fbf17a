"""Which files of a model are fetched: shell patterns on paths relative to it.

A file is fetched when some allow pattern matches it, or there is none, and no ignore pattern does. ``*`` matches
across ``/`` too, as in KServe (reference: the data plane, section 7.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from mizzen.storage.errors import StorageError

ALLOW = "STORAGE_ALLOW_PATTERNS"
IGNORE = "STORAGE_IGNORE_PATTERNS"


class Patterns(NamedTuple):
    """What to take and what to leave. Two empty tuples take everything."""

    allow: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    @classmethod
    def of(cls, allow: Iterable[str] | None, ignore: Iterable[str] | None, environ: Mapping[str, str]) -> Patterns:
        """The given patterns; for each list that is ``None``, the environment's. Raises :class:`StorageError`."""
        return cls(
            tuple(allow) if allow is not None else parse(environ.get(ALLOW, ""), ALLOW),
            tuple(ignore) if ignore is not None else parse(environ.get(IGNORE, ""), IGNORE),
        )

    def admits(self, path: str) -> bool:
        """Whether the file at the relative ``path`` is wanted."""
        if self.allow and not any(fnmatchcase(path, pattern) for pattern in self.allow):
            return False
        return not any(fnmatchcase(path, pattern) for pattern in self.ignore)

    def __str__(self) -> str:
        parts = [f"allow {', '.join(self.allow)}"] if self.allow else []
        parts += [f"ignore {', '.join(self.ignore)}"] if self.ignore else []
        return "; ".join(parts)


def parse(text: str, variable: str) -> tuple[str, ...]:
    """A list of patterns as an environment ``variable`` gives it: a JSON list, or names between commas."""
    if text.lstrip().startswith("["):
        import json  # most pods set no patterns

        try:
            found = json.loads(text)
        except ValueError:
            # "[ab]*.bin, *.json" is a comma list whose first pattern is a character set.
            return _split(text)
        if not all(isinstance(pattern, str) for pattern in found):
            raise StorageError(f'{variable} must be a JSON list of strings such as ["*.json", "*.bin"], not {text}')
        return tuple(found)
    return _split(text)


def _split(text: str) -> tuple[str, ...]:
    return tuple(pattern.strip() for pattern in text.split(",") if pattern.strip())
