"""What other model servers are told, in this server's words: their command lines, and their variables.

Manifests written for KServe run Triton, MLServer, TensorFlow Serving and its own Hugging Face server, and tell each in
its own way what to serve and where. An image of theirs stands for this server here, so it has to understand them. What
has no effect is named in a warning, as with this server's own arguments, unless it asks for what is so anyway.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from mizzen.serve.arguments import FALSE, TRUE, ArgumentError, Arguments, parse
from mizzen.serve.layouts import folder, mlserver, triton
from mizzen.serve.main import container

# Where KServe puts a model.
MODELS = "/mnt/models"
# The folder that images have models in by default. A recipe sets it where paths of mounts have to be rewritten.
FOLDER = "MIZZEN_MODEL_DIR"
# Who the service is; KServe tells it to every container.
SERVICE = "INFERENCE_SERVICE_NAME"

_TRITON = {
    "model-store": "model_dir",
    "model-repository": "model_dir",
    "http-port": "http_port",
    "http-address": "host",
    "grpc-port": "grpc_port",
    "allow-grpc": "enable_grpc",
    "exit-timeout-secs": "grace_period",
}
# What is so anyway: these values of these options need no warning.
_TRITON_IS_SO: dict[str, set[str]] = {
    "allow-http": TRUE,
    "allow-metrics": TRUE,
    "model-control-mode": {"none"},
    "strict-model-config": FALSE,
    "disable-auto-complete-config": FALSE,
    "exit-on-error": FALSE,
}
_TENSORFLOW = {
    "model_name": "model_name",
    "model_base_path": "model_dir",
    "rest_api_port": "http_port",
    "port": "grpc_port",
    "grpc_max_receive_message_length": "grpc_max_receive_message_length",
}

# MLServer's variables of the server and of its one model, each with the argument that it is.
_MLSERVER = {
    "MLSERVER_HOST": "host",
    "MLSERVER_HTTP_PORT": "http_port",
    "MLSERVER_GRPC_PORT": "grpc_port",
    "MLSERVER_GRPC_MAX_MESSAGE_LENGTH": "grpc_max_receive_message_length",
}
_MODEL = "MLSERVER_MODEL_"
_MLSERVER_KNOWN = {
    *_MLSERVER,
    "MLSERVER_MODELS_DIR",
    "MLSERVER_LOAD_MODELS_AT_STARTUP",
    *(
        f"{_MODEL}{name}"
        for name in ("NAME", "URI", "IMPLEMENTATION", "CONTENT_TYPE", "EXTRA", "MAX_BATCH_SIZE", "MAX_BATCH_TIME")
    ),
}


def run_triton(argv: Sequence[str]) -> int:
    """``tritonserver --model-store=...``: as :func:`~mizzen.serve.main.container`."""
    return container(argv, of_triton)


def run_mlserver(argv: Sequence[str]) -> int:
    """``mlserver start FOLDER``, and variables: as :func:`~mizzen.serve.main.container`."""
    return container(argv, of_mlserver)


def run_tensorflow(argv: Sequence[str]) -> int:
    """``tensorflow_model_server --model_base_path=...``: as :func:`~mizzen.serve.main.container`."""
    return container(argv, of_tensorflow)


def run_huggingface(argv: Sequence[str]) -> int:
    """KServe's own server, which looks for its model in /mnt/models unless it is told of another place."""
    return container(argv, of_huggingface)


def of_triton(argv: Sequence[str], environ: Mapping[str, str]) -> Arguments:
    """Triton's command line. A folder without its layout is one model, called as its service.

    Raises:
        ArgumentError: a value cannot be used, or there is more than one repository.
    """
    options = list(_options(argv, "tritonserver"))
    repositories = [value for name, value in options if _TRITON.get(name) == "model_dir"]
    if len(repositories) > 1:
        raise ArgumentError(f"one model repository can be served here, and not {len(repositories)}")
    place = repositories[0] if repositories else _folder(environ)
    known = [f"--{_TRITON[name]}={value}" for name, value in options if _TRITON.get(name, "model_dir") != "model_dir"]
    arguments = parse([f"--model_dir={place}", *_named(Path(place), environ), *known], environ)
    control = dict(options).get("model-control-mode", "none")
    loaded = {value for name, value in options if name == "load-model"}
    arguments.load_at_start = control != "explicit" or bool(loaded)
    if loaded - {"*"}:
        arguments.warnings.append(f"--load-model={', '.join(sorted(loaded))}: all models in {place} are loaded")
    for name, value in options:
        if name in _TRITON or name == "load-model" or name.startswith("log-") or (name, value) == _EXPLICIT:
            continue
        if value.lower() not in _TRITON_IS_SO.get(name, ()):
            arguments.warnings.append(_idle(name, value))
    return arguments


def of_tensorflow(argv: Sequence[str], environ: Mapping[str, str]) -> Arguments:
    """TensorFlow Serving's command line. Raises as :func:`of_triton`."""
    options = list(_options(argv, "tensorflow_model_server"))
    known = [f"--{_TENSORFLOW[name]}={value}" for name, value in options if name in _TENSORFLOW]
    arguments = parse([f"--model_dir={_folder(environ)}", "--http_port=8501", *known], environ)
    arguments.warnings += [_idle(name, value) for name, value in options if name not in _TENSORFLOW]
    return arguments


def of_mlserver(argv: Sequence[str], environ: Mapping[str, str]) -> Arguments:
    """MLServer's command line and variables: a folder of its layout, or else the one model that the variables name.

    Raises:
        ArgumentError: a value cannot be used.
    """
    words = [word for word in argv if word not in ("mlserver", "start")]
    place = words[0] if words else environ.get("MLSERVER_MODELS_DIR") or _folder(environ)
    server = [f"--{ours}={environ[name]}" for name, ours in _MLSERVER.items() if environ.get(name)]
    if mlserver.found(Path(place)):
        arguments = parse([f"--model_dir={place}", *server], environ)
    else:
        arguments = parse([*_model_of(environ, place), *server], environ)
        arguments.settings |= _settings_of(environ)
    arguments.load_at_start = environ.get("MLSERVER_LOAD_MODELS_AT_STARTUP", "").lower() not in FALSE
    idle = sorted(name for name in environ if name.startswith("MLSERVER_") and name not in _MLSERVER_KNOWN)
    arguments.warnings += [f"{name}={environ[name]} has no effect on this server" for name in idle]
    arguments.warnings += [f"{word} has no effect on this server" for word in words[1:]]
    return arguments


def of_huggingface(argv: Sequence[str], environ: Mapping[str, str]) -> Arguments:
    """The command line of KServe's Hugging Face server. Raises as :func:`~mizzen.serve.arguments.parse`."""
    return parse([f"--model_dir={_folder(environ)}", *argv], environ)


_EXPLICIT = ("model-control-mode", "explicit")


def _folder(environ: Mapping[str, str]) -> str:
    return environ.get(FOLDER) or MODELS


def _options(argv: Sequence[str], program: str) -> Iterator[tuple[str, str]]:
    """``--name=value`` and ``--name value``, after the program's own name; an option alone is a true one.

    Raises:
        ArgumentError: a word that belongs to no option.
    """
    words = list(argv[1:] if argv[:1] and Path(argv[0]).name == program else argv)
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            raise ArgumentError(f"{word!r} belongs to no option of {program}")
        name, equals, value = word.lstrip("-").partition("=")
        if not equals:
            value = words.pop(0) if words and not words[0].startswith("-") else "true"
        yield name, value


def _named(place: Path, environ: Mapping[str, str]) -> list[str]:
    """The name of the one model in a folder; none if its layout names models."""
    name = environ.get(SERVICE)
    if not name or not place.is_dir() or triton.find(place) or mlserver.found(place):
        return []
    return [f"--model_name={name}"] if folder.is_model(place) or not folder.is_folder_of_models(place) else []


def _model_of(environ: Mapping[str, str], place: str) -> list[str]:
    """The arguments that MLServer's variables of a model are."""
    found = [f"--model_dir={environ.get(f'{_MODEL}URI') or place}"]
    if name := environ.get(f"{_MODEL}NAME") or environ.get(SERVICE):
        found.append(f"--model_name={name}")
    if implementation := environ.get(f"{_MODEL}IMPLEMENTATION"):
        found.append(f"--runtime={implementation}")
    rows, seconds = environ.get(f"{_MODEL}MAX_BATCH_SIZE", "0"), environ.get(f"{_MODEL}MAX_BATCH_TIME", "0")
    try:
        latency = float(seconds) * 1000
    except ValueError:
        raise ArgumentError(f"{_MODEL}MAX_BATCH_TIME: {seconds!r} is not a number of seconds") from None
    if latency > 0 and rows not in ("", "0", "1"):
        found += ["--batching=on", f"--max_batch_rows={rows}", f"--max_batch_latency={latency}"]
    return found


def _settings_of(environ: Mapping[str, str]) -> dict[str, Any]:
    """What a model is told beside its arguments: that it is asked by MLServer's clients, and its author's extras."""
    text = environ.get(f"{_MODEL}EXTRA", "")
    try:
        extra = msgspec.json.decode(text, type=dict[str, Any]) if text else {}
    except msgspec.DecodeError as error:
        raise ArgumentError(f"{_MODEL}EXTRA is no JSON object: {error}") from None
    return {**extra, "layout": "mlserver", "content_type": environ.get(f"{_MODEL}CONTENT_TYPE") or None}


def _idle(name: str, value: str) -> str:
    return f"--{name}={value} has no effect on this server"
