"""Failures of models in the log, with their traceback, at most one a second.

A client that sends nonsense at full speed must not fill the log, nor keep the loop busy with tracebacks.
"""

from __future__ import annotations

import logging
import time

from mizzen.http.exchange import Exchange

LOG_EVERY = 1.0


class FailureLog:
    """Args:
    logger: where they go.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._next = 0.0
        self._left_out = 0

    def note(self, exchange: Exchange, error: BaseException) -> None:
        """A request failed by what its model raised."""
        now = time.monotonic()
        if now < self._next:
            self._left_out += 1
            return
        more = f" (and {self._left_out} failures like it were not logged)" if self._left_out else ""
        self._next, self._left_out = now + LOG_EVERY, 0
        target = exchange.target.decode("latin-1")
        request = exchange.header(b"x-request-id")
        which = f" (request {request.decode('latin-1')})" if request else ""
        self._logger.error("%s %s%s failed%s", exchange.method.decode(), target, which, more, exc_info=error)
