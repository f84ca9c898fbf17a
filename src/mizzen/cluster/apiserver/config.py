"""What an API server is started with."""

from __future__ import annotations

import socket
from pathlib import Path

import msgspec

from mizzen.cluster.apiserver.auth import Credentials
from mizzen.cluster.apiserver.store.reserve import DEFAULT_SIZE
from mizzen.kube.admission import Admitter


class ApiServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The surroundings of one API server.

    Attributes:
        sock: a TCP socket, bound and listening already; the server closes its copy when it ends.
        data_dir: where the store lies; made if it is not there.
        credentials: from :func:`mizzen.cluster.apiserver.auth.ensure_credentials`.
        service_network: the addresses that Services get, such as ``127.40.128.0/17``.
        admitters: the rules that may change or refuse writes.
        node_socket: the Unix socket where the node agent serves container logs, if there is a node.
        reserve: how much disk space is held back for deletes on a full disk, in bytes.
    """

    sock: socket.socket
    data_dir: Path
    credentials: Credentials
    service_network: str
    admitters: tuple[Admitter, ...] = ()
    node_socket: Path | None = None
    reserve: int = DEFAULT_SIZE
