"""What TOSCA calls things: a name with a version, and a node template as it travels."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Identifier:
    """A name with a version. Read from an object with the two, or from the two with a space between.

    No structure of msgspec's, so that the codec is asked and may take both forms.
    """

    __slots__ = ("name", "version")

    def __init__(self, name: str, version: str) -> None:
        self.name = name
        self.version = version

    @classmethod
    def of(cls, value: Any) -> Identifier:
        """
        Raises:
            ValueError: it is neither of the two forms.
        """
        if isinstance(value, str):
            name, _, version = value.partition(" ")
        elif isinstance(value, dict):
            name, version = value.get("name", ""), value.get("version", "")
        else:
            name = version = ""
        if not (isinstance(name, str) and isinstance(version, str) and name and version):
            raise ValueError(f'{value!r} is no identifier: it takes {{"name": ..., "version": ...}} or "name version"')
        return cls(name, version)

    @property
    def key(self) -> str:
        """As the key of a map."""
        return f"{self.name} {self.version}"

    def plain(self) -> dict[str, str]:
        return {"name": self.name, "version": self.version}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identifier) and (self.name, self.version) == (other.name, other.version)

    def __hash__(self) -> int:
        return hash((self.name, self.version))

    def __repr__(self) -> str:
        return f"Identifier({self.name!r}, {self.version!r})"

    def __str__(self) -> str:
        return self.key


class NodeTemplate(Struct, kw_only=True):
    """``ToscaNodeTemplate``. TOSCA's own names keep their underscores."""

    name: str
    version: str
    derived_from: str | None = None
    metadata: dict[str, Any] | None = None
    description: str | None = None
    type: str | None = None
    type_version: str | None = None
    properties: dict[str, Any] | None = None
    requirements: list[Any] | None = None
    capabilities: dict[str, Any] | None = None

    @property
    def identifier(self) -> Identifier:
        return Identifier(self.name, self.version)
