"""The file in a model's folder that is the model, and what to say where that cannot be told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mizzen.serve.errors import LoadError


def artifact(directory: Path, suffixes: Sequence[str], known: Callable[[Path], bool] | None = None) -> Path:
    """The one model file in a folder (or the file itself), by its suffix.

    Args:
        known: looks into a file, where a suffix such as ``.json`` may be anything: of several files, those that it
            does not know are not meant.

    Raises:
        LoadError: there is none, or more than one.
    """
    if directory.is_file():
        return directory
    names = held(directory)
    found = [name for name in names if name.endswith(tuple(suffixes)) and not (directory / name).is_dir()]
    if not found:
        below = next((name for name in names if _has_model(directory / name, tuple(suffixes))), "")
        where = f"; the folder {below} in it has one: name that folder, or pack without it" if below else ""
        raise LoadError(
            f"there is no model file in {directory}: {listing(names)}; one {', '.join(suffixes)} file is wanted{where}"
        )
    if len(found) > 1 and known is not None:
        found = [name for name in found if known(directory / name)] or found
    if len(found) > 1:
        raise LoadError(
            f"More than one model file is detected, Only one is allowed within model_dir: {directory} has "
            + ", ".join(found)
        )
    return directory / found[0]


def held(directory: Path) -> list[str]:
    """The names in a folder.

    Raises:
        LoadError: it is not there, or may not be read.
    """
    try:
        return sorted(entry.name for entry in directory.iterdir())
    except FileNotFoundError:
        raise LoadError(f"the model folder {directory} does not exist") from None
    except OSError as error:
        raise LoadError(f"the model folder {directory} cannot be read: {error.strerror}") from None


def listing(names: Sequence[str]) -> str:
    """What a folder holds, for a message."""
    return f"it holds {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}" if names else "it is empty"


def contents(path: Path) -> bytes:
    """All of a file.

    Raises:
        LoadError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise LoadError(f"{path} cannot be read: {error.strerror or error}") from error


def _has_model(folder: Path, suffixes: tuple[str, ...]) -> bool:
    return folder.is_dir() and any(entry.name.endswith(suffixes) for entry in folder.iterdir())
