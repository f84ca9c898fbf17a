"""What this machine is and has, as a Node's status tells it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import socket
from decimal import Decimal
from pathlib import Path

from mizzen import __version__
from mizzen.apis import quantity
from mizzen.apis.meta import Mapping
from mizzen.cluster.node.runtime.identity import boot_id
from mizzen.cluster.node.status import RUNTIME

# The release whose API the cluster speaks.
KUBERNETES = "v1.33.0"
# Processes are cheap, and each pod is a few of them.
MOST_PODS = 1000

_NAME_FILE = "node-name"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_UNPRIVILEGED = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
# A kubelet's own thresholds for pressure.
_LEAST_MEMORY = 100 * 2**20
_LEAST_DISK = 0.1
_LEAST_PIDS = 0.1


def node_name() -> str:
    """The machine's name as a Kubernetes name: lower case, with nothing in it but letters, digits, ``-`` and ``.``."""
    name = re.sub(r"[^a-z0-9.-]+", "-", socket.gethostname().lower()).strip("-.")
    return name[:63].rstrip("-.") or "node"


def kept_node_name(folder: Path) -> str:
    """The name under which the node of this folder was first known.

    Pods are bound to a name. A laptop that gets another one in another network must not lose them.
    """
    file = folder / _NAME_FILE
    try:
        return file.read_text().strip() or node_name()
    except FileNotFoundError:
        name = node_name()
        file.write_text(name)
        return name


def architecture() -> str:
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def first_port() -> int:
    """The lowest TCP port that this user may bind."""
    if os.geteuid() == 0:
        return 1
    try:
        return int(_UNPRIVILEGED.read_text())
    except (OSError, ValueError):
        return 1024


def capacity(folder: Path) -> dict[str, Decimal]:
    """What there is, in base units. ``folder`` is on the file system that pods use."""
    return {
        "cpu": Decimal(len(os.sched_getaffinity(0))),
        "memory": Decimal(_memory("MemTotal")),
        "ephemeral-storage": Decimal(shutil.disk_usage(folder).total),
        "pods": Decimal(MOST_PODS),
    }


def spelled(amounts: dict[str, Decimal]) -> dict[str, str]:
    """Amounts as Kubernetes writes them: memory and disk in binary units."""
    found = {name: quantity.canonical(str(amount)) for name, amount in amounts.items()}
    for name in ("memory", "ephemeral-storage"):
        found[name] = quantity.canonical(f"{int(amounts[name] // 1024)}Ki")
    return found


def _memory(field: str) -> int:
    """A field of ``/proc/meminfo`` in bytes; 0 where it has none."""
    found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def node_info() -> Mapping:
    """A Node's ``status.nodeInfo``."""
    id = _machine_id()
    return {
        "machineID": id,
        "systemUUID": id,
        "bootID": boot_id(),
        "kernelVersion": platform.release(),
        "osImage": _os_name(),
        "containerRuntimeVersion": f"{RUNTIME}://{__version__}",
        "kubeletVersion": f"{KUBERNETES}+mizzen-{__version__}",
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": architecture(),
    }


def _machine_id() -> str:
    for place in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            return Path(place).read_text().strip()
        except OSError:
            continue
    return ""


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def pressures(folder: Path) -> dict[str, str]:
    """What runs short, by the condition that says so, in words."""
    found = {}
    available = _memory("MemAvailable")
    if available < _LEAST_MEMORY:
        found["MemoryPressure"] = f"{available // 2**20} MiB of memory are left"
    disk = shutil.disk_usage(folder)
    if disk.free < disk.total * _LEAST_DISK:
        found["DiskPressure"] = f"{disk.free // 2**20} MiB are left on the disk of {folder}"
    try:
        most = int(Path("/proc/sys/kernel/pid_max").read_text())
        have = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
    except (OSError, ValueError, IndexError):
        return found
    if most - have < most * _LEAST_PIDS:
        found["PIDPressure"] = f"{have} of {most} process ids are in use"
    return found
