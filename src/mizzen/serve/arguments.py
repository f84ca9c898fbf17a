"""The server's command line: every argument of KServe's servers, and a few of ours.

Manifests written for KServe pass what they like; nothing may be refused because it is not built here, and nothing may
be swallowed either. So an argument that changes nothing is named in a warning, unless it asks for what is so anyway.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from mizzen.serve.errors import ServeError

TRUE = {"y", "yes", "t", "true", "on", "1"}
FALSE = {"n", "no", "f", "false", "off", "0"}


class ArgumentError(ServeError):
    """An argument's value cannot be used. The sentence names it."""


@dataclass(slots=True)
class Arguments:
    """What the server was told.

    Attributes:
        host: None leaves it to where the server runs.
        batching: None leaves it to the model.
        max_request_bytes: what a request's body may weigh.
        ssl_certfile, ssl_keyfile: both or neither; with them the server speaks HTTPS.
        warnings: sentences about arguments without effect.
    """

    model_dir: str | None = None
    model_name: str = "model"
    host: str | None = None
    http_port: int = 8080
    keep_alive: float = 65.0
    grace_period: float = 30.0
    batching: bool | None = None
    max_request_bytes: int = 128 * 1024 * 1024
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    warnings: list[str] = field(default_factory=list)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ArgumentError(message)


def boolean(text: str) -> bool:
    """KServe's booleans."""
    word = text.lower()
    if word in TRUE:
        return True
    if word in FALSE:
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


def port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to 65535)")
    return int(text)


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value


def size(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of bytes")
    return int(text)


def switch(text: str) -> bool | None:
    return None if text.lower() == "auto" else boolean(text)


# Arguments of KServe's that change nothing here: the type of each, and the values that ask for what is so anyway.
_IDLE: dict[str, tuple[Callable[[str], Any], tuple[Any, ...]]] = {
    "--grpc_port": (port, ()),
    "--workers": (int, (1,)),
    "--max_threads": (int, ()),
    "--max_asyncio_workers": (int, ()),
    "--enable_grpc": (boolean, (False,)),
    "--enable_docs_url": (boolean, (False,)),
    "--enable_latency_logging": (boolean, (False,)),
    "--configure_logging": (boolean, (True,)),
    "--log_config_file": (str, ()),
    "--access_log_format": (str, ()),
    "--event-loop": (str, ("auto", "uvloop")),
    "--predictor_host": (str, ()),
    "--protocol": (str, ()),
    "--predictor_protocol": (str, ()),
    "--predictor_use_ssl": (boolean, (False,)),
    "--predictor_request_timeout_seconds": (int, ()),
    "--predictor_request_retries": (int, (0,)),
    "--grpc_max_send_message_length": (int, ()),
    "--grpc_max_receive_message_length": (int, ()),
    "--enable_predictor_health_check": (boolean, (False,)),
}

# Those of them that KServe takes without a value.
_FLAGS = {"--enable_predictor_health_check"}


def _parser() -> _Parser:
    parser = _Parser(
        prog="mizzen.serve",
        description="Serve a model over KServe's V1 and V2 protocols.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("--model_dir", help="the folder that holds the model file")
    parser.add_argument("--model_name", help="what requests call it (model)")
    parser.add_argument("--http_port", type=port, help="for REST (8080; 0 is any)")
    parser.add_argument("--host", help="the address to listen on")
    parser.add_argument("--timeout-keep-alive", dest="keep_alive", type=seconds, help="between requests, seconds (65)")
    parser.add_argument("--grace_period", type=seconds, help="to finish requests after SIGTERM, seconds (30)")
    parser.add_argument("--batching", type=switch, help="share predict calls: auto, on or off (auto)")
    parser.add_argument("--max_request_bytes", type=size, help="a larger body is refused (134217728)")
    parser.add_argument("--ssl_certfile", help="PEM chain; with --ssl_keyfile the server speaks HTTPS")
    parser.add_argument("--ssl_keyfile", help="PEM key of --ssl_certfile")
    for option, (kind, _) in _IDLE.items():
        if option in _FLAGS:
            parser.add_argument(option, dest=option, nargs="?", const=True, type=kind, help=argparse.SUPPRESS)
        else:
            parser.add_argument(option, dest=option, type=kind, help=argparse.SUPPRESS)
    return parser


def parse(argv: Sequence[str], environ: Mapping[str, str]) -> Arguments:
    """Read a command line.

    Args:
        environ: ``KSERVE_TLS_CERT_FILE`` and ``KSERVE_TLS_KEY_FILE`` stand in for the TLS arguments.

    Raises:
        ArgumentError: a value cannot be used.
    """
    found, unknown = _parser().parse_known_args(argv)
    given = vars(found)
    warnings = []
    for option, (_, as_it_is) in _IDLE.items():
        if option in given and (value := given.pop(option)) not in as_it_is:
            warnings.append(f"{option}={value} has no effect on this server")
    if unknown:
        warnings.append(f"unknown arguments are ignored: {' '.join(unknown)}")
    given.setdefault("ssl_certfile", environ.get("KSERVE_TLS_CERT_FILE") or None)
    given.setdefault("ssl_keyfile", environ.get("KSERVE_TLS_KEY_FILE") or None)
    arguments = Arguments(**given, warnings=warnings)
    if (arguments.ssl_certfile is None) != (arguments.ssl_keyfile is None):
        raise ArgumentError("--ssl_certfile and --ssl_keyfile must be given together")
    if arguments.ssl_certfile is not None and arguments.http_port == 8080:
        arguments.http_port = 8443
    return arguments
