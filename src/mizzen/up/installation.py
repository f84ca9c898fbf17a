"""One installation from its start to its end: what is claimed, which roles run, and what is left behind.

Everything that can be refused, a held lock, a taken port, an address block, is asked for before the first role is
forked, so a start that cannot succeed says so at once and leaves nothing running.
"""

from __future__ import annotations

import fcntl
import gc
import os
import sys
import time
from collections.abc import Callable

from mizzen import __version__
from mizzen.cluster.apiserver.auth import ensure_credentials, existing_credentials
from mizzen.cluster.node.runtime.identity import Identity
from mizzen.cluster.node.runtime.namespaces import probe
from mizzen.cluster.node.runtime.network import AddressBlock
from mizzen.cluster.node.runtime.spec import Isolation
from mizzen.up import ports, state
from mizzen.up.aside import aside
from mizzen.up.ending import end_pods
from mizzen.up.errors import UpError
from mizzen.up.home import VARIABLE, Home
from mizzen.up.members import LOOPBACK, Listener, Surroundings, members
from mizzen.up.roles import process
from mizzen.up.supervisor import Role, Supervisor

_POD_GRACE = 10.0

Say = Callable[[str], None]


def check_platform() -> None:
    """Raises :class:`UpError` where an installation cannot run, with what works there all the same."""
    if sys.platform != "linux":
        raise UpError(
            f"`mizzen up` needs Linux or WSL2 (this is {sys.platform}): pods are processes with loopback addresses of "
            "their own, kept by Linux's process controls. `mizzen serve DIR` serves a model here, and the commands on "
            "objects (apply, get, ...) work with any cluster that KUBECONFIG names"
        )


def claim(home: Home, api_port: int, gateway_port: int) -> Surroundings:
    """Take everything the installation needs to have for itself.

    Raises:
        UpError: another supervisor has the home, or a port or folder cannot be had; the message says who has it and
            what to do.
    """
    check_platform()
    if api_port and api_port == gateway_port:
        raise UpError(f"both ports are {api_port}; choose two")
    home.check_length()
    try:
        return _claim(home, api_port, gateway_port)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise UpError(f"the home {home.root} cannot be used: {error.strerror}{where}") from error


def _claim(home: Home, api_port: int, gateway_port: int) -> Surroundings:
    home.make()
    _lock(home)
    api = ports.listen(LOOPBACK, api_port, "--api-port")
    gateway = ports.listen(LOOPBACK, gateway_port, "--gateway-port")
    # Making and checking certificates takes a library that no role needs.
    aside(lambda: ensure_credentials(home.credentials))
    claimed = Surroundings(
        home=home,
        block=AddressBlock.claim(home.root),
        credentials=existing_credentials(home.credentials),
        api=Listener(api, api.getsockname()[1]),
        gateway=Listener(gateway, gateway.getsockname()[1]),
        isolation=probe(),
    )
    claimed.credentials.write_kubeconfig(home.kubeconfig, claimed.api_url)
    return claimed


def _lock(home: Home) -> None:
    """Hold the home for as long as this process lives, however it ends: nobody closes the descriptor."""
    descriptor = os.open(home.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        running = state.read(home)
        who = f" (pid {running.supervisor.pid}, API at {running.api_url})" if running else ""
        raise UpError(
            f"an installation runs in {home.root} already{who}; `mizzen status` tells of it, `mizzen down` ends it, "
            "and another MIZZEN_HOME can hold a second one"
        ) from error


def run(claimed: Surroundings, say: Say, ready: Callable[[], None], *, background: bool) -> None:
    """Be the installation until a stop signal, then end all of it.

    Args:
        say: tells a person one line.
        ready: called once when every role is ready.
        background: whether a closed terminal is nothing to end for.

    Raises:
        UpError: it could not start; nothing of it is left running.
    """
    word = state.State(
        supervisor=Identity.of(os.getpid()),
        phase="starting",
        started_at=time.time(),
        version=__version__,
        api_url=claimed.api_url,
        gateway_url=claimed.gateway_url,
        address_block=claimed.block.pods,
        mounts=_mounts(claimed.isolation),
    )
    was_ready = False
    begun = time.monotonic()
    told: dict[str, int] = {}

    def changed(roles: dict[str, tuple[int, bool, int]], all_ready: bool) -> None:
        nonlocal was_ready
        word.roles = {
            name: state.RoleState(pid=pid, ready=is_ready, restarts=restarts)
            for name, (pid, is_ready, restarts) in roles.items()
        }
        for name, (pid, is_ready, restarts) in roles.items():
            if is_ready and told.get(name) != pid:
                told[name] = pid
                say(f"{name} is ready{' again' if restarts else f' after {time.monotonic() - begun:.1f} s'}")
        if all_ready and not was_ready:
            word.phase = "ready"
        write()
        if all_ready and not was_ready:
            was_ready = True
            ready()

    def write() -> None:
        try:
            state.write(claimed.home, word)
        except OSError as error:
            told = f"{claimed.home.state} cannot be written: {error.strerror}"
            if not was_ready:
                raise UpError(f"{told}; make room, or choose another home with {VARIABLE}") from error
            say(f"{told}; `mizzen status` does not know the newest")

    def ended() -> None:
        word.phase = "stopping"
        write()
        end_pods(claimed.home, _POD_GRACE)

    roles = [
        Role(
            name=member.name,
            main=process(claimed.home, member.name, member.main),
            keeps=member.keeps,
            once=member.once,
        )
        for member in members(claimed)
    ]
    # The collector writes into every object it looks at; what it never looks at stays shared by the roles.
    gc.collect()
    gc.freeze()
    supervisor = Supervisor(roles, say=say, changed=changed, ended=ended, stop_on_hangup=not background)
    # The last word stays: it says itself that its supervisor is gone, and on a full disk the next one takes its place.
    supervisor.run()


def _mounts(isolation: Isolation) -> str:
    if isolation.mode != "none":
        return "volumes are at the paths that manifests name"
    return (
        "models are served, but other programs find their volumes only by the paths in their arguments and variables, "
        f"which are rewritten, and not by a path of their own such as /mnt/models: {isolation.reason}"
    )
