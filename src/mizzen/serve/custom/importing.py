"""From ``my_model.py:MyModel`` or ``package.module:MyModel`` to the class.

A file's folder is put on the path, so that what stands beside it can be imported; and what was imported from there is
forgotten before it is imported anew, so that a change in any of the files counts. If the new code cannot be imported
the old modules come back: the model that is being served may yet import lazily.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import linecache
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from mizzen.serve.errors import LoadError

_importing = threading.Lock()


class Reference(NamedTuple):
    """Where a class stands.

    Attributes:
        file: of the module, where it is named by its file.
        module: its name else.
        name: of the class; empty where the module has only one that fits.
    """

    file: Path | None
    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.file or self.module}{':' if self.name else ''}{self.name}"


def parse(text: str, folder: Path) -> Reference:
    """Read a reference.

    Args:
        folder: where a file is looked for that is not there as it is named.

    Raises:
        LoadError: it is none, or the file is not there.
    """
    head, _, name = text.rpartition(":") if ":" in text else (text, "", "")
    if not head or (name and not name.isidentifier()):
        raise LoadError(f"{text!r} names no class: it should be my_model.py:MyModel or package.module:MyModel")
    if not head.endswith(".py"):
        return Reference(None, head, name)
    for file in (Path(head), folder / head, folder / Path(head).name):
        if file.is_file():
            return Reference(file.resolve(), "", name)
    raise LoadError(f"there is no file {head}: it should be the Python file that holds the model's class")


def load(reference: Reference, wanted: tuple[type, ...], instead: str) -> tuple[type[Any], set[Path]]:
    """Import the class.

    Args:
        wanted: what it must be derived from.
        instead: what to say it should be derived from.

    Returns:
        the class, and the files that it came from and that stand beside it.

    Raises:
        LoadError: in words, with the line of the user's own code.
    """
    with _importing:
        module, files = _module(reference)
    classes = [one for one in vars(module).values() if isinstance(one, type)]
    if reference.name:
        found = getattr(module, reference.name, None)
        if found is None:
            names = [one.__name__ for one in classes if issubclass(one, wanted) and one.__module__ == module.__name__]
            there = f"; it has {', '.join(names)}" if names else ""
            raise LoadError(f"{reference}: the module has no {reference.name}{there}")
    else:
        own = [one for one in classes if issubclass(one, wanted) and one.__module__ == module.__name__]
        if len(own) != 1:
            many = f"several models ({', '.join(one.__name__ for one in own)})" if own else "no model"
            raise LoadError(f"{reference} holds {many}: name the class, as in {Path(str(reference)).name}:MyModel")
        (found,) = own
    if not isinstance(found, type) or not issubclass(found, wanted):
        raise LoadError(f"{reference} {_wrong(found)}; derive the class from {instead}")
    return found, files


def place(error: BaseException, folder: Path | None = None) -> str:
    """The user's own line that an exception came from: ``my_model.py:12: "self.x = y"``, or empty."""
    if isinstance(error, SyntaxError) and error.filename:
        text = (error.text or "").strip()
        return f'{error.filename}:{error.lineno}: "{text}"' if text else f"{error.filename}:{error.lineno}"
    ours = Path(__file__).parent.parent
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not Path(frame.filename).is_relative_to(ours) and not frame.filename.startswith("<frozen")
    ]
    own = [frame for frame in frames if folder is not None and Path(frame.filename).is_relative_to(folder)]
    for frame in reversed(own or frames):
        return f'{frame.filename}:{frame.lineno}: "{frame.line}"' if frame.line else f"{frame.filename}:{frame.lineno}"
    return ""


def failed(what: str, error: BaseException, folder: Path | None = None) -> LoadError:
    """The error to raise when the user's code raised ``error``."""
    if isinstance(error, LoadError):
        return error
    if isinstance(error, SystemExit):
        said = f"it called sys.exit({error.code!r})"
    elif isinstance(error, ModuleNotFoundError) and error.name == "kserve":
        said = "it imports kserve, which is not installed: import the same names from mizzen.serve.kserve instead"
    else:
        said = f"{type(error).__name__}: {error.msg if isinstance(error, SyntaxError) else error}"
    where = place(error, folder)
    return LoadError(f"{what}: {said}" + (f" ({where})" if where else ""))


def _module(reference: Reference) -> tuple[ModuleType, set[Path]]:
    if reference.file is None:
        folder = Path.cwd()
        with _on_path(folder):
            try:
                module = importlib.import_module(reference.module)
            except BaseException as error:
                raise failed(f"{reference} cannot be imported", error) from error
        file = getattr(module, "__file__", None)
        return module, {Path(file)} if file else set()
    file = reference.file
    folder = file.parent
    before = {name: module for name, module in sys.modules.items() if _is_in(module, folder)}
    for name in before:
        del sys.modules[name]
    importlib.invalidate_caches()
    linecache.checkcache()
    name = file.stem if file.stem.isidentifier() and file.stem not in sys.modules else f"mizzen_custom_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        for broken in [name for name, module in sys.modules.items() if _is_in(module, folder)]:
            del sys.modules[broken]
        sys.modules.update(before)
        raise failed(f"{reference} cannot be imported", error, folder) from error
    files = {Path(str(one.__file__)) for one in list(sys.modules.values()) if _is_in(one, folder)}
    return module, files | {file}


def _is_in(module: ModuleType | None, folder: Path) -> bool:
    """Whether a module is of the user's own code: in the folder, and not installed into an environment there."""
    file = getattr(module, "__file__", None)
    if not file or module is sys.modules.get("__main__"):
        return False
    path = Path(file)
    return path.is_relative_to(folder) and "site-packages" not in path.parts and "mizzen" not in path.parts


@contextlib.contextmanager
def _on_path(folder: Path) -> Iterator[None]:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    yield


def _wrong(found: Any) -> str:
    if not inspect.isclass(found):
        return "is no class"
    bases = [f"{one.__module__}.{one.__name__}" for one in found.__mro__[1:-1]]
    kserve = next((base for base in bases if base.startswith("kserve.")), "")
    if kserve:
        return f"is derived from the kserve package's {kserve.rpartition('.')[2]}, which this server does not know"
    return "is no model"
