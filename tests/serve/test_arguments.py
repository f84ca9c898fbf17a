"""The command line: KServe's arguments, all taken, none swallowed."""

from __future__ import annotations

import pytest

from mizzen.serve.arguments import ArgumentError, Arguments, parse
from mizzen.serve.lanes.scheduling import Scheduling


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], {}),
        (
            ["--model_name", "iris", "--model_dir=/mnt/models"],
            {"model_name": "iris", "named": True, "model_dir": "/mnt/models"},
        ),
        (["--workers=3"], {"workers": 3}),
        (["--grpc_port", "8082"], {"grpc_port": 8082}),
        (["--enable_grpc", "off"], {"enable_grpc": False}),
        (["--framework", "xgboost"], {"runtime": "xgboost"}),
        (["--nthread", "4"], {"settings": {"nthread": "4"}}),
        (
            ["--task=fill_mask", "--return_probabilities"],
            {"settings": {"task": "fill_mask", "return_probabilities": True}},
        ),
        (["--model_id", "owner/name"], {"model_dir": "hf://owner/name"}),
        (["--model_memory", "512Mi"], {"model_memory": 512 << 20}),
        (["--access_log", "100"], {"access_log": "100"}),
        (["--enable_docs_url", "yes"], {"docs": True}),
        (["--predictor_host", "a:80"], {"predictor_host": "a:80"}),
        (["--predictor_protocol", "grpc-v2"], {"predictor_protocol": "grpc-v2"}),
        (["--enable_predictor_health_check"], {"enable_predictor_health_check": True}),
        (["--http_port=9000"], {"http_port": 9000}),
        (["--timeout-keep-alive", "5"], {"keep_alive": 5.0}),
        (["--host", "::1"], {"host": "::1"}),
        (["--grace_period=2.5"], {"grace_period": 2.5}),
        (["--batching", "off"], {"batching": False}),
        (["--batching=on"], {"batching": True}),
        (["--batching", "auto"], {"batching": None}),
        (["--max_request_bytes", "1000"], {"max_request_bytes": 1000}),
    ],
)
def test_what_has_an_effect(argv, expected):
    assert parse(argv, {}) == Arguments(**expected)


# The table of KServe's arguments (data plane reference, 4.1), with a value that asks for something.
KSERVE = {
    "--http_port": "8081",
    "--grpc_port": "8082",
    "--workers": "4",
    "--max_threads": "8",
    "--max_asyncio_workers": "8",
    "--enable_grpc": "true",
    "--enable_docs_url": "true",
    "--enable_latency_logging": "yes",
    "--configure_logging": "0",
    "--log_config_file": "log.yaml",
    "--access_log_format": "%s",
    "--event-loop": "asyncio",
    "--timeout-keep-alive": "70",
    "--model_name": "m",
    "--predictor_host": "a:80",
    "--protocol": "v2",
    "--predictor_protocol": "grpc-v2",
    "--predictor_use_ssl": "T",
    "--predictor_request_timeout_seconds": "9",
    "--predictor_request_retries": "1",
    "--grpc_max_send_message_length": "1",
    "--grpc_max_receive_message_length": "1",
}
IDLE = {"--max_threads", "--max_asyncio_workers", "--event-loop"}


@pytest.mark.parametrize("form", ["{} {}", "{}={}"])
@pytest.mark.parametrize("option", KSERVE)
def test_every_argument_of_kserves_is_taken_and_one_without_effect_is_named(option, form):
    arguments = parse(form.format(option, KSERVE[option]).split(" "), {})
    if option == "--access_log_format":
        assert arguments.warnings == ["--access_log_format=%s has no effect: there are kserve and json"]
    elif option in IDLE:
        [warning] = arguments.warnings
        assert warning.startswith(f"{option}=")
        assert "has no effect" in warning
    else:
        assert arguments.warnings == []


@pytest.mark.parametrize(
    "argv",
    [
        "--workers 1",
        "--enable_grpc FALSE",
        "--enable_grpc=off",
        "--enable_docs_url n",
        "--enable_latency_logging=false",
        "--configure_logging true",
        "--event-loop auto",
        "--event-loop=uvloop",
        "--predictor_request_retries 0",
    ],
)
def test_what_asks_for_what_is_so_anyway_is_no_warning(argv):
    assert parse(argv.split(), {}).warnings == []


def test_unknown_arguments_are_named():
    [warning] = parse(["--newer", "4", "--model_name=m", "--new=x"], {}).warnings
    assert warning == "unknown arguments are ignored: --newer 4 --new=x"


def test_arguments_are_not_guessed_from_their_beginning():
    arguments = parse(["--model_n", "iris"], {})
    assert arguments.model_name == "model"
    assert len(arguments.warnings) == 1


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ("--http_port abc", "--http_port/--port: 'abc' is not a port (0 to 65535)"),
        ("--http_port 70000", "'70000' is not a port"),
        ("--http_port", "--http_port/--port: expected one argument"),
        ("--enable_grpc maybe", "argument --enable_grpc: 'maybe' is neither true nor false"),
        ("--timeout-keep-alive soon", "'soon' is not a number of seconds"),
        ("--grace_period -1", "grace_period"),
        ("--batching sometimes", "'sometimes' is none of auto, on and off"),
        ("--model_name=", "'' is no name"),
        ("--max_request_bytes 0", "'0' is not a number of bytes"),
        ("--workers many", "argument --workers: 'many' is not a number above 0"),
        ("--workers 0", "argument --workers"),
        ("--model_memory lots", "argument --model_memory"),
        ("--access_log sometimes", "'sometimes' is neither off nor full nor a number N"),
        ("--predictor_protocol v3", "argument --predictor_protocol"),
        ("--ssl_certfile cert.pem", "--ssl_certfile and --ssl_keyfile must be given together"),
    ],
)
def test_a_value_that_cannot_be_used_is_said(argv, says):
    with pytest.raises(ArgumentError) as caught:
        parse(argv.split(), {})
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("argv", "environ", "port"),
    [
        ("--ssl_certfile c --ssl_keyfile k", {}, 8443),
        ("--ssl_certfile c --ssl_keyfile k --http_port 9000", {}, 9000),
        ("", {"KSERVE_TLS_CERT_FILE": "c", "KSERVE_TLS_KEY_FILE": "k"}, 8443),
        ("", {}, 8080),
    ],
)
def test_https_has_its_own_port(argv, environ, port):
    arguments = parse(argv.split(), environ)
    assert arguments.http_port == port
    assert (arguments.ssl_certfile is not None) == (port != 8080)


def test_people_are_told_of_a_word_that_is_unknown():
    with pytest.raises(ArgumentError, match="unknown: --nmae iris; mizzen serve --help lists"):
        parse(["models", "--nmae", "iris"], {}, prog="mizzen serve", positional=True)


def test_people_name_the_model_by_itself():
    arguments = parse(["models", "--name", "iris", "--port", "9000"], {}, prog="mizzen serve", positional=True)
    assert (arguments.model_dir, arguments.model_name, arguments.http_port) == ("models", "iris", 9000)


def test_scheduling_is_what_the_arguments_say():
    given = "--batching on --max_batch_rows 32 --max_batch_latency 5 --concurrency 2 --max_queue 100 --predict_limit 9"
    assert parse(given.split(), {}).scheduling == Scheduling(True, 32, latency=0.005, concurrency=2, queue=100, limit=9)
