"""From a container of a manifest to a process: which parent starts it, with what command, environment and mounts.

Pure. Where mount namespaces are not permitted, the paths of mounts are rewritten in all that the manifest and the
recipe say, because the container cannot be shown another file system.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from collections.abc import Mapping as ReadMapping
from pathlib import Path

import msgspec

from mizzen.apis.meta import Mapping
from mizzen.cluster.node import podspec
from mizzen.cluster.node.environment import expanded
from mizzen.cluster.node.errors import NotStartable
from mizzen.cluster.node.parents import Parent, launcher, zygote
from mizzen.cluster.node.podspec import Facts
from mizzen.cluster.node.recipes import Found
from mizzen.cluster.node.runtime.spec import TERMINATION_FILE, Mount, ProcessSpec, read_at_import
from mizzen.cluster.node.runtime.substitution import substituted
from mizzen.errors import TERMINATION_LOG
from mizzen.http.dial import BIND_ADDRESS
from mizzen.http.resolve import GATEWAY, NAMESPACE

_DEFAULT_TERMINATION_PATH = "/dev/termination-log"
_INTERPRETERS = ("python", "python3")
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Kubernetes' own lists of hosts begin like this.
_LOCALHOST = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where and as which run a container is started.

    Attributes:
        id: the run's name at its parent.
        folder: the run's own, where it starts unless it says otherwise.
        log: its log file.
        isolated: whether it can have a view of its own of the file system.
        cpus: how many the node has, for containers without a limit.
    """

    id: str
    folder: Path
    log: Path
    isolated: bool
    cpus: float

    @property
    def work(self) -> Path:
        """Where a program finds itself that was not told where to be."""
        return self.folder / "work"


class Launch(msgspec.Struct, frozen=True):
    """What to ask of which parent."""

    parent: Parent
    spec: ProcessSpec


def own_environment(
    facts: Facts, found: Found, node: ReadMapping[str, str], *, gateway: str, container: Mapping
) -> dict[str, str]:
    """The variables that a container has whatever its manifest says, the recipe's included.

    Args:
        node: the node's own environment.
        gateway: ``host:port`` of the cluster's gateway for clients in pods.
    """
    metadata = facts.pod["metadata"]
    env = {
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), node.get("PATH") or _DEFAULT_PATH)),
        "HOME": node.get("HOME") or "/",
        "LANG": node.get("LANG") or "C.UTF-8",
        "HOSTNAME": podspec.hostname(facts.pod),
        "POD_IP": facts.address,
        BIND_ADDRESS: facts.address,
        NAMESPACE: metadata.get("namespace") or "",
        TERMINATION_LOG: container.get("terminationMessagePath") or _DEFAULT_TERMINATION_PATH,
    }
    if gateway:
        env[GATEWAY] = gateway
    for name in ("TZ", "USER", *found.recipe.inherit):
        if name in node:
            env[name] = node[name]
    return env | found.recipe.env


def plan(
    container: Mapping,
    facts: Facts,
    found: Found,
    place: Place,
    *,
    own: ReadMapping[str, str],
    declared: ReadMapping[str, str],
    mounts: Sequence[Mount],
    machine_hosts: str,
) -> Launch:
    """How to start a container.

    Args:
        own: what :func:`own_environment` gives.
        declared: the variables that the manifest asks for.
        machine_hosts: the machine's ``/etc/hosts``.

    Raises:
        NotStartable: neither the manifest nor the recipe says what to run.
    """
    recipe = found.recipe
    env = {**own, **declared}
    by_exec = bool(container.get("command")) or not recipe.entry
    arguments = expanded(_arguments(container, found), env)
    parent = launcher()
    entry = ""
    if by_exec:
        argv = expanded(_command(container, found), env) + arguments
        if not argv:
            raise NotStartable(
                f'no command specified: the recipe {recipe.title!r} of image "{container["image"]}" has none, so the '
                "container must say what to run in `command`"
            )
        if argv[0] in _INTERPRETERS:
            argv[0] = sys.executable
    elif read_at_import({**recipe.env, **declared}):
        # Read when an interpreter starts or a library is loaded: in a forked process they would come too late.
        argv = [sys.executable, "-P", "-m", "mizzen.cluster.node.entry", recipe.entry, *arguments]
    else:
        argv, entry = arguments, recipe.entry
        if found.zygote is not None:
            parent = zygote(recipe.zygote, found.zygote)
    view = _view(container, facts, place, argv, env, mounts, machine_hosts)
    limit, request = podspec.amount(container, "limits", "cpu"), podspec.amount(container, "requests", "cpu")
    memory = podspec.amount(container, "limits", "memory")
    return Launch(
        parent,
        ProcessSpec(
            id=place.id,
            state_dir=str(place.folder),
            log_path=str(place.log),
            entry=entry,
            cpu=float(limit) if limit else place.cpus,
            cpu_weight=float(request) if request else None,
            memory_bytes=int(memory) if memory else None,
            title=facts.pod["metadata"]["name"],
            **view,
        ),
    )


def _command(container: Mapping, found: Found) -> list[str]:
    return container.get("command") or found.recipe.command


def _arguments(container: Mapping, found: Found) -> list[str]:
    """The pod's arguments; the recipe's stand in only where the pod says nothing at all, as an image's do."""
    if container.get("args") or container.get("command"):
        return container.get("args") or []
    return found.recipe.args


def _view(
    container: Mapping,
    facts: Facts,
    place: Place,
    argv: list[str],
    env: dict[str, str],
    mounts: Sequence[Mount],
    machine_hosts: str,
) -> Mapping:
    """Command, environment and file system: with real paths, or with the paths of mounts replaced."""
    directory = container.get("workingDir") or str(place.work)
    message_path = container.get("terminationMessagePath") or _DEFAULT_TERMINATION_PATH
    if place.isolated:
        return {
            "argv": argv,
            "env": env,
            "cwd": directory,
            "mounts": list(mounts),
            "hosts": hosts(facts, machine_hosts),
            "termination_message_path": message_path,
        }
    replaced = [*mounts, Mount(str(place.folder / TERMINATION_FILE), message_path)]
    return {
        "argv": [substituted(argument, replaced) for argument in argv],
        # Where programs are found is the machine's business, and no mount of the container is meant.
        "env": {name: value if name == "PATH" else substituted(value, replaced) for name, value in env.items()},
        "cwd": substituted(directory, replaced),
        "isolate": False,
    }


def rewritten(arguments: Iterable[str], mounts: Sequence[Mount], *, isolated: bool) -> list[str]:
    """A command that is run inside the container later on, with its paths as the container knows them."""
    return list(arguments) if isolated else [substituted(argument, mounts) for argument in arguments]


def hosts(facts: Facts, machine: str) -> str:
    """The container's ``/etc/hosts``: the machine's, the pod's own name, and its aliases."""
    lines = [(machine or _LOCALHOST).rstrip("\n")]
    if not facts.pod["spec"].get("hostNetwork"):
        lines.append(f"{facts.address}\t{podspec.hostname(facts.pod)}")
    for alias in facts.pod["spec"].get("hostAliases") or ():
        lines.append(f"{alias['ip']}\t{' '.join(alias.get('hostnames') or ())}")
    return "\n".join(lines) + "\n"
