"""What a container asks to be done right after its start and right before its end."""

from __future__ import annotations

import asyncio

from mizzen.apis.meta import Mapping
from mizzen.cluster.node.checks import Result, Target, check

# A hook after the start has no limit in Kubernetes; this one only keeps a lost command from staying for ever. Seconds.
LONGEST_START = 24 * 3600.0
# What is left for SIGTERM when a hook has used up the whole grace period. Seconds.
LEAST_GRACE = 2.0


async def run(container: Mapping, name: str, target: Target, timeout: float) -> Result | None:
    """Run the hook ``postStart`` or ``preStop``; ``None`` where the container has none."""
    handler = (container.get("lifecycle") or {}).get(name)
    if not handler:
        return None
    if handler.get("sleep"):
        seconds = float(handler["sleep"].get("seconds") or 0)
        await asyncio.sleep(min(seconds, timeout))
        return Result(seconds <= timeout, f"it slept longer than the {timeout:g} s that it had")
    return await check(handler, target, timeout)
