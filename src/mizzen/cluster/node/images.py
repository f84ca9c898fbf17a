"""Names of images: what a recipe's patterns are matched against.

Nothing is ever pulled, so an image is only its name. The same software goes by many: with a registry or without, with a
tag, a digest, or Docker Hub's silent ``library/``.
"""

from __future__ import annotations

import msgspec

_DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of an image's name. ``path`` is the repository within its registry."""

    path: str
    registry: str = ""
    tag: str = ""
    digest: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """By what the image may be meant, the shortest first: without and with its registry, then with its tag."""
        repositories = [self.path] + ([f"{self.registry}/{self.path}"] if self.registry else [])
        return (*repositories, *(f"{name}:{self.tag}" for name in repositories if self.tag))


def parse(text: str) -> Image:
    """Take an image's name apart. Every text is one, if a strange one."""
    rest, _, digest = text.strip().partition("@")
    head, _, last = rest.rpartition("/")
    last, _, tag = last.partition(":")
    repository = f"{head}/{last}" if head else last
    first, slash, path = repository.partition("/")
    # A host has a dot, a port, or is this machine; everything else before a slash is part of the path.
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry = first
    else:
        registry, path = "", repository
    if registry in ("", *_DOCKER_HUB):
        path = path.removeprefix("library/")
    return Image(path=path, registry=registry, tag=tag, digest=digest)
