"""The config maps and secrets that pods refer to: which they are, what is in them, and when they change.

They are fetched when they are needed, so that a container never starts with what a cache has not heard of yet. Only
what a running pod has mounted is watched, by one stream a kind and namespace, for as long as a pod needs it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import ExitStack, contextmanager
from typing import Literal

import msgspec

from mizzen.apis.core import CONFIG_MAP, SECRET
from mizzen.apis.meta import Mapping, ResourceDef
from mizzen.cluster.node.errors import ConfigMissing
from mizzen.kube.client import Client
from mizzen.kube.errors import ApiError
from mizzen.kube.informer import Change, Informer

Kind = Literal["configmap", "secret"]

_RESOURCES: dict[Kind, ResourceDef] = {"configmap": CONFIG_MAP, "secret": SECRET}


class Reference(msgspec.Struct, frozen=True):
    """A config map or secret of the pod's namespace, by name."""

    kind: Kind
    name: str

    def __str__(self) -> str:
        return f'{self.kind} "{self.name}"'


# What was found; ``None`` for what is not there.
Objects = dict[Reference, Mapping | None]


def text(found: Mapping, reference: Reference, key: str) -> str | None:
    """One value of a config map or secret; ``None`` where it has no such key.

    Raises:
        ConfigMissing: a secret's value is no text.
    """
    value = (found.get("data") or {}).get(key)
    if value is None or reference.kind == "configmap":
        return None if value is None else str(value)
    try:
        return _decoded(value, reference).decode()
    except UnicodeDecodeError as error:
        raise ConfigMissing(f"the value {key!r} of {reference} is no text and cannot be a variable") from error


def texts(found: Mapping, reference: Reference) -> dict[str, str]:
    """The values of a config map or secret that are text. Raises as :func:`text`."""
    return {key: text(found, reference, key) or "" for key in found.get("data") or {}}


def binaries(found: Mapping, reference: Reference) -> dict[str, bytes]:
    """All values of a config map or secret.

    Raises:
        ConfigMissing: one is not base64, where it should be.
    """
    plain, encoded = found.get("data") or {}, found.get("binaryData") or {}
    if reference.kind == "secret":
        plain, encoded = {}, plain
    decoded = {key: _decoded(value, reference) for key, value in encoded.items()}
    return {key: value.encode() for key, value in plain.items()} | decoded


def _decoded(value: str | None, reference: Reference) -> bytes:
    try:
        return base64.b64decode(value or "", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ConfigMissing(f"{reference} holds a value that is not base64: {error}") from error


class References:
    """Fetches and watches. Its watches are tasks of ``group``."""

    def __init__(self, client: Client, group: asyncio.TaskGroup) -> None:
        self._client = client
        self._group = group
        self._streams: dict[tuple[str, str], _Stream] = {}

    async def fetch(self, namespace: str, references: Iterable[Reference]) -> Objects:
        """The objects as they are now.

        Raises:
            ApiError, Unreachable: the API does not say.
        """
        return {reference: await self._get(namespace, reference) for reference in references}

    async def _get(self, namespace: str, reference: Reference) -> Mapping | None:
        try:
            return await self._client.get(_RESOURCES[reference.kind], reference.name, namespace)
        except ApiError as error:
            if error.code != 404:
                raise
            return None

    @contextmanager
    def following(self, namespace: str, references: Set[Reference], changed: Callable[[], None]) -> Iterator[None]:
        """Call ``changed`` for as long as the context lasts whenever one of them may have changed.

        It is also called once when the watch begins, for what changed before.
        """
        with ExitStack() as stack:
            for kind in sorted({reference.kind for reference in references}):
                names = {reference.name for reference in references if reference.kind == kind}
                stack.enter_context(self._follow(kind, namespace, names, changed))
            yield

    @contextmanager
    def _follow(self, kind: Kind, namespace: str, names: set[str], changed: Callable[[], None]) -> Iterator[None]:
        stream = self._streams.get((kind, namespace))
        if stream is None:
            informer = Informer(self._client, _RESOURCES[kind], namespace=namespace)
            stream = self._streams[kind, namespace] = _Stream(informer, self._group.create_task(informer.run()))
        follower = stream.add(names, changed)
        try:
            yield
        finally:
            stream.followers.discard(follower)
            if not stream.followers and self._streams.get((kind, namespace)) is stream:
                del self._streams[kind, namespace]
                stream.task.cancel()


class _Follower:
    def __init__(self, names: set[str], changed: Callable[[], None]) -> None:
        self.names = names
        self.changed = changed


class _Stream:
    """One watch and those who want to know."""

    def __init__(self, informer: Informer, task: asyncio.Task[None]) -> None:
        self.task = task
        self.followers: set[_Follower] = set()
        self._informer = informer
        informer.on_change(self._tell)

    def add(self, names: set[str], changed: Callable[[], None]) -> _Follower:
        follower = _Follower(names, changed)
        self.followers.add(follower)
        if self._informer.synced.is_set():
            changed()
        return follower

    def _tell(self, change: Change) -> None:
        for follower in list(self.followers):
            if change.key[1] in follower.names:
                follower.changed()
