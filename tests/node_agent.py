"""A node agent in a process of its own, for tests that kill it: ``python node_agent.py HOME URL CA TOKEN MODE``."""

from __future__ import annotations

import sys
from pathlib import Path

import uvloop

from mizzen.cluster.node import agent
from mizzen.cluster.node.config import NodeConfig
from mizzen.cluster.node.runtime.network import AddressBlock
from mizzen.cluster.node.runtime.spec import Isolation
from mizzen.kube.config import ClusterConfig


def node_config(home: Path, url: str, ca: Path, token: str, isolation: Isolation, **fields: object) -> NodeConfig:
    """The configuration of a node whose files are all below ``home``."""
    home.mkdir(parents=True, exist_ok=True)
    given = {
        "cluster": ClusterConfig(server=url, ca=ca.read_text(), token=token),
        "block": AddressBlock.claim(home),
        "parents": home / "run" / "parents",
        "pods": home / "pods",
        "socket": home / "run" / "node.sock",
        "recipes": home / "recipes.yaml",
        "isolation": isolation,
        "gateway": "127.0.0.1:9",
        "name": "n1",
        "warm": False,
    }
    return NodeConfig(**(given | fields))


def main(home: str, url: str, ca: str, token: str, mode: str) -> None:
    isolation = Isolation("none", "this test forbids it") if mode == "none" else Isolation(mode)  # type: ignore[arg-type]
    config = node_config(Path(home), url, Path(ca), token, isolation)
    uvloop.run(agent.run(config, ready=lambda: print("ready", flush=True)))


if __name__ == "__main__":
    main(*sys.argv[1:])
