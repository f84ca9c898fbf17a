"""Recipes: which program of this machine an image stands for.

A recipe is data. The first one that has a pattern for the image wins, and a user's file is read before the shipped one,
so whatever is shipped can be replaced. The user's file is looked at again with every question, because a person who was
just told to add a recipe does so while the pod waits. A file with a mistake in it changes nothing: what was read before
stays in force, and whoever asks for an unknown image is told of the mistake.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from functools import cache
from importlib import invalidate_caches, resources
from pathlib import Path

import msgspec

from mizzen.apis.meta import Mapping
from mizzen.cluster.node import yamllines
from mizzen.cluster.node.errors import ImageUnavailable, RecipeError
from mizzen.cluster.node.images import Image, parse
from mizzen.cluster.node.yamllines import YamlError

_SHIPPED = "recipes.yaml"


class Zygote(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A set of modules that is imported once, in a process from which servers are forked.

    Attributes:
        preload: the modules, in the order of their import.
        requires: modules that must be there at all.
        install: the package, with its extra, that brings what is required.
        warm: start it as soon as the node is ready, and not when the first pod asks for it.
    """

    preload: list[str]
    requires: list[str] = []
    install: str = ""
    warm: bool = False


class Recipe(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """How an image is run. With neither ``entry``, ``command`` nor ``args`` the pod must bring its own command.

    Attributes:
        images: patterns over the repository, such as ``acme/server`` or ``*/server``; ``*`` stands for anything. They
            mean any registry and tag, unless they name one themselves.
        name: for people; by default the first pattern.
        when: patterns over what a container is told: its arguments, and its variables as ``NAME=value``. One of them
            must fit, or the recipe is not meant; without any it is for every container of its images.
        entry: ``package.module:function``, called with the arguments in a process forked for it.
        zygote: the zygote that ``entry`` is forked from; without one it is the plain launcher.
        command: the program that is executed with the pod's ``args``; ``python`` is this installation's interpreter.
        args: what stands in where the pod has neither ``command`` nor ``args``.
        env: variables, which a pod may replace.
        inherit: names of variables that are passed on as this node has them.
        requires, install: as in :class:`Zygote`.
    """

    images: list[str]
    name: str = ""
    when: list[str] = []
    entry: str = ""
    zygote: str = ""
    command: list[str] = []
    args: list[str] = []
    env: dict[str, str] = {}
    inherit: list[str] = []
    requires: list[str] = []
    install: str = ""

    @property
    def title(self) -> str:
        return self.name or self.images[0]

    def matches(self, image: Image, told: Sequence[str]) -> bool:
        if self.when and not any(fnmatchcase(word, pattern) for word in told for pattern in self.when):
            return False
        return any(fnmatchcase(name, pattern) for name in image.names for pattern in self.images)


class Recipes(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A file of recipes."""

    zygotes: dict[str, Zygote] = {}
    recipes: list[Recipe] = []


class Found(msgspec.Struct, frozen=True):
    """A recipe and, if it names one, its zygote."""

    recipe: Recipe
    zygote: Zygote | None = None


def read(text: str, where: str, known_zygotes: Iterable[str] = ()) -> Recipes:
    """The recipes in a file's text.

    Args:
        where: the file's name, for complaints.
        known_zygotes: those that are declared elsewhere.

    Raises:
        RecipeError: what is wrong, as ``file:line: ...``.
    """
    try:
        found, lines = yamllines.decode(text, Recipes)
        for place, recipe in enumerate(found.recipes):
            for field, complaint in _complaints(recipe, {*found.zygotes, *known_zygotes}):
                line = lines.get(("recipes", place, field), lines["recipes", place])
                raise YamlError(line, f"recipe {recipe.title if recipe.images else place}: {complaint}")
    except YamlError as error:
        raise RecipeError(f"{where}:{error.line}: {error.message}") from error
    return found


def _complaints(recipe: Recipe, zygotes: set[str]) -> Iterable[tuple[str, str]]:
    if not recipe.images:
        yield "images", "it names no image"
    if recipe.entry and recipe.command:
        yield "command", "it has an entry and a command; one of them is to be run"
    if recipe.entry:
        module, _, function = recipe.entry.partition(":")
        if not module or not function:
            yield "entry", f"an entry is written 'package.module:function', not {recipe.entry!r}"
    if recipe.zygote and not recipe.entry:
        yield "zygote", "a zygote is forked to call an entry, and there is none"
    if recipe.zygote and recipe.zygote not in zygotes:
        yield "zygote", f"no zygote {recipe.zygote!r} is declared (there are: {', '.join(sorted(zygotes)) or 'none'})"


def told(container: Mapping) -> list[str]:
    """What a container of a manifest is told, for :attr:`Recipe.when`: as far as the manifest itself says it."""
    variables = (f"{entry.get('name')}={entry['value']}" for entry in container.get("env") or () if entry.get("value"))
    return [*(container.get("args") or ()), *variables]


@cache
def shipped() -> Recipes:
    """The recipes that come with Mizzen."""
    return read(resources.files("mizzen.cluster.node").joinpath(_SHIPPED).read_text(), _SHIPPED)


def is_installed(module: str) -> bool:
    """Whether a module could be imported, without importing it (but for the packages it is in)."""
    try:
        return module in sys.modules or importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


class RecipeBook:
    """All recipes of a node.

    Args:
        file: the user's own; it may not exist.
        installed: whether a module is there.

    Attributes:
        problem: what is wrong with the user's file, or empty.
    """

    def __init__(self, file: Path, *, installed: Callable[[str], bool] = is_installed) -> None:
        self.problem = ""
        self._file = file
        self._installed = installed
        self._seen: tuple[int, ...] = ()
        self._own = Recipes()
        self.refresh()

    @property
    def zygotes(self) -> dict[str, Zygote]:
        return shipped().zygotes | self._own.zygotes

    def refresh(self) -> bool:
        """Read the user's file if it changed; says whether it did."""
        try:
            found = self._file.stat()
            seen: tuple[int, ...] = (found.st_mtime_ns, found.st_size, found.st_ino)
        except FileNotFoundError:
            seen = ()
        except OSError as error:
            self.problem = f"{self._file} cannot be read: {error.strerror}"
            return False
        if seen == self._seen:
            return False
        self._seen = seen
        try:
            self._own = read(self._file.read_text(), str(self._file), shipped().zygotes) if seen else Recipes()
            self.problem = ""
        except RecipeError as error:
            self.problem = str(error)
        except (OSError, UnicodeDecodeError) as error:
            self.problem = f"{self._file} cannot be read: {error}"
        return True

    def find(self, image: str, told: Sequence[str] = ()) -> Found:
        """The recipe for an image.

        Args:
            told: what its container is told, as :func:`told` gives it.

        Raises:
            ImageUnavailable: there is none, or it needs what is not installed; the message says what to do.
        """
        self.refresh()
        name = parse(image)
        for recipe in (*self._own.recipes, *shipped().recipes):
            if recipe.matches(name, told):
                zygote = self.zygotes[recipe.zygote] if recipe.zygote else None
                self._require(image, recipe, zygote)
                return Found(recipe, zygote)
        raise ImageUnavailable(self._unknown(image, name))

    def warm(self) -> dict[str, Zygote]:
        """The zygotes to start beforehand: those that are meant to be, and can be."""
        return {
            name: zygote for name, zygote in self.zygotes.items() if zygote.warm and not self._missing(zygote.requires)
        }

    def _missing(self, modules: Sequence[str]) -> list[str]:
        missing = [module for module in modules if not self._installed(module)]
        if missing:
            # It may have been installed a moment ago.
            invalidate_caches()
            missing = [module for module in missing if not self._installed(module)]
        return missing

    def _require(self, image: str, recipe: Recipe, zygote: Zygote | None) -> None:
        missing = self._missing([*recipe.requires, *(zygote.requires if zygote else ())])
        if not missing:
            return
        install = recipe.install or (zygote.install if zygote else "") or " ".join(missing)
        words = "is" if len(missing) == 1 else "are"
        raise ImageUnavailable(
            f'image "{image}" needs {" and ".join(missing)}, which {words} not installed for {sys.executable}; '
            f"install with: {sys.executable} -m pip install '{install}'"
        )

    def _unknown(self, image: str, name: Image) -> str:
        pattern = name.path.replace("'", "")
        example = f"- {{images: ['{pattern}'], command: [python, /path/to/program.py]}}"
        place = "among its recipes" if self._own.recipes else "for example"
        message = (
            f'image "{image}" has no recipe, so this node does not know which program it stands for. '
            f"Say so in {self._file}, {place}:\n{'' if self._own.recipes else 'recipes:'}\n{example}"
        ).replace(":\n\n", ":\n")
        if self.problem:
            message += f"\nThat file has a mistake and is not read: {self.problem}"
        return message
