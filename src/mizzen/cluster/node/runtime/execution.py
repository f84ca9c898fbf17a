"""A command that runs inside a container for a while, as an exec probe does: its output, its end, its time limit."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from mizzen.cluster.node.runtime.loop import Loop, Timer
from mizzen.cluster.node.runtime.process import Answer, Pipes
from mizzen.cluster.node.runtime.spec import ExecResult

OUTPUT_LIMIT = 10 * 1024


class Execution:
    """Answers exactly once: when the command ends or when its time is over, whichever comes first."""

    def __init__(self, loop: Loop, answer: Answer) -> None:
        self.pid = 0
        self.pipes = Pipes(loop)
        self.timer: Timer | None = None
        self._answer: Answer | None = answer
        self._output = b""

    def open_pipe(self) -> int:
        return self.pipes.open(self._receive)

    def _receive(self, data: bytes) -> None:
        self._output += data[: OUTPUT_LIMIT - len(self._output)]

    def time_over(self) -> None:
        """Kill it, and answer without waiting for its end, which a process stuck in the kernel may never reach."""
        self.kill_group()
        self._say(ExecResult(exit_code=128 + signal.SIGKILL, output=self._output, timed_out=True))

    def finish(self, status: int) -> None:
        """Settle it: the process was reaped with ``status``."""
        if self.timer is not None:
            self.timer.cancel()
        self.pipes.finish()
        code = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        self._say(ExecResult(exit_code=code, output=self._output))

    def kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def _say(self, result: ExecResult) -> None:
        if self._answer is not None:
            self._answer(result)
            self._answer = None
