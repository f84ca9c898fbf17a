"""What the work on a pod needs of its node, and what the containers of one pod share."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as ReadMapping
from decimal import Decimal
from pathlib import Path
from typing import Literal

import msgspec

from mizzen.apis.core import POD
from mizzen.apis.meta import Mapping
from mizzen.cluster.node.parents import Parents
from mizzen.cluster.node.podfolder import PodFolder
from mizzen.cluster.node.podspec import Facts
from mizzen.cluster.node.recipes import RecipeBook
from mizzen.cluster.node.references import References
from mizzen.cluster.node.runtime.network import PodAddresses
from mizzen.cluster.node.volumes import Volumes
from mizzen.kube.client import Client
from mizzen.kube.events import EventRecorder, Reference
from mizzen.kube.informer import Informer


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """The node, for those who work on its pods.

    Attributes:
        address: the node's own.
        pods: the copy of the pods that are bound to it.
        isolated: whether containers can have a view of their own of the file system.
        gateway: ``host:port`` for clients in pods.
        first_port: the lowest port that this user may bind.
        allocatable: what the node has, in base units.
        environment: the node's own variables.
    """

    address: str
    client: Client
    pods: Informer
    parents: Parents
    recipes: RecipeBook
    references: References
    events: EventRecorder
    addresses: PodAddresses
    isolated: bool
    folder: Path
    gateway: str
    first_port: int
    allocatable: dict[str, Decimal]
    environment: ReadMapping[str, str]


class PodContext:
    """One pod, as its containers see it.

    Attributes:
        pod: the newest state that the API told.
        changed: called when a container's view is not what it was.
    """

    def __init__(self, host: Host, pod: Mapping, changed: Callable[[], None]) -> None:
        metadata = pod["metadata"]
        self.host = host
        self.pod = pod
        self.changed = changed
        self.address = ""
        self.uid: str = metadata["uid"]
        self.folder = PodFolder(host.folder, self.uid)
        self.volumes = Volumes(self.folder.volumes, host.references, lambda: self.facts, self._warn_of_mount)
        self._about = Reference(
            api_version=POD.api_version,
            kind=POD.kind,
            name=metadata["name"],
            namespace=metadata["namespace"],
            uid=self.uid,
        )

    @property
    def spec(self) -> Mapping:
        found: Mapping = self.pod["spec"]
        return found

    @property
    def namespace(self) -> str:
        return self._about.namespace

    @property
    def name(self) -> str:
        return self._about.name

    @property
    def facts(self) -> Facts:
        return Facts(pod=self.pod, address=self.address, host=self.host.address, allocatable=self.host.allocatable)

    def event(self, kind: Literal["Normal", "Warning"], reason: str, message: str, field: str = "") -> None:
        """Record an event about the pod, or about the part of it at ``field``."""
        about = msgspec.structs.replace(self._about, field_path=field) if field else self._about
        self.host.events.record(about, kind, reason, message)

    def _warn_of_mount(self, sentence: str) -> None:
        self.event("Warning", "FailedMount", sentence)
