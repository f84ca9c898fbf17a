"""Where Spring's participants find their configuration: YAML and properties files, and the environment.

Files are those that ``SPRING_CONFIG_LOCATION`` names, later ones before earlier, and then those of
``SPRING_CONFIG_ADDITIONAL_LOCATION``. A folder stands for the ``application.yaml`` (or ``.yml``, ``.properties``) in
it. A list in a later file takes the place of the whole list in an earlier one, as with Spring.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mizzen.acm.participant.configuration.settings import Settings, Value, canonical
from mizzen.acm.participant.errors import Misconfigured

_NAMES = ("application.yaml", "application.yml", "application.properties")
_PROFILE = "spring.config.activate.onprofile"
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}


def load(files: Sequence[Path], environment: Mapping[str, str]) -> Settings:
    """The settings from ``files`` (those that the environment names where there are none) and the environment.

    Raises:
        Misconfigured: a file is not there, or is not what its name says.
    """
    found = list(files) or _located(environment.get("SPRING_CONFIG_LOCATION", ""))
    found += _located(environment.get("SPRING_CONFIG_ADDITIONAL_LOCATION", ""))
    profiles = {name.strip() for name in environment.get("SPRING_PROFILES_ACTIVE", "").split(",")}
    values: dict[str, Value] = {}
    for path in found:
        for document in _documents(path):
            told = {canonical(key): Value(key, text, str(path)) for key, text in _flat(document)}
            wanted = told.get(_PROFILE)
            if wanted is None or wanted.text in profiles:
                _lay_over(values, told)
    values.pop(_PROFILE, None)
    return Settings(values, environment)


def _located(locations: str) -> list[Path]:
    found = []
    for location in re.split(r"[,;]", locations):
        location = location.strip()
        optional = location.startswith("optional:")
        name = location.removeprefix("optional:").removeprefix("file:")
        if not name:
            continue
        if name.startswith(("classpath:", "configtree:")):
            raise Misconfigured([f"SPRING_CONFIG_LOCATION: {location} is within Java's programs; name a file"])
        path = Path(name)
        inside = [path / inner for inner in _NAMES if (path / inner).is_file()] if path.is_dir() else [path]
        if not inside and not optional:
            raise Misconfigured([f"SPRING_CONFIG_LOCATION: there is no {_NAMES[0]} in the folder {path}"])
        found += [each for each in inside if each.is_file() or not optional]
    return found


def _documents(path: Path) -> list[Any]:
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".properties":
            return [dict(_properties(text))]
        # Every scalar stays text: 1.0 is a version as often as a number.
        return [document for document in yaml.load_all(text, yaml.BaseLoader) if document not in (None, "")]
    except OSError as error:
        raise Misconfigured([f"{path}: {error.strerror}"]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise Misconfigured([f"{path}{where}: not YAML: {getattr(error, 'problem', None) or error}"]) from None


def _flat(document: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(document, dict):
        for key, value in document.items():
            key = str(key)
            if key.startswith("["):  # how Spring writes a key of a map that has dots
                key = key[1:].removesuffix("]")
            yield from _flat(value, f"{prefix}.{key}" if prefix else key)
    elif isinstance(document, list):
        for number, value in enumerate(document):
            yield from _flat(value, f"{prefix}[{number}]")
    elif prefix:
        yield prefix, "" if document in (None, "null", "~") else str(document)


def _lay_over(values: dict[str, Value], told: Mapping[str, Value]) -> None:
    lists = tuple(key[: match.start() + 1] for key in told for match in re.finditer(r"\.\d+(?=\.|$)", key))
    for key in [key for key in values if key.startswith(lists)]:
        if any(key.startswith(start) and key[len(start) :].partition(".")[0].isdigit() for start in lists):
            del values[key]
    values.update(told)


def _properties(text: str) -> Iterator[tuple[str, str]]:
    joined = re.sub(r"\\\r?\n[ \t]*", "", text)
    for line in joined.splitlines():
        line = line.strip()
        if not line or line[0] in "#!":
            continue
        key, _, value = re.sub(r"(?<!\\)\s*[=:\s]\s*", "\0", line, count=1).partition("\0")
        yield _plain(key), _plain(value)


def _plain(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        escaped = match[1]
        return chr(int(escaped[1:], 16)) if escaped[0] == "u" and len(escaped) == 5 else _ESCAPED.get(escaped, escaped)

    return _ESCAPE.sub(one, text)
