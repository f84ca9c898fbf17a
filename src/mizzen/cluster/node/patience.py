"""Waiting for what keeps a container from being started, and saying so: in its state, and in an event now and then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Set
from contextlib import ExitStack
from types import TracebackType

from mizzen.cluster.node import lifecycle
from mizzen.cluster.node.errors import ConfigMissing, ImageUnavailable, NotStartable
from mizzen.cluster.node.host import PodContext
from mizzen.cluster.node.references import Reference
from mizzen.cluster.node.runtime.errors import AddressesUnavailable, ParentLost, ParentUnreachable
from mizzen.cluster.node.status import Waiting
from mizzen.kube.client import Unreachable
from mizzen.kube.errors import ApiError

log = logging.getLogger(__name__)

# What may pass, in the order of how soon it does.
PASSING = (NotStartable, AddressesUnavailable, ParentUnreachable, ParentLost, ApiError, Unreachable, OSError)

_FIRST = 0.05
_LONGEST = 10.0
# Recipes and packages are looked for this often: a person was just told to add them, and waits.
_IMAGE_INTERVAL = 1.0


class Patience:
    """A context in which something is tried until it succeeds.

    Args:
        references: objects whose change is a reason to try again.
        show: told the state to show meanwhile.
        field: the part of the pod that events are about.
    """

    def __init__(
        self, pod: PodContext, references: Set[Reference], show: Callable[[Waiting], None], field: str = ""
    ) -> None:
        self._pod = pod
        self._references = references
        self._show = show
        self._field = field
        self._stack = ExitStack()
        self._changed: asyncio.Event | None = None
        self._said = ""
        self._times = 0
        self._tries = 0
        self._next = 0.0

    def __enter__(self) -> Patience:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    async def after(self, problem: Exception) -> None:
        """Say what is wrong, and wait until it is worth another try."""
        pause = min(_FIRST * 2.0 ** min(self._tries, 20), _LONGEST)
        self._tries += 1
        match problem:
            case ParentLost():
                # It is started again with the next try.
                pause = _FIRST
            case Unreachable():
                log.info("pod %s/%s waits: %s", self._pod.namespace, self._pod.name, problem)
            case ApiError():
                self._say("CreateContainerConfigError", "Failed", str(problem))
            case ImageUnavailable():
                self._say_image(problem)
                pause = _IMAGE_INTERVAL
            case NotStartable():
                self._say(problem.reason, problem.event, str(problem))
            case AddressesUnavailable():
                self._say("ContainerCreating", "FailedCreatePodSandBox", str(problem))
            case OSError():
                what = f"{problem.filename}: {problem.strerror}" if problem.filename else str(problem)
                self._say("CreateContainerError", "Failed", f"a file of the container cannot be made: {what}")
            case _:
                self._say("CreateContainerError", "Failed", str(problem))
        await self._wait(pause, follow=isinstance(problem, ConfigMissing))

    def _say(self, reason: str, event: str, message: str) -> None:
        self._show(Waiting(reason, message))
        if self._is_due(message):
            self._pod.event("Warning", event, message, self._field)

    def _say_image(self, problem: ImageUnavailable) -> None:
        message = str(problem)
        image = message.partition('"')[2].partition('"')[0]
        first = message != self._said
        backing_off = f'Back-off pulling image "{image}": {message}'
        self._show(Waiting("ErrImagePull", message) if first else Waiting("ImagePullBackOff", backing_off))
        if self._is_due(message):
            self._pod.event("Warning", "Failed", f'Failed to pull image "{image}": {message}', self._field)

    def _is_due(self, message: str) -> bool:
        """Whether to say it in an event: when it is new, then after 10 s, 20 s, ... 5 minutes."""
        now = asyncio.get_running_loop().time()
        if message != self._said:
            self._said, self._times = message, 0
        elif now < self._next:
            return False
        self._times += 1
        self._next = now + lifecycle.delay(self._times)
        return True

    async def _wait(self, pause: float, *, follow: bool) -> None:
        if not follow or not self._references:
            await asyncio.sleep(pause)
            return
        if self._changed is None:
            self._changed = asyncio.Event()
            self._stack.enter_context(
                self._pod.host.references.following(self._pod.namespace, self._references, self._changed.set)
            )
        try:
            async with asyncio.timeout(pause):
                await self._changed.wait()
        except TimeoutError:
            pass
        self._changed.clear()
