"""scikit-learn's files: what is in a pickle, a joblib file or a skops file, or why it cannot be had.

A pickle is code: whoever can write the file decides what this process does. joblib's files are pickles, too. skops is
a format without code; it holds the names of types, and those that skops itself does not trust are refused by their
names unless they are listed. What goes wrong on the way is what users meet first, so each way has its sentence.
"""

from __future__ import annotations

import logging
import mmap
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mizzen.serve.errors import LoadError
from mizzen.serve.runtimes.frameworks import framework
from mizzen.serve.runtimes.magic import other

logger = logging.getLogger(__name__)

SUFFIXES = (".joblib", ".pkl", ".pickle", ".skops")
TRUSTED = "MIZZEN_TRUSTED_TYPES"

_VERSION = re.compile(rb"_sklearn_version[^0-9]{1,8}(\d+\.\d+(?:\.\w+)*)")


def read(path: Path, trusted: Sequence[str] = ()) -> tuple[Any, str]:
    """The object in a file, and a sentence about versions if it was saved with another scikit-learn.

    Args:
        trusted: names of types that a skops file may hold beside those that skops trusts.

    Raises:
        LoadError
    """
    joblib = framework("joblib", "sklearn")
    sklearn = framework("sklearn", "sklearn", "scikit-learn")
    from sklearn.exceptions import InconsistentVersionWarning

    load = (lambda: _skops(path, trusted)) if path.suffix == ".skops" else (lambda: joblib.load(path))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator = _loaded(load, path, sklearn.__version__)
    versions = ""
    for warning in caught:
        if isinstance(warning.message, InconsistentVersionWarning):
            saved = warning.message.original_sklearn_version
            versions = f"the model was saved with scikit-learn {saved}, this server has {sklearn.__version__}"
        else:
            logger.warning("%s: %s", path, warning.message)
    if versions:
        logger.warning("%s: %s; it may fail or answer differently", path, versions)
    return estimator, versions


def _loaded(load: Callable[[], Any], path: Path, ours: str) -> Any:
    try:
        return load()
    except LoadError:
        raise
    except ModuleNotFoundError as error:
        raise LoadError(
            f"{path} cannot be loaded: it needs the Python module {error.name!r}, which is not installed here"
            + _of_versions(path, ours)
        ) from error
    except AttributeError as error:
        raise LoadError(
            f"{path} cannot be loaded: it refers to code that is not here ({error}); a model's own classes and "
            "functions must be importable where it is served" + _of_versions(path, ours)
        ) from error
    except OSError as error:
        raise LoadError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:
        saved = _of_versions(path, ours)
        if saved:
            raise LoadError(f"{path} cannot be loaded: {error}{saved}") from error
        kind = "skops file" if path.suffix == ".skops" else "pickle or joblib file"
        raise LoadError(
            f"{path} is no {kind}, or is cut short ({type(error).__name__}: {error}){other(path, 'sklearn')}"
        ) from error


def _skops(path: Path, trusted: Sequence[str]) -> Any:
    skops = framework("skops.io", "sklearn", "skops")
    unknown = [name for name in skops.get_untrusted_types(file=path) if name not in trusted]
    if unknown:
        raise LoadError(
            f"{path} holds types that are not trusted: {', '.join(unknown)}. Loading them runs their code; if you know "
            f"where the file is from, list them: {TRUSTED}={','.join([*trusted, *unknown])}"
        )
    return skops.load(path, trusted=list(trusted))


def _of_versions(path: Path, ours: str) -> str:
    """For a message: the scikit-learn that a file was saved with, where that can be read and is not ours."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found = _VERSION.search(data)
            saved = found.group(1).decode() if found else ours
    except (OSError, ValueError):
        return ""
    return f"; it was saved with scikit-learn {saved}, this server has {ours}" if saved != ours else ""
