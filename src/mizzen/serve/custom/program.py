"""A program of somebody's own that serves: ``ModelServer().start([model])`` at its end, as with the kserve package.

The server is told what it is to do in two ways: by the program's command line, which it reads as every server of ours
does, and by what the program passes to :class:`ModelServer`, which counts more. A program that has arguments of its own
makes a parser with ``parents=[parser]``.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from mizzen.errors import MizzenError, leave_termination_message
from mizzen.serve import arguments as told
from mizzen.serve.arguments import Arguments
from mizzen.serve.custom.errors import NoModelReady
from mizzen.serve.custom.model import BaseModel, Model
from mizzen.serve.custom.registered import ModelRepository
from mizzen.serve.custom.servable import CustomServable
from mizzen.serve.errors import LoadError
from mizzen.serve.forwarding import config
from mizzen.serve.forwarding.config import PredictorConfig
from mizzen.serve.model import Servable
from mizzen.serve.served import Broken

logger = logging.getLogger(__name__)

_PROTOCOLS = ["v1", "v2", "grpc-v2"]
_EIGHT_MIB = 8 * 1024 * 1024

# KServe's arguments: each with its type, its default, and what it says.
_ARGUMENTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--http_port", {"type": told.port, "default": 8080, "help": "for all protocols"}),
    ("--grpc_port", {"type": told.port, "default": 8081, "help": "a second port for all protocols"}),
    ("--workers", {"type": int, "default": 1, "help": "processes that serve the same ports"}),
    ("--isolation", {"default": "thread", "choices": ["thread", "process"], "help": "where predict runs"}),
    ("--max_threads", {"type": int, "default": 4, "help": "without effect: gRPC needs no threads here"}),
    ("--max_asyncio_workers", {"type": int, "default": None, "help": "without effect"}),
    ("--enable_grpc", {"type": told.boolean, "default": True, "help": "whether gRPC is spoken"}),
    ("--enable_docs_url", {"type": told.boolean, "default": False, "help": "serve a page of the API at /docs"}),
    ("--enable_latency_logging", {"type": told.boolean, "default": True, "help": "a line with each request's times"}),
    ("--configure_logging", {"type": told.boolean, "default": True, "help": "whether the server sets up its log"}),
    ("--log_config_file", {"default": None, "help": "a logging configuration: .json, .yaml, or Python's ini form"}),
    ("--access_log_format", {"default": None, "help": "without effect"}),
    ("--event-loop", {"dest": "event_loop", "default": "auto", "choices": ["auto", "asyncio", "uvloop"]}),
    ("--timeout-keep-alive", {"dest": "timeout_keep_alive", "type": int, "default": 65, "help": "seconds"}),
    ("--model_name", {"default": "model", "help": "what requests call the model"}),
    ("--predictor_host", {"default": None, "help": "the server that predictions are asked of, host[:port]"}),
    ("--protocol", {"default": "v1", "choices": _PROTOCOLS, "help": "without effect: see --predictor_protocol"}),
    ("--predictor_protocol", {"default": "v1", "choices": _PROTOCOLS, "help": "what the predictor is asked in"}),
    ("--predictor_use_ssl", {"type": told.boolean, "default": False, "help": "whether the predictor speaks TLS"}),
    ("--predictor_request_timeout_seconds", {"type": int, "default": 600, "help": "for the predictor's answer"}),
    ("--predictor_request_retries", {"type": int, "default": 0, "help": "if the predictor cannot be reached"}),
    ("--enable_predictor_health_check", {"action": "store_true", "help": "be ready only while the predictor is"}),
    ("--grpc_max_send_message_length", {"type": int, "default": _EIGHT_MIB, "help": "bytes"}),
    ("--grpc_max_receive_message_length", {"type": int, "default": _EIGHT_MIB, "help": "bytes"}),
    ("--ssl_certfile", {"default": os.environ.get("KSERVE_TLS_CERT_FILE"), "help": "PEM chain, for TLS"}),
    ("--ssl_keyfile", {"default": os.environ.get("KSERVE_TLS_KEY_FILE"), "help": "PEM key of --ssl_certfile"}),
)


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(add_help=False, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    for option, settings in _ARGUMENTS:
        made.add_argument(option, **settings)
    return made


# For programs: argparse.ArgumentParser(parents=[parser]).
parser = _parser()


class ModelServer:
    """Args:
    registered_models: models that the program has put into a repository itself.
    predictor_config: the server that the models ask; None is the one of the command line.
    grace_period: seconds for requests to finish after SIGTERM.

    The others are the command line's arguments of the same names; None is what that says, or the default.
    """

    def __init__(
        self,
        http_port: int | None = None,
        grpc_port: int | None = None,
        workers: int | None = None,
        max_threads: int | None = None,
        max_asyncio_workers: int | None = None,
        registered_models: ModelRepository | None = None,
        enable_grpc: bool | None = None,
        enable_docs_url: bool | None = None,
        enable_latency_logging: bool | None = None,
        access_log_format: str | None = None,
        event_loop: str | None = None,
        timeout_keep_alive: float | None = None,
        grace_period: float | None = None,
        predictor_config: PredictorConfig | None = None,
        ssl_certfile: str | None = None,
        ssl_keyfile: str | None = None,
    ) -> None:
        self.registered_models = registered_models if registered_models is not None else ModelRepository()
        try:
            found = told.parse(sys.argv[1:], os.environ)
        except MizzenError as error:
            raise SystemExit(_said(error)) from None
        # Arguments that only the program knows are no mistake.
        found.warnings = [warning for warning in found.warnings if not warning.startswith("unknown arguments")]
        self.arguments = _with(
            found,
            http_port=http_port,
            grpc_port=grpc_port,
            workers=workers,
            enable_grpc=enable_grpc,
            docs=enable_docs_url,
            enable_latency_logging=enable_latency_logging,
            keep_alive=timeout_keep_alive,
            grace_period=grace_period,
            ssl_certfile=ssl_certfile,
            ssl_keyfile=ssl_keyfile,
        )
        if ssl_certfile is not None and self.arguments.http_port == 8080:
            self.arguments.http_port = 8443
        config.configure(predictor_config if predictor_config is not None else config.of_arguments(found))

    def register_model(self, model: BaseModel, name: str | None = None) -> None:
        """Serve this model, too, under its own name or another.

        Raises:
            LoadError: it has no name.
        """
        if not (name or model.name):
            raise LoadError("a model must have a name to be served under")
        self.registered_models.update(model, name)

    def start(self, models: Sequence[BaseModel | Servable]) -> None:
        """Serve the models until SIGTERM or Ctrl-C; those that are not ready are loaded first.

        A model that cannot be loaded is listed as not ready beside the others.

        Raises:
            SystemExit: nothing could be served; the reason stands on standard error.
        """
        from mizzen.serve.custom.again import serve

        try:
            code = serve(self._servables(models), self.arguments)
        except MizzenError as error:
            raise SystemExit(_said(error)) from None
        if code:
            raise SystemExit(code)

    def _servables(self, models: Sequence[BaseModel | Servable]) -> list[Servable]:
        if not isinstance(models, list | tuple):
            raise LoadError(f"start() takes a list of models, not a {type(models).__name__}")
        made: list[Servable] = []
        for model in models:
            if isinstance(model, Model):
                model.enable_latency_logging = self.arguments.enable_latency_logging
                made.append(CustomServable.of(model))
            elif isinstance(model, Servable):
                made.append(model)
            else:
                raise LoadError(f"a model must be derived from mizzen.serve.Model, which {type(model).__name__} is not")
        for name, model in self.registered_models.get_models().items():
            if not isinstance(model, Model):
                raise LoadError(f"model {name} must be derived from mizzen.serve.Model, {type(model).__name__} is not")
            made.append(CustomServable.of(model, name))
        return made


def load(servables: Sequence[Servable]) -> list[Servable]:
    """Load what is not loaded yet.

    Returns:
        those that are to be served: what cannot be loaded, or has another in its place, has its stand-in.

    Raises:
        LoadError: none of them can be.
    """
    errors = []
    found: list[Servable] = []
    for servable in servables:
        try:
            other = servable.load()
            found.append(other if isinstance(other, Servable) else servable)
        except LoadError as error:
            errors.append(error)
            # A user's own says itself that it is not well.
            own = isinstance(servable, CustomServable)
            found.append(servable if own else Broken(servable.name, servable.version, error))
    if errors and len(errors) == len(servables):
        raise errors[0] if len(errors) == 1 else NoModelReady(servables, str(errors[0]))
    for one in errors:
        logger.error("%s", one)
    return found


def _with(arguments: Arguments, **given: Any) -> Arguments:
    known = {field.name for field in fields(arguments)}
    assert given.keys() <= known
    return replace(arguments, **{name: value for name, value in given.items() if value is not None})


def _said(error: MizzenError) -> int:
    sentence = " ".join(str(error).split())
    leave_termination_message(sentence)
    print(f"mizzen: {sentence}", file=sys.stderr, flush=True)
    return 1
