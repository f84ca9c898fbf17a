"""Which resources are served right now: the built-in ones, and those whose definitions are established."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mizzen.apis.meta import ResourceDef
from mizzen.cluster.apiserver.resources import Resource

_STABILITY = {"": 2, "beta": 1, "alpha": 0}


class Registry:
    """Resources by group, version and plural. ``generation`` counts the changes, for those who cache documents."""

    def __init__(self, builtin: Iterable[Resource]) -> None:
        self.generation = 0
        self._builtin = tuple(builtin)
        self._found: dict[tuple[str, str, str], Resource] = {}
        self._versions: set[tuple[str, str]] = set()
        for resource in self._builtin:
            self._enter(resource)

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        return self._found.get((group, version, plural))

    def has_version(self, group: str, version: str) -> bool:
        return (group, version) in self._versions

    def serving(self, definition: ResourceDef) -> Resource | None:
        """The resource for a definition that a client was compiled with; any version will do if its own is gone."""
        exact = self.find(definition.group, definition.version, definition.plural)
        return exact or next(
            (
                resource
                for resource in self
                if resource.definition.group == definition.group and resource.definition.plural == definition.plural
            ),
            None,
        )

    def replace(self, storage: str, resources: Iterable[Resource]) -> None:
        """Serve these versions of what lies on a shelf, and no others."""
        self._found = {place: resource for place, resource in self._found.items() if resource.storage != storage}
        self._versions = {place[:2] for place in self._found}
        for resource in resources:
            self._enter(resource)
        self.generation += 1

    def __iter__(self) -> Iterator[Resource]:
        return iter(tuple(self._found.values()))

    def storages(self) -> dict[str, Resource]:
        """One resource a shelf, whichever version comes first."""
        found: dict[str, Resource] = {}
        for resource in self:
            found.setdefault(resource.storage, resource)
        return found

    def groups(self) -> dict[str, list[str]]:
        """The groups in the order discovery lists them, each with its versions, the preferred one first."""
        found: dict[str, set[str]] = {}
        for resource in self:
            found.setdefault(resource.definition.group, set()).add(resource.definition.version)
        builtin = [resource.definition.group for resource in self._builtin]
        order = sorted(found, key=lambda group: (builtin.index(group) if group in builtin else len(builtin), group))
        return {group: sorted(found[group], key=version_rank, reverse=True) for group in order}

    def of_version(self, group: str, version: str) -> list[Resource]:
        """The resources of one group version, by name."""
        found = [r for r in self if r.definition.group == group and r.definition.version == version]
        return sorted(found, key=lambda resource: resource.definition.plural)

    def _enter(self, resource: Resource) -> None:
        definition = resource.definition
        self._found[(definition.group, definition.version, definition.plural)] = resource
        self._versions.add((definition.group, definition.version))


def version_rank(version: str) -> tuple[int, int, int, str]:
    """How Kubernetes ranks versions: stable before beta before alpha, then by number, then any other name."""
    digits = version[1:].split("alpha")[0].split("beta")[0]
    if version[:1] != "v" or not digits.isdigit():
        return (-1, 0, 0, version)
    rest = version[1 + len(digits) :]
    word = rest.rstrip("0123456789")
    if word not in _STABILITY:
        return (-1, 0, 0, version)
    number = rest[len(word) :]
    return (_STABILITY[word], int(digits), int(number) if number else 0, "")
