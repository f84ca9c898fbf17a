"""What a running installation says of itself, kept in a file for the commands that ask."""

from __future__ import annotations

from typing import Literal

import msgspec

from mizzen.cluster.node.runtime.identity import Identity, is_alive
from mizzen.up.home import Home

Phase = Literal["starting", "ready", "stopping"]


class RoleState(msgspec.Struct, kw_only=True):
    """One role: its process, whether it has said that it is ready, and how often it had to be started again."""

    pid: int
    ready: bool = False
    restarts: int = 0


class State(msgspec.Struct, kw_only=True):
    """The supervisor's word.

    Attributes:
        supervisor: which process wrote this.
        started_at: seconds since the epoch.
        mounts: how pods see their volumes: with real paths, or with paths rewritten, and why.
    """

    supervisor: Identity
    phase: Phase
    started_at: float
    version: str
    api_url: str
    gateway_url: str
    address_block: str = ""
    mounts: str = ""
    roles: dict[str, RoleState] = {}

    @property
    def is_ready(self) -> bool:
        return self.phase == "ready" and all(role.ready for role in self.roles.values())


def write(home: Home, state: State) -> None:
    """Replace the file in one step, so that a reader finds the old word or the new one.

    On a full disk it is overwritten instead, which needs no room, and may be seen half written for an instant.

    Raises:
        OSError: there is no file yet, and no room for one.
    """
    word = msgspec.json.encode(state)
    fresh = home.state.with_name("state.json.new")
    try:
        fresh.write_bytes(word)
        fresh.replace(home.state)
    except OSError:
        fresh.unlink(missing_ok=True)
        with home.state.open("r+b") as file:
            file.write(word)
            file.truncate()


def read(home: Home) -> State | None:
    """The word of the supervisor that runs now; ``None`` when none does, whatever an earlier one left behind."""
    try:
        state = msgspec.json.decode(home.state.read_bytes(), type=State)
    except (OSError, msgspec.DecodeError):
        return None
    return state if is_alive(state.supervisor) else None
