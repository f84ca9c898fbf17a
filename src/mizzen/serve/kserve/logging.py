"""KServe's loggers."""

from mizzen.serve.custom.logs import (
    KSERVE_LOGGER_NAME,
    KSERVE_TRACE_LOGGER_NAME,
    configure_logging,
    logger,
    trace_logger,
)

__all__ = ["KSERVE_LOGGER_NAME", "KSERVE_TRACE_LOGGER_NAME", "configure_logging", "logger", "trace_logger"]
