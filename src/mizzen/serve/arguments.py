"""The server's command line: every argument of KServe's servers, and a few of ours.

Manifests written for KServe pass what they like; nothing may be refused because it is not built here, and nothing may
be swallowed either. So an argument that changes nothing is named in a warning, unless it asks for what is so anyway.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from mizzen.serve.errors import ServeError
from mizzen.serve.lanes.scheduling import Scheduling

TRUE = {"y", "yes", "t", "true", "on", "1"}
FALSE = {"n", "no", "f", "false", "off", "0"}


class ArgumentError(ServeError):
    """An argument's value cannot be used. The sentence names it."""


@dataclass(slots=True)
class Arguments:
    """What the server was told.

    Attributes:
        model_dir: a folder, a file, an address of :mod:`mizzen.storage`, or ``my_model.py:MyModel``.
        named: whether ``model_name`` was given and is not the default.
        host: None leaves it to where the server runs.
        grpc_port: a second port, which speaks the same protocols; None is none.
        workers: processes that serve the same sockets.
        batching: None leaves it to the model.
        max_batch_latency: milliseconds for which a call waits for company.
        concurrency: calls of one model at once; None leaves it to the model.
        max_queue: requests that one model has taken and not yet answered; past that 503. None is no bound.
        predict_limit: seconds after which a call counts as stuck, and its model as lost.
        max_request_bytes: what a request's body may weigh.
        model_memory: bytes that models may take together before the least recently used is unloaded; None is no bound.
        load_at_start: whether models are loaded before the server listens, or each when it is told to.
        docs: whether ``/docs`` is served; None leaves it to where the server runs.
        access_log: ``off``, ``full``, or N for one request in so many.
        access_log_format: ``kserve`` or ``json``.
        ssl_certfile, ssl_keyfile: both or neither; with them the server speaks HTTPS.
        predictor_host and what follows: for models that forward to another server.
        settings: arguments that are a runtime's own, by name.
        warnings: sentences about arguments without effect.
        given: the names of those that were given, and are no defaults.
    """

    model_dir: str | None = None
    model_name: str = "model"
    named: bool = False
    host: str | None = None
    http_port: int = 8080
    grpc_port: int | None = None
    enable_grpc: bool = True
    workers: int = 1
    keep_alive: float = 65.0
    grace_period: float = 30.0
    batching: bool | None = None
    max_batch_rows: int = 1024
    max_batch_latency: float = 0.0
    concurrency: int | None = None
    max_queue: int | None = None
    predict_limit: float = 600.0
    isolation: str = "thread"
    max_request_bytes: int = 128 * 1024 * 1024
    grpc_max_receive_message_length: int = 8 * 1024 * 1024
    grpc_max_send_message_length: int = 8 * 1024 * 1024
    model_memory: int | None = None
    load_at_start: bool = True
    reload: bool = False
    docs: bool | None = None
    access_log: str = "off"
    access_log_format: str = "kserve"
    enable_latency_logging: bool = False
    configure_logging: bool = True
    log_config_file: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    runtime: str = ""
    predictor_host: str | None = None
    predictor_protocol: str = "v1"
    predictor_use_ssl: bool = False
    predictor_request_timeout_seconds: float = 600.0
    predictor_request_retries: int = 0
    enable_predictor_health_check: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    given: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def scheduling(self) -> Scheduling:
        """How models are asked that say nothing of it themselves."""
        return Scheduling(
            batching=self.batching,
            rows=self.max_batch_rows,
            latency=self.max_batch_latency / 1000,
            concurrency=self.concurrency,
            queue=self.max_queue,
            limit=self.predict_limit,
        )


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


def milliseconds(text: str) -> float:
    return seconds(text)


def size(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of bytes")
    return int(text)


def switch(text: str) -> bool | None:
    if text.lower() == "auto":
        return None
    if text.lower() not in TRUE | FALSE:
        raise argparse.ArgumentTypeError(f"{text!r} is none of auto, on and off")
    return boolean(text)


def name(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r} is no name")
    return text


def count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


def memory(text: str) -> int:
    """A number of bytes, or of KiB, MiB and GiB as Kubernetes writes them: ``512Mi``."""
    factor = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}.get(text[-2:], 1)
    return size(text.removesuffix(text[-2:]) if factor > 1 else text) * factor


def sampled(text: str) -> str:
    if text in ("off", "full") or (text.isdecimal() and int(text)):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is neither off nor full nor a number N for one request in N")


# Arguments of KServe's that change nothing here: the type of each, and the values that ask for what is so anyway.
_IDLE: dict[str, tuple[Callable[[str], Any], tuple[Any, ...]]] = {
    "--max_threads": (int, ()),
    "--max_asyncio_workers": (int, ()),
    "--event-loop": (str, ("auto", "uvloop")),
    "--protocol": (str, ("v1", "v2", "grpc-v2")),
    "--model_revision": (str, ()),
    "--tokenizer_revision": (str, ()),
    "--disable_log_requests": (boolean, (True,)),
    "--max_log_len": (int, ()),
    "--return_offsets_mapping": (boolean, (False,)),
}

# Those of them that KServe takes without a value.
_IDLE_FLAGS = {"--disable_log_requests", "--return_offsets_mapping"}

# Arguments of one runtime each, handed to it as settings; it knows what values it takes.
_SETTINGS: dict[str, str] = {
    "--nthread": "threads of an XGBoost or LightGBM model (1)",
    "--task": "what a transformers model is for, where its configuration does not tell",
    "--backend": "what runs a transformers model: auto, huggingface, vllm (auto)",
    "--dtype": "of a transformers model's numbers: auto, float32, float16, bfloat16 (auto)",
    "--max_model_len": "tokens of prompt and answer together (the model's own)",
    "--chat_template": "a template, or the file of one (the tokenizer's)",
    "--tensor_input_names": "the tokenizer's tensors that the model gets, with commas (all that it takes)",
    "--upstream": "a server of OpenAI's protocol that answers in the model's place: http://HOST:PORT/v1",
    "--upstream_command": "a command that starts such a server",
    "--upstream_model": "what that server calls the model (as requests do)",
    "--upstream_api_key": "what that server asks for",
    "--upstream_health": "the path at which it tells that it is well (/health)",
    "--upstream_timeout": "for its answers, seconds",
    "--upstream_startup": "for its start, seconds",
}
_FLAGS: dict[str, str] = {
    "--return_probabilities": "answer with all classes' probabilities",
    "--return_raw_logits": "answer with all classes' logits",
    "--disable_lower_case": "keep the case of texts, whatever the tokenizer says",
    "--disable_special_tokens": "do not put the model's own tokens around texts",
    "--return_token_type_ids": "give the model the tokens' types",
    "--trust_remote_code": "run code that lies beside the model",
}


@functools.cache
def _parser(prog: str, positional: bool) -> _Parser:
    parser = _Parser(
        prog=prog,
        usage=f"{prog} MODEL [options]" if positional else None,
        description="Serve models over KServe's V1 and V2 protocols, REST and gRPC, and OpenAI's.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
        add_help=positional,
    )
    what = parser.add_argument_group("what is served")
    if positional:
        what.add_argument(
            "model_dir",
            nargs="?",
            metavar="MODEL",
            help="a model's folder or file, a folder of models, an address (s3://, gs://, hf://, https://), "
            "or code of your own: my_model.py:MyModel",
        )
    else:
        what.add_argument(
            "--model_dir", metavar="MODEL", help="the model's folder or file, a folder of models, or an address"
        )
    what.add_argument("--model_name", "--name", type=name, metavar="NAME", help="what requests call it (model)")
    what.add_argument("--runtime", "--framework", metavar="NAME", help="the framework, where its files do not tell")
    what.add_argument("--model_id", metavar="ID", help="a model of Hugging Face's hub, OWNER/NAME")

    own = parser.add_argument_group("one framework's own")
    for option, text in _SETTINGS.items():
        names = (option, "--max_length") if option == "--max_model_len" else (option,)
        own.add_argument(*names, dest=option, metavar="VALUE", help=text)
    for option, text in _FLAGS.items():
        own.add_argument(option, dest=option, nargs="?", const=True, type=boolean, metavar="BOOL", help=text)

    where = parser.add_argument_group("where")
    where.add_argument("--host", metavar="HOST", help="the address to listen on")
    where.add_argument("--http_port", "--port", type=port, metavar="PORT", help="for all protocols (8080; 0 is any)")
    where.add_argument("--grpc_port", type=port, metavar="PORT", help="a second port for all protocols")
    where.add_argument("--enable_grpc", type=boolean, metavar="BOOL", help="whether gRPC is spoken (true)")
    where.add_argument("--ssl_certfile", metavar="FILE", help="PEM chain; with --ssl_keyfile the server speaks TLS")
    where.add_argument("--ssl_keyfile", metavar="FILE", help="PEM key of --ssl_certfile")

    how = parser.add_argument_group("how models are asked")
    how.add_argument("--workers", type=count, metavar="N", help="processes that serve the same ports (1)")
    how.add_argument("--batching", type=switch, metavar="MODE", help="share predict calls: auto, on or off (auto)")
    how.add_argument("--max_batch_rows", type=count, metavar="N", help="rows that one call may have (1024)")
    how.add_argument(
        "--max_batch_latency", type=milliseconds, metavar="MS", help="for which a call waits for company, ms (0)"
    )
    how.add_argument("--concurrency", type=count, metavar="N", help="calls of one model at once (the model's own)")
    how.add_argument(
        "--max_queue", type=count, metavar="N", help="requests a model may have to answer; past that 503 (no bound)"
    )
    how.add_argument(
        "--predict_limit", type=seconds, metavar="SECONDS", help="after which a call counts as stuck, seconds (600)"
    )
    how.add_argument("--isolation", choices=["thread", "process"], help="where predict runs (thread)")
    how.add_argument(
        "--model_memory",
        type=memory,
        metavar="SIZE",
        help="for all models; past it the least used is unloaded (no bound)",
    )
    how.add_argument(
        "--reload", action="store_true", help="load code of your own anew when its file changes (as mizzen serve does)"
    )

    limits = parser.add_argument_group("requests")
    limits.add_argument(
        "--timeout-keep-alive",
        dest="keep_alive",
        type=seconds,
        metavar="SECONDS",
        help="between requests, seconds (65)",
    )
    limits.add_argument(
        "--grace_period", type=seconds, metavar="SECONDS", help="to finish requests after SIGTERM, seconds (30)"
    )
    limits.add_argument("--max_request_bytes", type=size, metavar="BYTES", help="a larger body is refused (134217728)")
    limits.add_argument(
        "--grpc_max_receive_message_length", type=size, metavar="BYTES", help="of a gRPC request, bytes (8388608)"
    )
    limits.add_argument(
        "--grpc_max_send_message_length", type=size, metavar="BYTES", help="of a gRPC answer, bytes (8388608)"
    )

    told = parser.add_argument_group("what is told")
    told.add_argument(
        "--enable_docs_url", dest="docs", type=boolean, metavar="BOOL", help="serve a page of the API at /docs"
    )
    told.add_argument(
        "--access_log", type=sampled, metavar="HOW", help="a line for each request: off, full, or N for one in N (off)"
    )
    told.add_argument("--access_log_format", metavar="FORM", help="of these lines: kserve or json (kserve)")
    told.add_argument(
        "--enable_latency_logging", type=boolean, metavar="BOOL", help="a line with each request's times (false)"
    )
    told.add_argument(
        "--configure_logging", type=boolean, metavar="BOOL", help="whether the server sets up its log (true)"
    )
    told.add_argument(
        "--log_config_file", metavar="FILE", help="a logging configuration: .json, .yaml, or Python's ini form"
    )

    forward = parser.add_argument_group("forwarding, for transformers and explainers")
    forward.add_argument(
        "--predictor_host", metavar="HOST", help="the server that predictions are asked of, host[:port]"
    )
    forward.add_argument("--predictor_protocol", choices=["v1", "v2", "grpc-v2"], help="what it is asked in (v1)")
    forward.add_argument("--predictor_use_ssl", type=boolean, metavar="BOOL", help="whether it speaks TLS (false)")
    forward.add_argument(
        "--predictor_request_timeout_seconds", type=seconds, metavar="SECONDS", help="for its answer (600)"
    )
    forward.add_argument(
        "--predictor_request_retries", type=int, metavar="N", help="after a connection that failed (0)"
    )
    forward.add_argument(
        "--enable_predictor_health_check",
        nargs="?",
        const=True,
        type=boolean,
        metavar="BOOL",
        help="be ready only while it is",
    )
    for option, (kind, _) in _IDLE.items():
        if option in _IDLE_FLAGS:
            parser.add_argument(option, dest=option, nargs="?", const=True, type=kind, help=argparse.SUPPRESS)
        else:
            parser.add_argument(option, dest=option, type=kind, help=argparse.SUPPRESS)
    return parser


def parse(
    argv: Sequence[str], environ: Mapping[str, str], *, prog: str = "mizzen.serve", positional: bool = False
) -> Arguments:
    """Read a command line.

    Args:
        environ: ``KSERVE_TLS_CERT_FILE`` and ``KSERVE_TLS_KEY_FILE`` stand in for the TLS arguments.
        positional: whether the model is an argument by itself, and what is unknown an error, as people type it.

    Raises:
        ArgumentError: a value cannot be used.
    """
    found, unknown = _parser(prog, positional).parse_known_args(argv)
    given = vars(found)
    warnings = []
    for option, (_, as_it_is) in _IDLE.items():
        if option in given and (value := given.pop(option)) not in as_it_is:
            warnings.append(f"{option}={value} has no effect on this server")
    if unknown and positional:
        raise ArgumentError(f"unknown: {' '.join(unknown)}; mizzen serve --help lists what there is")
    if unknown:
        warnings.append(f"unknown arguments are ignored: {' '.join(unknown)}")
    settings = {option.lstrip("-"): given.pop(option) for option in (*_SETTINGS, *_FLAGS) if option in given}
    if model_id := given.pop("model_id", None):
        given["model_dir"] = f"hf://{model_id}"
    if "upstream" in settings or "upstream_command" in settings:
        given.setdefault("runtime", "upstream")
        given.setdefault("model_dir", ".")
    if positional and not given.get("model_dir"):
        raise ArgumentError("MODEL is missing: a folder, a file, an address, or code; see mizzen serve --help")
    given.setdefault("ssl_certfile", environ.get("KSERVE_TLS_CERT_FILE") or None)
    given.setdefault("ssl_keyfile", environ.get("KSERVE_TLS_KEY_FILE") or None)
    arguments = Arguments(
        **given, named="model_name" in given, settings=settings, warnings=warnings, given=frozenset(given)
    )
    if arguments.access_log_format not in ("kserve", "json"):
        warnings.append(f"--access_log_format={arguments.access_log_format} has no effect: there are kserve and json")
        arguments.access_log_format = "kserve"
    if (arguments.ssl_certfile is None) != (arguments.ssl_keyfile is None):
        raise ArgumentError("--ssl_certfile and --ssl_keyfile must be given together")
    if arguments.ssl_certfile is not None and arguments.http_port == 8080:
        arguments.http_port = 8443
    return arguments
