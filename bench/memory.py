"""What an installation takes of the machine's memory: PSS of all its processes, by role, with the sklearn zygote warm.

PSS (``/proc/PID/smaps_rollup``) is a process's private pages and its share of those it has in common with others; the
sum over the installation counts each page once. Counted are the supervisor, the four roles, the launcher and the
zygote: everything that descends from the supervisor, with no service applied. Not counted are the kernel's own memory
for them (page tables, sockets) and the page cache. MB are 10^6 bytes. It is read some seconds after the zygote is warm,
when the roles have given back what only the start has needed.

Pages of shared libraries are divided with strangers, too: other Python programs that run from the same files. So, where
this user may see page frames (root), the distinct ones that the processes have in memory are counted as well: what PSS
would come to if nothing else ran.

What one more model adds: PSS of the zygote and 20 live services, less that of the zygote alone before, divided by 20.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict

import processes
from figures import Figure, Say
from home import Home, new_home
from startup import wait_warm

LIMIT = 250.0
EACH_LIMIT = 12.0
ROLES = ("supervisor", "apiserver", "controllers", "gateway", "node", "launcher", "zygote sklearn")


def measure(quick: bool, say: Say) -> list[Figure]:
    starts, settling, services = (1, 1.0, 2) if quick else (5, 15.0, 20)
    samples: dict[str, list[Sample]] = {"first start": [], "later start": []}
    for turn in range(starts):
        with new_home() as home:
            for when, found in samples.items():
                home.up()
                wait_warm(home)
                time.sleep(settling)
                found.append(Sample(home))
                say(f"{when} {turn + 1} of {starts}: {found[-1].total:.0f} MB")
                if when == "first start":
                    home.down()
    each = []
    # After all else: what is imported for this is mapped in this process, and shared with what is measured.
    for _ in range(min(starts, 3)):
        with new_home() as home:
            home.up()
            wait_warm(home)
            time.sleep(settling)
            each.append(asyncio.run(_one_more(home, Sample(home), services, settling)))
        say(f"one more model: {each[-1]:.1f} MB")
    figures = []
    for when, found in samples.items():
        name = f"PSS, {when}, zygote warm"
        figures.append(Figure(name=name, unit="MB", readings=[one.total for one in found], at_most=LIMIT))
        alone = [one.alone for one in found if one.alone is not None]
        if alone:
            name = f"the same, were nothing else running, {when}"
            figures.append(Figure(name=name, unit="MB", readings=alone, at_most=LIMIT))
    for role in ROLES:
        readings = [one.roles[role] for one in samples["first start"]]
        figures.append(Figure(name=f"of that: {role}, first start", unit="MB", readings=readings))
    name = f"one more live sklearn model ({services} of them)"
    return [*figures, Figure(name=name, unit="MB", readings=each, at_most=EACH_LIMIT)]


class Sample:
    """PSS of one moment, in MB.

    Attributes:
        roles: of each role's processes together.
        alone: the distinct pages of all together; ``None`` if this user may not see them.
    """

    def __init__(self, home: Home) -> None:
        self.roles: dict[str, float] = defaultdict(float)
        found = home.processes()
        for pid, role in found.items():
            self.roles[role] += processes.pss(pid)
        self.alone = processes.distinct(found)

    @property
    def total(self) -> float:
        return sum(self.roles.values())

    @property
    def served(self) -> float:
        """The zygote and what was forked from it."""
        return self.roles["zygote sklearn"] + self.roles["pods"]


async def _one_more(home: Home, before: Sample, services: int, settling: float) -> float:
    import service
    from mizzen.apis.serving.v1beta1.inferenceservice import INFERENCE_SERVICE

    expected = service.train(home.models)
    async with service.client(home) as api:
        manifests = [service.manifest(f"iris-{number}", home.models) for number in range(services)]
        applied = await asyncio.gather(*(api.apply(INFERENCE_SERVICE, one) for one in manifests))
        await asyncio.gather(*(service.until_ready(api, one) for one in applied))
    asker = service.Asker(home, expected)
    for one in manifests:
        asker.until_answered(one["metadata"]["name"])
    asker.close()
    await asyncio.sleep(settling)
    return (Sample(home).served - before.served) / services
