"""What a node agent is started with."""

from __future__ import annotations

from pathlib import Path

import msgspec

from mizzen.cluster.node.runtime.network import AddressBlock
from mizzen.cluster.node.runtime.spec import Isolation
from mizzen.kube.config import ClusterConfig


class NodeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The surroundings of one node agent.

    Attributes:
        cluster: the API, and as whom to ask it.
        block: the addresses of pods.
        parents: the folder of the pod parents' sockets.
        pods: the folder of volumes, logs and exits.
        socket: where logs are served to the API server.
        recipes: the user's own recipes; the file may not exist.
        isolation: which namespaces this user may make, as :func:`.runtime.namespaces.probe` found.
        gateway: ``host:port`` under which clients in pods reach services; empty if there is none.
        name: the node's name; empty for the machine's, as it was when the node first ran.
        home: of the installation, for those in pods who keep something there, as the model cache is; empty: whatever
            this process's environment says.
        warm: whether zygotes that are meant to be are started beforehand.
    """

    cluster: ClusterConfig
    block: AddressBlock
    parents: Path
    pods: Path
    socket: Path
    recipes: Path
    isolation: Isolation
    gateway: str = ""
    name: str = ""
    home: str = ""
    warm: bool = True
