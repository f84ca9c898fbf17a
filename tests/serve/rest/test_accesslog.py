"""The access log, latency lines and spans: told of every request once, and of what became of it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import re
import threading
from typing import Any

import numpy as np
import pytest

from mizzen.http.client import Client
from mizzen.http.exchange import Exchange
from mizzen.http.server import Limits, Server
from mizzen.serve.model import Servable
from mizzen.serve.observing import accesslog
from mizzen.serve.observing.accesslog import AccessLog, as_json, as_kserve
from mizzen.serve.observing.observer import Observer, Record
from mizzen.serve.observing.tracing import Tracing, from_environment
from mizzen.serve.repository import Repository
from mizzen.serve.server import ModelServer

from ..conftest import Asker
from .conftest import Echo, Payloads, Sleeper

ROWS = {"instances": [[1, 2]]}
PATH = "/v1/models/m:predict"


@pytest.fixture
async def watched():
    """``ask = await watched(observer, model, ...)``"""
    running = []

    async def start(*observers: Observer, models: tuple[Servable, ...] = (), **options: Any) -> Asker:
        repository = Repository()
        for model in models:
            repository.load(model)
        server = ModelServer(repository, observers=observers, **options)
        [(_, port)] = await server.listen("127.0.0.1", 0)
        client = Client(environ={})
        running.append((server, client))
        return Asker(client, port, server)

    yield start
    for server, client in running:
        await client.close()
        await server.drain(0, 0)


class Notes:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.began_of: list[bytes] = []
        self.records: list[Record] = []

    def began(self, record: Record) -> None:
        self.began_of.append(record.exchange.target)

    def ended(self, record: Record) -> None:
        self.records.append(record)

    def close(self) -> None:
        pass

    async def until(self, count: int) -> list[tuple[str, int, str | None]]:
        async with asyncio.timeout(10):
            while len(self.records) < count:
                await asyncio.sleep(0.01)
        return [(one.exchange.target.decode(), one.status, one.model) for one in self.records]


async def pieces(*values: Any):
    for value in values:
        if isinstance(value, Exception):
            raise value
        yield value


async def test_every_request_is_told_of_once(watched):
    notes = Notes()
    stream = Payloads(lambda call: pieces(b"ab", b"cde"), "stream")
    failing = Payloads(lambda call: pieces(b"ab", ValueError("broken")), "failing")
    ask = await watched(notes, models=(Echo(), stream, failing), limits=Limits(body=3000))
    await ask("GET", "/")
    await ask("POST", PATH, ROWS)
    await ask("POST", "/v1/models/a%2Fb:predict", ROWS)
    await ask("POST", "/v2/models/m/infer", b"{")
    await ask("POST", "/v2/repository/models/m/load")
    await ask("GET", "/nothing")
    await ask("GET", "/v2/")
    await ask("POST", PATH, b"x" * 3001)
    await ask("POST", "/v1/models/stream:predict", {})
    with pytest.raises(Exception, match=r"."):
        await ask("POST", "/v1/models/failing:predict", {})
    assert await notes.until(10) == [
        ("/", 200, None),
        (PATH, 200, "m"),
        ("/v1/models/a%2Fb:predict", 404, "a/b"),
        ("/v2/models/m/infer", 400, "m"),
        ("/v2/repository/models/m/load", 200, "m"),
        ("/nothing", 404, None),
        ("/v2/", 307, None),
        (PATH, 413, "m"),
        ("/v1/models/stream:predict", 200, "stream"),
        ("/v1/models/failing:predict", 200, "failing"),
    ]
    assert [record.size for record in notes.records[8:]] == [5, 2]
    assert all(record.seconds > 0 for record in notes.records)
    assert len(notes.began_of) == 10


async def test_large_answers_and_those_of_coroutines_are_told_of(watched):
    notes = Notes()
    ask = await watched(notes, models=(Echo(),))
    answer = await ask("POST", PATH, {"instances": np.zeros((300, 400)).tolist()})
    assert answer.status == 200
    assert await notes.until(1) == [(PATH, 200, "m")]
    assert notes.records[0].size == len(answer.body)


async def test_a_client_that_leaves_is_told_of(watched):
    notes, model = Notes(), Sleeper()
    ask = await watched(notes, models=(model,))
    _, writer = await asyncio.open_connection("127.0.0.1", ask.port)
    body = json.dumps(ROWS).encode()
    writer.write(b"POST %b HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n%b" % (PATH.encode(), len(body), body))
    async with asyncio.timeout(10):
        while not notes.began_of:
            await asyncio.sleep(0.01)
    writer.transport.abort()
    assert await notes.until(1) == [(PATH, 499, "m")]
    model.go.set()
    assert (await ask("POST", PATH, ROWS)).status == 200
    assert (await notes.until(2))[1] == (PATH, 200, "m")


async def test_what_is_no_http_is_told_of(watched):
    notes = Notes()
    ask = await watched(notes)
    reader, writer = await asyncio.open_connection("127.0.0.1", ask.port)
    writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 400")
    writer.close()
    assert [status for _, status, _ in await notes.until(1)] == [400]


async def test_grpc_is_told_of_too(watched):
    triton = pytest.importorskip("tritonclient.grpc.aio", reason="tritonclient is not installed")
    from tritonclient.grpc import InferInput
    from tritonclient.utils import InferenceServerException

    notes = Notes()
    ask = await watched(notes, models=(Echo(),))
    client = triton.InferenceServerClient(f"127.0.0.1:{ask.port}")
    try:
        tensor = InferInput("x", [2], "FP32")
        tensor.set_data_from_numpy(np.array([1, 2], np.float32))
        answer = await client.infer("m", [tensor])
        assert answer.as_numpy("x").tolist() == [1, 2]
        with pytest.raises(InferenceServerException):
            await client.infer("other", [tensor])
    finally:
        await client.close()
    path = "/inference.GRPCInferenceService/ModelInfer"
    assert await notes.until(2) == [(path, 200, None), (path, 200, None)]
    assert [record.grpc for record in notes.records] == [0, 5]


async def test_an_observer_that_fails_harms_nobody(watched, caplog):
    class Failing(Notes):
        def ended(self, record: Record) -> None:
            raise ValueError("broken")

    notes = Notes()
    ask = await watched(Failing(), notes, models=(Echo(),))
    with caplog.at_level(logging.ERROR):
        assert (await ask("POST", PATH, ROWS)).json == {"predictions": [[1, 2]]}
    assert await notes.until(1) == [(PATH, 200, "m")]
    assert "could not be noted" in caplog.text


async def test_the_line_in_kserves_form(watched):
    output = io.StringIO()
    log = AccessLog(output=output)
    ask = await watched(log, models=(Echo(),))
    await ask("POST", PATH, ROWS, {"x-request-id": "7\x85"})
    await ask("GET", "/v1/models/other")
    log.close()
    first, second = output.getvalue().splitlines()
    pid = os.getpid()
    assert re.fullmatch(
        rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{{3}} {pid} mizzen\.access INFO: 127\.0\.0\.1 {pid} - "
        rf'"POST {PATH} HTTP/1\.1" 200 OK \d+\.\d{{3}}ms request-id=7Â\\x85',
        first,
    )
    assert '"GET /v1/models/other HTTP/1.1" 404 Not Found ' in second and "request-id" not in second


async def test_the_line_in_json(watched):
    output = io.StringIO()
    log = AccessLog(form=as_json, output=output)
    ask = await watched(log, models=(Echo(),))
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = await ask("POST", PATH, ROWS, {"x-request-id": "7", "traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    await ask("GET", "/?a=b")
    log.close()
    first, second = map(json.loads, output.getvalue().splitlines())
    assert first["ms"] > 0 and re.fullmatch(r"[\d-]{10}T[\d:]{8}\.\d{3}Z", first["time"])
    del first["ms"], first["time"], second["ms"], second["time"]
    assert first == {
        "client": "127.0.0.1",
        "method": "POST",
        "path": PATH,
        "http": "1.1",
        "status": 200,
        "bytes": len(answer.body),
        "model": "m",
        "request_id": "7",
        "trace_id": trace,
    }
    assert (second["path"], "model" in second) == ("/?a=b", False)


async def test_one_in_so_many(watched):
    output = io.StringIO()
    log = AccessLog(every=3, output=output)
    ask = await watched(log)
    for number in range(10):
        await ask("GET", f"/{number}")
    log.close()
    assert re.findall(r"GET /(\d)", output.getvalue()) == ["2", "5", "8"]


async def test_a_reader_that_stops_reading_stops_nobody(watched, monkeypatch):
    monkeypatch.setattr(accesslog, "WAITING", 5)
    free = threading.Event()

    class Stuck(io.StringIO):
        def write(self, text: str) -> int:
            free.wait(20)
            return super().write(text)

    output = Stuck()
    log = AccessLog(output=output)
    ask = await watched(log)
    for _ in range(50):
        assert (await ask("GET", "/")).status == 200
    free.set()
    log.close()
    dropped = re.findall(r"^(\d+) lines of the access log were dropped", output.getvalue(), re.MULTILINE)
    written = output.getvalue().count('"GET / HTTP/1.1" 200')
    assert dropped and sum(map(int, dropped)) + written == 50


def test_a_closed_output_is_no_failure():
    output = io.StringIO()
    output.close()
    log = AccessLog(form=lambda record: "line", output=output)
    log.ended(None)  # type: ignore[arg-type]
    log.close()
    log.close()


def test_a_line_stays_a_line():
    class Exchange:
        method, target, peer, version = b"GET", "/a\x1b[31m\u2028".encode(), "::1", "2"
        headers = ((b"x-request-id", b"1\t2"),)

    record = Record(Exchange())  # type: ignore[arg-type]
    record.status, record.grpc = 200, 5
    line = as_kserve(record)
    assert len(line.splitlines()) == 1 and "\x1b" not in line
    assert "grpc-status=5" in line and r"request-id=1\x092" in line


async def test_latency_lines(watched, caplog):
    ask = await watched(models=(Echo(),), latency=True)
    with caplog.at_level(logging.INFO, "mizzen.trace"):
        await ask("POST", PATH, ROWS, {"x-request-id": "7"})
        await ask.infer("m", {"name": "x", "shape": [1], "datatype": "FP32", "data": [1]})
        await ask("POST", PATH, {"instances": np.zeros((300, 400)).tolist()})
        await ask("POST", PATH, {})
    lines = [record.getMessage() for record in caplog.records if record.name == "mizzen.trace"]
    number = r"\d+\.\d{6}"
    form = f"requestId: (.*), preprocess_ms: {number}, explain_ms: 0.0+, predict_ms: {number}, postprocess_ms: {number}"
    assert [re.fullmatch(form, line)[1] for line in lines] == ["7", "N.A.", "N.A."]  # type: ignore[index]


async def test_latency_lines_of_models_that_take_payloads(watched, caplog):
    ask = await watched(models=(Payloads(lambda call: {"got": call.payload}),), latency=True)
    with caplog.at_level(logging.INFO, "mizzen.trace"):
        for verb in ("predict", "explain"):
            assert (await ask("POST", f"/v1/models/p:{verb}", {"instances": [1]}, {"x-request-id": verb})).status == 200
    lines = [record.getMessage() for record in caplog.records if record.name == "mizzen.trace"]
    number = r"\d+\.\d{6}"
    forms = [
        rf"requestId: predict, preprocess_ms: 0.0+, explain_ms: 0.0+, predict_ms: {number}, postprocess_ms: {number}",
        rf"requestId: explain, preprocess_ms: 0.0+, explain_ms: {number}, predict_ms: 0.0+, postprocess_ms: {number}",
    ]
    assert len(lines) == 2 and all(re.fullmatch(form, line) for form, line in zip(forms, lines, strict=True))


async def test_without_being_asked_nothing_is_logged(watched, caplog, capsys):
    ask = await watched(models=(Echo(),))
    with caplog.at_level(logging.INFO):
        await ask("POST", PATH, ROWS)
    assert not [record for record in caplog.records if record.name.startswith("mizzen")]
    assert capsys.readouterr().out == ""


async def test_spans(watched):
    pytest.importorskip("opentelemetry.sdk", reason="OpenTelemetry's SDK is not installed")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    seen: list[dict[str, str]] = []
    custom = Payloads(lambda call: seen.append(call.headers) or {}, "custom")
    ask = await watched(Tracing(provider), models=(Echo(), custom))
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    context = {"traceparent": f"00-{trace}-{parent}-01", "tracestate": "a=b", "x-request-id": "7"}
    await ask("POST", "/v1/models/custom:predict", {}, context)
    await ask("POST", PATH + "?a=b", ROWS)
    await ask("POST", "/v1/models/m:explain", ROWS)
    one, two, three = exporter.get_finished_spans()
    assert one.name == "POST /v1/models/custom:predict"
    assert f"{one.context.trace_id:032x}" == trace and one.parent is not None
    assert f"{one.parent.span_id:016x}" == parent
    assert one.attributes is not None and one.attributes["mizzen.model"] == "custom"
    assert one.attributes["http.request.header.x-request-id"] == "7"
    assert one.attributes["http.response.status_code"] == 200
    # What the model asks of others hangs under this span.
    assert seen[0]["traceparent"] == f"00-{trace}-{one.context.span_id:016x}-01"
    assert seen[0]["tracestate"] == "a=b"
    assert two.parent is None and two.attributes is not None and two.attributes["url.query"] == "a=b"
    assert three.attributes is not None and three.attributes["http.response.status_code"] == 501
    assert three.status.status_code.name == "ERROR"


async def test_spans_are_sent_where_the_environment_says(watched, monkeypatch):
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="OpenTelemetry's exporter is not installed")
    got: list[tuple[bytes, bytes]] = []

    def receive(exchange: Exchange) -> None:
        got.append((exchange.target, exchange.body))
        exchange.respond(200)

    collector = Server(receive)
    [(_, port)] = await collector.listen("127.0.0.1", 0)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("NO_PROXY", "*")
    tracing = from_environment(os.environ)
    assert tracing is not None
    ask = await watched(tracing, models=(Echo(),))
    await ask("POST", PATH, ROWS)
    await ask.server.drain(5, 0)
    [(target, body)] = got
    assert target == b"/v1/traces"
    assert b"POST /v1/models/m:predict" in body and b"mizzen" in body
    await collector.close(0)


def test_spans_are_made_where_the_environment_asks_for_them():
    pytest.importorskip("opentelemetry.sdk", reason="OpenTelemetry's SDK is not installed")
    assert from_environment({}) is None
    told = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    assert from_environment(told | {"OTEL_SDK_DISABLED": "true"}) is None


def test_spans_without_opentelemetry_are_an_error_in_words(monkeypatch):
    import sys

    from mizzen.serve.errors import ServeError

    for name in [name for name in sys.modules if name.startswith("opentelemetry")] + ["opentelemetry"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ServeError, match=r"pip install 'mizzen\[otel\]'"):
        Tracing()
    with pytest.raises(ServeError, match="OTEL_EXPORTER_OTLP_ENDPOINT asks for spans"):
        from_environment({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
