"""How long ``mizzen up`` takes.

From the start of the command's process to its end, with ``-d``, which returns when the API server, the controllers, the
node and the gateway have all said that they are ready and what is shipped has been installed. The interpreter's own
start and the command's imports are in it. A *new home* has never been used, so certificates are made, the store is
created and the CRDs are installed; a *later start* finds them there. One start beforehand is not counted: it compiles
the sources and brings them into the page cache.

The zygote is warmed in the background after that. How long until it is, from the same beginning, is a row of its own.
"""

from __future__ import annotations

import asyncio
import time

from figures import Figure, Say
from home import PATIENCE, Home, new_home

LIMIT = 3.0


def measure(quick: bool, say: Say) -> list[Figure]:
    rounds = 1 if quick else 15
    with new_home() as home:
        home.up()
    first, later, warm = [], [], []
    for turn in range(rounds):
        with new_home() as home:
            begun = time.perf_counter()
            first.append(home.up())
            wait_warm(home)
            warm.append(time.perf_counter() - begun)
            home.down()
            later.append(home.up())
        say(f"start {turn + 1} of {rounds}: {first[-1]:.2f} s new, {later[-1]:.2f} s later, warm {warm[-1]:.2f} s")
    return [
        Figure(name="`mizzen up` to ready, new home", unit="s", readings=first, at_most=LIMIT),
        Figure(name="`mizzen up` to ready, later start", unit="s", readings=later, at_most=LIMIT),
        Figure(name="`mizzen up` to the sklearn zygote warm, new home", unit="s", readings=warm),
    ]


def wait_warm(home: Home) -> None:
    """Return when the zygote has imported everything: it answers then, and not before."""
    deadline = time.monotonic() + PATIENCE
    while not home.zygotes():
        if time.monotonic() > deadline:
            raise RuntimeError(f"no zygote was started within {PATIENCE:.0f} s; is scikit-learn installed?")
        time.sleep(0.01)
    asyncio.run(_greet(home))


async def _greet(home: Home) -> None:
    from mizzen.cluster.node.runtime.client import PodParent

    for socket in home.zygotes():
        async with await PodParent.connect(socket, timeout=PATIENCE):
            pass
