"""A pod's volumes on disk, and where its containers see them."""

from __future__ import annotations

import asyncio
import logging
import stat
from collections.abc import Callable
from collections.abc import Mapping as ReadMapping
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

from mizzen.apis.meta import Mapping
from mizzen.cluster.node import atomicdir, projections
from mizzen.cluster.node.environment import expand
from mizzen.cluster.node.errors import ConfigMissing, NotStartable, VolumeUnavailable
from mizzen.cluster.node.podspec import Facts
from mizzen.cluster.node.references import References
from mizzen.cluster.node.runtime.spec import Mount
from mizzen.kube.client import Unreachable
from mizzen.kube.errors import ApiError

log = logging.getLogger(__name__)

# How long to wait before an update that failed is tried again. Seconds.
_RETRY = 5.0
_ANYONE = 0o777


class Volumes:
    """The volumes of one pod.

    Args:
        folder: where those are made that are not elsewhere on this machine.
        facts: the pod as it is now.
        warn: told what could not be provided, in words.
    """

    def __init__(
        self, folder: Path, references: References, facts: Callable[[], Facts], warn: Callable[[str], None]
    ) -> None:
        self._folder = folder
        self._references = references
        self._facts = facts
        self._warn = warn
        self._stale = asyncio.Event()

    @property
    def _declared(self) -> list[Mapping]:
        return self._facts().pod["spec"].get("volumes") or []

    @property
    def _filled(self) -> list[Mapping]:
        return [volume for volume in self._declared if _kind(volume) in projections.KINDS]

    async def set_up(self) -> None:
        """Make every volume, or bring it up to date.

        Raises:
            VolumeUnavailable: which one cannot be made, and why.
            ApiError, Unreachable: the API does not say what is in one.
        """
        for volume in self._declared:
            try:
                await self._make(volume)
            except ConfigMissing as error:
                raise VolumeUnavailable(f'MountVolume.SetUp failed for volume "{volume["name"]}": {error}') from error
            except OSError as error:
                why = f"{error.strerror} ({error.filename})"
                raise VolumeUnavailable(f'MountVolume.SetUp failed for volume "{volume["name"]}": {why}') from error

    async def _make(self, volume: Mapping) -> None:
        kind = _kind(volume)
        if kind == "hostPath":
            _check_host_path(volume["hostPath"])
        elif kind == "emptyDir":
            place = self._folder / volume["name"]
            if not place.is_dir():
                place.mkdir(parents=True)
                place.chmod(_ANYONE)
        elif kind in projections.KINDS:
            await self._fill(volume)
        else:
            raise VolumeUnavailable(
                f"{kind} volumes are not built yet; this node has emptyDir, hostPath, configMap, secret, downwardAPI "
                "and projected"
            )

    async def _fill(self, volume: Mapping) -> None:
        facts = self._facts()
        namespace = facts.pod["metadata"].get("namespace") or ""
        objects = await self._references.fetch(namespace, projections.references(volume))
        payload = projections.payload(volume, objects, facts)
        for sentence in payload.missing:
            self._warn(f'volume "{volume["name"]}" lacks a part: {sentence}')
        atomicdir.write(self._folder / volume["name"], payload.files)

    def pod_changed(self) -> None:
        """Look again at what depends on the pod's own labels and annotations."""
        if any(projections.is_downward(volume) for volume in self._filled):
            self._stale.set()

    async def keep_current(self) -> None:
        """Follow what the volumes are filled from, until cancelled."""
        if not self._filled:
            return
        namespace = self._facts().pod["metadata"].get("namespace") or ""
        wanted = {reference for volume in self._filled for reference in projections.references(volume)}
        with ExitStack() as stack:
            if wanted:
                stack.enter_context(self._references.following(namespace, wanted, self._stale.set))
            while True:
                await self._stale.wait()
                self._stale.clear()
                for volume in self._filled:
                    await self._refresh(volume)

    async def _refresh(self, volume: Mapping) -> None:
        try:
            await self._fill(volume)
        except NotStartable as error:
            # What a running container has already stays when its source is removed, as on any node.
            log.info("volume %s keeps its content: %s", volume["name"], error)
        except (ApiError, Unreachable, OSError) as error:
            log.warning("volume %s is not updated: %s", volume["name"], error)
            asyncio.get_running_loop().call_later(_RETRY, self._stale.set)

    def mounts(self, container: Mapping, values: ReadMapping[str, str]) -> list[Mount]:
        """Where the container sees which volume.

        Args:
            values: its environment, for ``subPathExpr``.

        Raises:
            VolumeUnavailable: a mount leads out of its volume.
        """
        declared = {volume["name"]: volume for volume in self._declared}
        return [self._mount(mount, declared[mount["name"]], values) for mount in container.get("volumeMounts") or ()]

    def _mount(self, mount: Mapping, volume: Mapping, values: ReadMapping[str, str]) -> Mount:
        kind = _kind(volume)
        source = Path(volume["hostPath"]["path"]) if kind == "hostPath" else self._folder / volume["name"]
        inner = mount.get("subPath") or expand(mount.get("subPathExpr") or "", values)
        if inner:
            if inner.startswith("/") or ".." in PurePosixPath(inner).parts:
                raise VolumeUnavailable(f'the subPath {inner!r} leads out of the volume "{volume["name"]}"')
            source = source / inner
            if not source.exists():
                if kind in projections.KINDS:
                    raise VolumeUnavailable(f'the volume "{volume["name"]}" has no {inner!r}, which is to be mounted')
                source.mkdir(parents=True)
            # Its own folder is replaced when the content changes; what is mounted stays what it was.
            source = source.resolve()
        # Kubernetes fills these; a container that wrote into them would lose it with the next change.
        read_only = bool(mount.get("readOnly")) or kind in projections.KINDS
        return Mount(str(source), mount["mountPath"], read_only)


def _kind(volume: Mapping) -> str:
    return next((field for field, value in volume.items() if field != "name" and value is not None), "emptyDir")


_IS_TYPE: dict[str, Callable[[int], bool]] = {
    "Directory": stat.S_ISDIR,
    "DirectoryOrCreate": stat.S_ISDIR,
    "File": stat.S_ISREG,
    "FileOrCreate": stat.S_ISREG,
    "Socket": stat.S_ISSOCK,
    "CharDevice": stat.S_ISCHR,
    "BlockDevice": stat.S_ISBLK,
}


def _check_host_path(source: Mapping) -> None:
    path, wanted = Path(source["path"]), source.get("type") or ""
    if not path.exists():
        if wanted == "DirectoryOrCreate":
            path.mkdir(parents=True, mode=0o755)
        elif wanted == "FileOrCreate":
            path.touch(mode=0o644)
        else:
            raise VolumeUnavailable(f"hostPath {path} does not exist on this machine (DirectoryOrCreate makes it)")
    if wanted and wanted not in _IS_TYPE:
        raise VolumeUnavailable(f"hostPath has no type {wanted!r}; it has {', '.join(_IS_TYPE)}")
    if wanted and not _IS_TYPE[wanted](path.stat().st_mode):
        raise VolumeUnavailable(f"hostPath type check failed: {path} is not a {wanted.removesuffix('OrCreate')}")
