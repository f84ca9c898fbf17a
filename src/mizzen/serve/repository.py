"""The models of one server, by name and version, each with its state: one that cannot be served touches no other.

What could be served is a :class:`Source`'s to say; what is served, and whether it can answer, stands here. Models are
loaded and let go on threads, so that the others go on answering; a new one of the same name takes over only once it is
loaded, and the old one finishes what it has taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import stat
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from mizzen.serve.errors import Asleep, LoadError, ModelNotFound, ModelNotReady, Unloaded, VersionNotFound
from mizzen.serve.lanes.scheduling import Scheduling
from mizzen.serve.model import Servable
from mizzen.serve.served import Broken, Dormant, Served, State
from mizzen.serve.spec import ModelSpec

logger = logging.getLogger(__name__)

Build = Callable[[ModelSpec], Servable]


class Source(Protocol):
    """What could be served."""

    def names(self) -> list[str]:
        """All models there are, whether they are loaded or not."""

    def specs(self, name: str, parameters: Mapping[str, Any] | None = None) -> Sequence[ModelSpec]:
        """The versions of a model that are to be served; at least one.

        Args:
            parameters: those of a load request.

        Raises:
            ModelNotFound
            LoadError: its settings cannot be used.
        """


class IndexEntry(Struct):
    """One line of the repository's index."""

    name: str
    version: str | None
    state: str
    reason: str


class Repository:
    """Args:
    scheduling: how requests are put to models that bring no scheduling of their own.
    prepare: run on each model's thread before anything else.
    source: what could be served, for :meth:`open`; None for a server of fixed models.
    build: makes a model of its spec.
    stuck: called when a model will not answer any more because a call never ended.
    memory: bytes that models may take together; past that the least recently used are unloaded until they are asked
        for.

    Attributes:
        draining: the server is about to end: readiness fails, everything else is still served.
        everyone: puts a question to all processes of the server, where there are several.
    """

    def __init__(
        self,
        scheduling: Scheduling | None = None,
        prepare: Callable[[], None] | None = None,
        source: Source | None = None,
        build: Build | None = None,
        stuck: Callable[[Served, str], None] | None = None,
        memory: int | None = None,
    ) -> None:
        self._scheduling = scheduling or Scheduling()
        self._memory = memory
        self._prepare = prepare
        self._source = source
        self._build = build
        self.stuck = stuck
        self.draining = False
        self.everyone: Callable[..., Awaitable[Any]] | None = None
        # By name, the version that is meant where none is named; and all of them.
        self._default: dict[str, Served] = {}
        self._versions: dict[str, dict[str | None, Served]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    def __iter__(self) -> Iterator[Served]:
        return (served for versions in self._versions.values() for served in versions.values())

    @property
    def names(self) -> list[str]:
        """The models that are loaded, or should be, in the order of their coming."""
        return list(self._versions)

    def versions(self, name: str) -> list[str]:
        """The versions of a model; empty if it has none.

        Raises:
            ModelNotFound
        """
        return sorted((key for key in self._all(name) if key is not None), key=_order)

    def index(self) -> list[IndexEntry]:
        """All models that are or could be served, with their states."""
        entries = [
            IndexEntry(served.model.name, served.model.version, served.state.value, served.reason) for served in self
        ]
        known = self._source.names() if self._source is not None else []
        entries += [
            IndexEntry(name, None, State.UNAVAILABLE.value, "unloaded") for name in known if name not in self._versions
        ]
        return entries

    def add(self, model: Servable, scheduling: Scheduling | None = None) -> Served:
        """List a model, not yet ready; see :meth:`load`."""
        served = Served(model, scheduling or self._scheduling, self._prepare, self._is_stuck)
        self._versions.setdefault(model.name, {})[model.version] = served
        self._choose(model.name)
        return served

    def take(self, model: Servable) -> Served:
        """List a model that its maker has loaded."""
        served = self.add(model)
        served.state = State.READY
        return served

    def load(self, model: Servable, scheduling: Scheduling | None = None) -> Served:
        """Add a model and load it. Blocking: for before the server listens.

        Raises:
            LoadError: it stays listed, unavailable, with the reason.
        """
        served = self.add(model, scheduling)
        try:
            served.load()
        finally:
            self._choose(model.name)
        return served

    def load_all(self) -> list[LoadError]:
        """Load everything that the source has. Blocking: for before the server listens.

        Returns:
            what could not be loaded; it stays listed, unavailable, with its reason.
        """
        errors = []
        for name in self._source.names() if self._source is not None else ():
            try:
                specs = self._specs(name, None)
            except LoadError as error:
                self.add(Broken(name), None).fail(str(error))
                errors.append(error)
                continue
            for spec in specs:
                size = _files(spec.directory) if self._memory is not None else 0
                if self._memory is not None and self._taken() and self._taken() + size > self._memory:
                    self.add(Dormant(Broken(spec.name, spec.version))).sleep()
                    continue
                if self._memory is not None and size > self._memory:
                    logger.warning("model %s takes %d bytes, more than all models may", spec.name, size)
                try:
                    self.load(self._made(spec), spec.scheduling).size = size
                except LoadError as error:
                    errors.append(error)
        return errors

    async def open(self, name: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Load a model in every process of the server; see :meth:`open_here`."""
        await self._everyone("open", name, dict(parameters or {}))

    async def shut(self, name: str) -> None:
        """Let a model go in every process of the server; see :meth:`shut_here`."""
        await self._everyone("shut", name)

    async def act(self, verb: str, arguments: list[Any]) -> Any:
        """What :class:`~mizzen.serve.running.peers.Peers` asks of this process."""
        await {"open": self.open_here, "shut": self.shut_here}[verb](*arguments)
        return True

    async def open_here(self, name: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Load a model, or load it anew, while the server runs. The old one answers until the new one can.

        Raises:
            ModelNotFound: neither loaded nor known to the source.
            LoadError: what is loaded already stays as it was; what is not stays listed, with the reason.
        """
        async with self._lock(name):
            if self._source is None:
                self.ready(name)  # a server of fixed models: what is ready is loaded
                return
            specs = await asyncio.to_thread(self._specs, name, parameters)
            before = dict(self._versions.get(name, {}))
            loaded: dict[str | None, Served] = {}
            for spec in specs:
                model = await asyncio.to_thread(self._made, spec)  # it may import a framework
                served = Served(model, spec.scheduling or self._scheduling, self._prepare, self._is_stuck)
                if spec.version not in before:
                    self._versions.setdefault(name, {})[spec.version] = served
                    self._choose(name)
                try:
                    await asyncio.to_thread(served.load)
                except LoadError:
                    for other in loaded.values():
                        await self._let_go(other)
                    self._choose(name)
                    raise
                if self._memory is not None:
                    served.size = await asyncio.to_thread(_files, spec.directory)
                loaded[spec.version] = served
            self._versions[name] = loaded
            self._choose(name)
            for old in before.values():
                await self._let_go(old)
            await self._make_room(name)

    async def shut_here(self, name: str) -> None:
        """Let a model go: it takes nothing more, answers what it has taken, and is forgotten.

        Raises:
            ModelNotFound
        """
        async with self._lock(name):
            versions = list(self._all(name).values())
            for served in versions:
                if served.ready:
                    served.state, served.reason = State.UNLOADING, "it is being unloaded"
            for served in versions:
                await self._let_go(served)
            self._versions.pop(name, None)
            self._default.pop(name, None)

    def is_unloaded(self, name: str) -> bool:
        """Whether the source has a model that is not loaded."""
        return name not in self._versions and self._source is not None and name in self._source.names()

    def get(self, name: str, version: str | None = None) -> Served:
        """A model, whatever its state.

        Raises:
            ModelNotFound, VersionNotFound
            Unloaded: it could be served, and is not.
        """
        served = self._default.get(name)
        if served is None:
            raise Unloaded(name) if self.is_unloaded(name) else ModelNotFound(name)
        if version is None:
            return served
        found = self._versions[name].get(version)
        if found is None:
            raise VersionNotFound(name, version, self.versions(name))
        return found

    def ready(self, name: str, version: str | None = None) -> Served:
        """A model that can answer.

        Raises:
            ModelNotFound, VersionNotFound, ModelNotReady
        """
        served = self._default.get(name)
        if served is None or version is not None:
            served = self.get(name, version)
        if self._memory is not None:
            served.used = time.monotonic()
            if served.dormant:
                raise Asleep(name)
        if served.state is not State.READY:
            raise ModelNotReady(name, served.reason)
        return served

    async def wake(self, name: str) -> None:
        """Load a model again that was unloaded to make room.

        Raises:
            LoadError, ModelNotFound: it cannot be any more.
        """
        if any(served.dormant for served in self._versions.get(name, {}).values()):
            await self.open_here(name)

    def close(self) -> None:
        """End what runs the models."""
        for served in self:
            if served.lane is not None:
                served.lane.close()

    async def _everyone(self, verb: str, *arguments: Any) -> None:
        if self.everyone is not None:
            await self.everyone(verb, *arguments)
        else:
            await self.act(verb, list(arguments))

    def _all(self, name: str) -> dict[str | None, Served]:
        versions = self._versions.get(name)
        if not versions:
            raise ModelNotFound(name)
        return versions

    def _choose(self, name: str) -> None:
        """The highest version that can answer is the one that is meant; if none can, the highest."""
        versions = self._versions.get(name)
        if not versions:
            return
        self._default[name] = max(versions.values(), key=lambda served: (served.ready, _order(served.model.version)))

    def _taken(self) -> int:
        return sum(served.size for served in self if not served.dormant)

    async def _make_room(self, kept: str) -> None:
        """Unload what was not asked for longest, until the rest fits; not ``kept``, nor what is at work."""
        if self._memory is None:
            return
        idle = [served for served in self if served.ready and served.model.name != kept and not served.in_flight]
        for served in sorted(idle, key=lambda served: served.used):
            if self._taken() <= self._memory:
                return
            name, version = served.model.name, served.model.version
            logger.info("model %s is unloaded to make room; the next request loads it again", name)
            stand_in = Served(Dormant(served.model), self._scheduling, None)
            stand_in.metrics = served.metrics
            stand_in.sleep()
            self._versions[name][version] = stand_in
            self._choose(name)
            await self._let_go(served)

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    def _specs(self, name: str, parameters: Mapping[str, Any] | None) -> Sequence[ModelSpec]:
        assert self._source is not None
        return self._source.specs(name, parameters)

    def _made(self, spec: ModelSpec) -> Servable:
        """The model of a spec; if it cannot even be made, one that says so when it is loaded."""
        assert self._build is not None
        try:
            return self._build(spec)
        except LoadError as error:
            return Broken(spec.name, spec.version, error)

    async def _let_go(self, served: Served) -> None:
        lane = served.lane
        while lane is not None and lane.in_flight:
            await asyncio.sleep(0.01)
        if lane is not None:
            lane.close()
        await asyncio.to_thread(served.model.unload)

    def _is_stuck(self, served: Served, reason: str) -> None:
        self._choose(served.model.name)
        if self.stuck is not None:
            self.stuck(served, reason)


def _files(place: Path) -> int:
    """The bytes of a model's files, which is what most models take in memory."""
    files = [place] if place.is_file() else place.rglob("*")
    total = 0
    for file in files:
        with contextlib.suppress(OSError):
            found = file.stat()
            total += found.st_size if stat.S_ISREG(found.st_mode) else 0
    return total


def _order(version: str | None) -> tuple[int, int, str]:
    """Versions that are numbers by their value, after those that are not."""
    if version is None:
        return (0, 0, "")
    return (2, int(version), version) if version.isdecimal() else (1, 0, version)
