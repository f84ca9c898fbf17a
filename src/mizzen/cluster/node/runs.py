"""The runs of a container: which one is the current one, what the disk and the pod parents know of it, how it ended."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import msgspec

from mizzen.apis.meta import Mapping
from mizzen.cluster.node.parents import Parents
from mizzen.cluster.node.podfolder import PodFolder
from mizzen.cluster.node.runtime import logs
from mizzen.cluster.node.runtime.errors import StartFailed
from mizzen.cluster.node.runtime.spec import PID_FILE, Exit, read_exit
from mizzen.cluster.node.status import Ended

# What a shell reports for a command that is not there or no program; the runtimes have a word of their own for it.
_CANNOT_RUN = (126, 127)
_FALLBACK = "FallbackToLogsOnError"


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run. ``step`` counts the restarts in a row that led to it (:func:`.lifecycle.pause`)."""

    number: int
    id: str
    step: int = 0


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a container before it is seen through.

    Attributes:
        run: the latest run, or the first one if there was none.
        running_since: when it was started, in seconds since the epoch, if it runs; ``None`` if it does not.
        ended: how it ended, if it did.
        last: how the run before that ended.
        image, recipe: what the run was started as.
    """

    run: Run
    running_since: float | None = None
    ended: Ended | None = None
    last: Ended | None = None
    image: str = ""
    recipe: str = ""


def recall(folder: PodFolder, parents: Parents, container: Mapping) -> Past:
    """What the disk and the parents know of a container. For a new pod, that is nothing."""
    name = container["name"]
    numbers = folder.runs(name)
    number = numbers[-1] if numbers else 0
    id = folder.run_id(name, number)
    record = folder.run_record(name, number)
    before = read_exit(folder.run(name, number - 1)) if number else None
    last = None
    if before is not None:
        last = ended(before, folder.run_id(name, number - 1), container, folder.log(name, number - 1))
    if record is None:
        return Past(run=Run(number=number, id=id), last=last)
    run = Run(number=number, id=id, step=record.step)
    here = parents.held.get(id)
    if here is not None and here.is_running:
        since = here.container.started_at if here.container is not None else None
        return Past(run=run, running_since=since or time.time(), last=last, image=record.image, recipe=record.recipe)
    exit = here.exited.result() if here is not None else read_exit(folder.run(name, number))
    ending = None
    if exit is not None:
        ending = ended(exit, id, container, folder.log(name, number))
        if parents.began(record.parent) > exit.finished_at:
            # It was ended with its parent, as when the machine or the installation goes down: that is no failure of
            # its own for which it should wait.
            run = msgspec.structs.replace(run, step=0)
    elif (folder.run(name, number) / PID_FILE).exists():
        run = msgspec.structs.replace(run, step=0)
        ending = Ended(
            exit_code=128 + signal.SIGKILL,
            reason="ContainerStatusUnknown",
            message="The container was gone when this node came back, and nobody had seen its end.",
            finished=time.time(),
            id=id,
        )
    return Past(run=run, ended=ending, last=last, image=record.image, recipe=record.recipe)


def ended(exit: Exit, id: str, container: Mapping, log: Path) -> Ended:
    """The end of a run as its status tells it."""
    message = exit.termination_message
    if not message and exit.exit_code and container.get("terminationMessagePolicy") == _FALLBACK:
        message = logs.tail_text(log)
    reason = "ContainerCannotRun" if exit.reason == "StartError" and exit.exit_code in _CANNOT_RUN else exit.reason
    return Ended(
        exit_code=exit.exit_code,
        signal=exit.signal,
        reason=reason,
        message=message or exit.message,
        started=exit.started_at,
        finished=exit.finished_at,
        id=id,
    )


def not_started(failure: StartFailed, id: str) -> Ended:
    """The end of a run that never began."""
    return Ended(
        exit_code=failure.exit_code,
        reason="ContainerCannotRun" if failure.exit_code in _CANNOT_RUN else "StartError",
        message=str(failure),
        finished=time.time(),
        id=id,
    )
