"""The loggers that models written for KServe write to, by KServe's names for them.

``logger`` and ``trace_logger`` are children of the server's own, so that what a model says stands in the same log in
the same form. Whether and how that log is set up the server decides; :func:`configure_logging` does it earlier, for a
program that wants to log before it starts one.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from mizzen.serve.running.logs import configure

KSERVE_LOGGER_NAME = "mizzen.model"
KSERVE_TRACE_LOGGER_NAME = "mizzen.trace"

logger = logging.getLogger(KSERVE_LOGGER_NAME)
trace_logger = logging.getLogger(KSERVE_TRACE_LOGGER_NAME)


def configure_logging(log_config: dict[str, Any] | str | None = None) -> None:
    """Set up the log.

    Args:
        log_config: a ``dictConfig`` mapping, or a file with one (``.json``, ``.yaml``) or in Python's ini form; None is
            the server's own form, on standard error.

    Raises:
        MizzenError: the file cannot be used.
    """
    if isinstance(log_config, dict):
        import logging.config

        logging.config.dictConfig(log_config)
        return
    configure(os.environ, log_config)
