"""What a running set says of itself, for the commands that ask."""

from __future__ import annotations

import msgspec

from mizzen.cluster.node.runtime.identity import Identity, is_alive
from mizzen.up.acm.home import AcmHome


class PartState(msgspec.Struct, kw_only=True):
    """One part: its process, whether it answers, how often it had to be started again."""

    pid: int = 0
    ready: bool = False
    restarts: int = 0


class State(msgspec.Struct, kw_only=True):
    """The supervisor's word.

    Attributes:
        url: of the runtime, without a path.
        broker: ``host:port`` of Kafka.
        parts: by name; a broker that was there before is none of them.
    """

    supervisor: Identity
    phase: str
    started_at: float
    url: str
    broker: str
    parts: dict[str, PartState] = {}


def write(home: AcmHome, state: State) -> None:
    """Replace the file in one step."""
    fresh = home.state.with_name("state.json.new")
    fresh.write_bytes(msgspec.json.encode(state))
    fresh.replace(home.state)


def read(home: AcmHome) -> State | None:
    """The word of the set that runs now; ``None`` when none does."""
    try:
        state = msgspec.json.decode(home.state.read_bytes(), type=State)
    except (OSError, msgspec.DecodeError):
        return None
    return state if is_alive(state.supervisor) else None
