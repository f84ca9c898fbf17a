"""The server's log: in KServe's form on stderr, or as a configuration file says."""

from __future__ import annotations

import json
import logging
import logging.config
from collections.abc import Mapping
from pathlib import Path

from mizzen.serve.errors import ServeError


def configure(environ: Mapping[str, str], file: str | None) -> None:
    """Set up the log: as a file says, or on stderr in KServe's form, which tools that read it expect.

    Raises:
        ServeError: the file is no logging configuration.
    """
    if file is not None:
        _from_file(Path(file))
        return
    handler = logging.StreamHandler()
    form = logging.Formatter(
        "%(asctime)s.%(msecs)03d %(process)d mizzen %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S"
    )
    handler.setFormatter(form)
    level = environ.get("KSERVE_LOGLEVEL", "INFO").upper()
    root = logging.getLogger("mizzen")
    root.handlers[:] = [handler]
    root.propagate = False
    root.setLevel(level if level in logging.getLevelNamesMapping() else "INFO")


def _from_file(file: Path) -> None:
    try:
        if file.suffix == ".json":
            logging.config.dictConfig(json.loads(file.read_text()))
        elif file.suffix in (".yaml", ".yml"):
            import yaml  # only this needs it

            logging.config.dictConfig(yaml.safe_load(file.read_text()))
        else:
            logging.config.fileConfig(file, disable_existing_loggers=False)
    except OSError as error:
        raise ServeError(f"the logging configuration {file} cannot be read: {error.strerror or error}") from None
    except Exception as error:
        raise ServeError(f"{file} is no logging configuration: {error}") from None
