"""The server as a process: how it starts, what it says when it cannot, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shlex
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import joblib
import pytest

from mizzen.http.errors import ConnectFailed, Disconnected, HttpError
from mizzen.http.server import Server
from serving_process import ask

ROW = {"instances": [[5.1, 3.5, 1.4, 0.2]]}

SLOW = """
import pathlib, time

class Slow:
    '''Tells that it has begun, then takes its time.'''
    n_features_in_ = 1

    def __init__(self, began, seconds):
        self.began, self.seconds = began, seconds

    def predict(self, rows):
        pathlib.Path(self.began).write_text("begun")
        time.sleep(self.seconds)
        return [7.0] * len(rows)
"""


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], tuple[Path, Path, str]]:
    """Save a model that takes seconds. Returns its folder, the file that tells that it has begun, the Python path."""

    def save(seconds: float) -> tuple[Path, Path, str]:
        (tmp_path / "code").mkdir()
        (tmp_path / "code" / "slow_models.py").write_text(SLOW)
        monkeypatch.syspath_prepend(tmp_path / "code")
        import slow_models

        folder, began = tmp_path / "model", tmp_path / "began"
        folder.mkdir()
        joblib.dump(slow_models.Slow(str(began), seconds), folder / "model.joblib")
        monkeypatch.delitem(sys.modules, "slow_models")
        return folder, began, str(tmp_path / "code")

    return save


async def appears(path: Path) -> None:
    async with asyncio.timeout(60):
        while not path.exists():
            await asyncio.sleep(0.01)


async def test_it_serves_and_ends_when_told(start, client, iris):
    process = start("--model_dir", str(iris), "--model_name=iris", "--http_port", "0", "--host", "127.0.0.1")
    url = await process.url()
    assert await ask(client, f"{url}/v1/models/iris:predict", ROW) == (200, {"predictions": [0]})
    process.popen.send_signal(signal.SIGTERM)
    assert await process.ended() == 0
    [line] = process.lines
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \d+ mizzen INFO "
        rf"model iris from {re.escape(str(iris))} is served at {re.escape(url)} \(\d+ ms\)",
        line,
    )
    assert process.told == []


async def test_a_file_url_is_a_folder(start, client, iris):
    process = start(f"--model_dir=file://{iris}", "--http_port=0", "--host=127.0.0.1")
    assert (await ask(client, f"{await process.url()}/v1/models/model:predict", ROW))[0] == 200


async def test_a_url_is_downloaded_first(start, client, iris):
    model = (iris / "model.joblib").read_bytes()
    http = Server(lambda exchange: exchange.respond(200, model))
    [(_, port)] = await http.listen("127.0.0.1", 0)
    process = start(
        *(f"--model_dir=http://127.0.0.1:{port}/model.joblib", "--http_port=0", "--host=127.0.0.1"), no_proxy="*"
    )
    assert (await ask(client, f"{await process.url()}/v1/models/model:predict", ROW))[0] == 200
    await http.close(1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "mizzen: --model_dir is missing"),
        (["--model_dir", "/no/such/folder"], "mizzen: the model folder /no/such/folder does not exist"),
        (["--model_dir", "{text}"], "is no pickle or joblib file"),
        (["--model_dir", "nfs://server/model"], "nfs://server/model: Cannot recognize storage type"),
        (["--model_dir", "{iris}", "--http_port", "high"], "argument --http_port/--port: 'high' is not a port"),
        (["--model_dir", "{iris}", "--http_port", "{taken}"], "is taken by another process"),
        (["--model_dir", "{iris}", "--host", "192.0.2.1"], "192.0.2.1 is not an address of this machine"),
        (
            ["--model_dir", "{iris}", "--ssl_certfile", "/no/cert", "--ssl_keyfile", "/no/key"],
            "the certificate /no/cert with key /no/key cannot be used",
        ),
    ],
)
async def test_what_keeps_it_from_serving_is_one_sentence_and_exit_code_1(start, tmp_path, iris, arguments, says):
    (tmp_path / "model.pkl").write_text("not\na pickle")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = {"iris": str(iris), "text": str(tmp_path), "taken": str(taken.getsockname()[1])}
        filled = [argument.format(**words) for argument in arguments]
        host = [] if "--host" in filled else ["--host", "127.0.0.1"]
        host += [] if "--http_port" in filled else ["--http_port", "0"]
        process = start(*filled, *host)
        assert await process.ended() == 1
    [line] = process.lines
    assert line.startswith("mizzen: ")
    assert says in line


async def test_arguments_without_effect_are_named_in_the_log(start, iris):
    process = start("--model_dir", str(iris), "--http_port=0", "--host=127.0.0.1", "--max_threads=3", "--what", "ever")
    await process.url()
    warnings = [line for line in process.lines if " WARNING " in line]
    assert [line.partition(" WARNING ")[2] for line in warnings] == [
        "--max_threads=3 has no effect on this server",
        "unknown arguments are ignored: --what ever",
    ]


async def test_a_pod_binds_its_own_address_whatever_the_arguments_say(start, client, iris):
    process = start("--model_dir", str(iris), "--http_port=0", "--host", "127.0.0.1", MIZZEN_BIND_ADDRESS="127.91.0.7")
    url = await process.url()
    assert url.startswith("http://127.91.0.7:")
    assert (await ask(client, f"{url}/v2/health/ready"))[0] == 200
    with pytest.raises(ConnectFailed):
        await client.request("GET", f"http://127.0.0.1:{url.rpartition(':')[2]}/")


async def test_it_does_not_listen_before_its_model_is_loaded(start, client, tmp_path, unused_tcp_port):
    (tmp_path / "slow_to_load.py").write_text(
        "import time\ntime.sleep(1)\nclass M:\n    def predict(self, x): return x\n"
    )
    (tmp_path / "model.pkl").write_bytes(b"\x80\x04\x8c\x0cslow_to_load\x8c\x01M\x93)\x81.")
    process = start(
        "--model_dir", str(tmp_path), f"--http_port={unused_tcp_port}", "--host=127.0.0.1", PYTHONPATH=str(tmp_path)
    )
    url = f"http://127.0.0.1:{unused_tcp_port}/v2/health/ready"
    seen = []
    while process.popen.poll() is None and (not seen or seen[-1] != 200):
        try:
            seen.append((await ask(client, url))[0])
        except HttpError:
            await asyncio.sleep(0.02)
    assert seen == [200], "the first answer says ready"


async def test_sigterm_while_loading_ends_it_at_once(start, tmp_path):
    began = tmp_path / "began"
    (tmp_path / "stuck.py").write_text(
        f"import pathlib, time\npathlib.Path({str(began)!r}).write_text('x')\ntime.sleep(60)\n"
    )
    (tmp_path / "model.pkl").write_bytes(b"\x80\x04\x8c\x05stuck\x8c\x01M\x93.")
    process = start("--model_dir", str(tmp_path), "--http_port=0", PYTHONPATH=str(tmp_path))
    await appears(began)
    process.popen.send_signal(signal.SIGTERM)
    assert await process.ended() == 128 + signal.SIGTERM


async def test_sigterm_lets_requests_finish_and_readiness_fails_first(start, client, slow):
    folder, began, path = slow(1.5)
    process = start("--model_dir", str(folder), "--model_name=m", "--http_port=0", "--host=127.0.0.1", PYTHONPATH=path)
    url = await process.url()
    asked = asyncio.create_task(ask(client, f"{url}/v1/models/m:predict", {"instances": [[1.0]]}))
    await appears(began)
    assert await ask(client, f"{url}/v2/health/ready") == (200, {"ready": True})
    process.popen.send_signal(signal.SIGTERM)
    statuses = []
    with contextlib.suppress(HttpError):
        while True:
            statuses.append(await ask(client, f"{url}/v2/health/ready"))
            await asyncio.sleep(0.01)
    assert statuses[-1] == (503, {"error": "Server is not ready. It is about to end."}), (
        "not ready before it stops to listen"
    )
    assert await asked == (200, {"predictions": [7.0]})
    assert await process.ended() == 0


async def test_requests_that_outlast_the_grace_are_cut_off(start, client, slow):
    folder, began, path = slow(60)
    process = start(
        *("--model_dir", str(folder), "--model_name=m", "--http_port=0", "--host=127.0.0.1", "--grace_period=1"),
        PYTHONPATH=path,
    )
    url = await process.url()
    asked = asyncio.create_task(ask(client, f"{url}/v1/models/m:predict", {"instances": [[1.0]]}))
    await appears(began)
    process.popen.send_signal(signal.SIGTERM)
    with pytest.raises(Disconnected):
        await asked
    assert await process.ended() == 0
    assert "were cut off" in process.lines[-1]


async def test_a_second_ctrl_c_does_not_wait(start, client, slow):
    folder, began, path = slow(60)
    arguments = [str(folder), "--name=m", "--port=0"]
    code = f"import sys; from mizzen.serve.main import command; sys.exit(command({arguments}))"
    process = start(code=code, PYTHONPATH=path)
    url = await process.url()
    asked = asyncio.create_task(ask(client, f"{url}/v1/models/m:predict", {"instances": [[1.0]]}))
    await appears(began)
    process.popen.send_signal(signal.SIGINT)
    with contextlib.suppress(HttpError):
        while True:  # until it has stopped to listen
            await ask(client, f"{url}/v2/health/ready")
    process.popen.send_signal(signal.SIGINT)
    assert await process.ended() == 128 + signal.SIGINT
    with pytest.raises(Disconnected):
        await asked


async def test_a_killed_server_is_seen_at_once(start, client, slow):
    folder, began, path = slow(60)
    process = start("--model_dir", str(folder), "--model_name=m", "--http_port=0", "--host=127.0.0.1", PYTHONPATH=path)
    url = await process.url()
    asked = asyncio.create_task(ask(client, f"{url}/v1/models/m:predict", {"instances": [[1.0]]}))
    await appears(began)
    process.popen.kill()
    with pytest.raises(Disconnected):
        await asked
    assert await process.ended() == -signal.SIGKILL
    with pytest.raises(ConnectFailed):
        await client.request("GET", url)


async def test_the_command_line_prints_a_command_that_works(start, iris):
    arguments = [str(iris), "--name=iris", "--port=0"]
    code = f"import sys; from mizzen.serve.main import command; sys.exit(command({arguments}))"
    process = start(code=code)
    url = await process.url()
    assert url.startswith("http://127.0.0.1:")
    async with asyncio.timeout(10):
        while len(process.told) < 3:
            await asyncio.sleep(0.01)
    assert process.told[0] == f"iris listens on {url}. Try:"
    command = shlex.split(process.told[2])
    assert command[:3] == ["curl", "-s", f"{url}/v1/models/iris:predict"]
    import urllib.request

    body = command[command.index("-d") + 1].encode()  # curl calls it a form; so does urllib
    answer = await asyncio.to_thread(lambda: urllib.request.urlopen(command[2], body).read())
    assert len(json.loads(answer)["predictions"]) == 1
    process.popen.send_signal(signal.SIGINT)
    assert await process.ended() == 0


async def test_a_fork_of_a_process_that_has_imported_everything(start, client, iris):
    """What a zygote does: several servers, none of which disturbs the others, each with its own cpus."""
    code = f"""
import importlib, os, socket, sys, threading
from mizzen.serve.runtimes.sklearn import PRELOAD
for name in PRELOAD:
    importlib.import_module(name)
assert threading.active_count() == 1
children = []
for cpu in ("1", "2", "0.5"):
    pid = os.fork()
    if not pid:
        os.environ["MIZZEN_CPU"] = cpu
        from mizzen.serve.main import container
        os._exit(container(["--model_dir", {str(iris)!r}, "--model_name=m" + cpu, "--host=127.0.0.1", "--http_port=0"]))
    children.append(pid)
import signal
signal.signal(signal.SIGTERM, lambda *_: [os.kill(pid, signal.SIGTERM) for pid in children])
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
sys.exit(max(codes))
"""
    process = start(code=code)
    async with asyncio.timeout(60):
        while sum("is served at" in line for line in process.lines) < 3:
            assert process.popen.poll() is None, process.lines
            await asyncio.sleep(0.01)
    for line in process.lines:
        name, url = re.search(r"model (\S+) .* at (\S+)", line).groups()  # type: ignore[union-attr]
        for _ in range(20):
            answers = await asyncio.gather(*(ask(client, f"{url}/v1/models/{name}:predict", ROW) for _ in range(5)))
            assert answers == [(200, {"predictions": [0]})] * 5
    process.popen.send_signal(signal.SIGTERM)
    assert await process.ended() == 0


async def test_https_with_a_certificate_that_is_renewed(tmp_path, iris, client, start):
    import ssl

    from mizzen.serve.running.tls import Certificate

    first, second = certificate(tmp_path, 1), certificate(tmp_path, 2)
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(first[0])
    key.write_bytes(first[1])
    process = start(
        *("--model_dir", str(iris), "--model_name=iris", "--host=127.0.0.1", "--http_port=0"),
        KSERVE_TLS_CERT_FILE=str(cert),
        KSERVE_TLS_KEY_FILE=str(key),
    )
    url = await process.url()
    assert url.startswith("https://")
    port = int(url.rpartition(":")[2])
    trusting = ssl.create_default_context(cadata=first[0].decode())
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname="localhost")
    writer.write(b"GET /v2/health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    async with asyncio.timeout(10):
        assert (await reader.read()).endswith(b'{"ready":true}')
    writer.close()

    watched = Certificate(str(cert), str(key))
    assert not watched.refresh()
    cert.write_text("broken")
    os.utime(cert, (1, 1))
    assert not watched.refresh()
    cert.write_bytes(second[0])
    key.write_bytes(second[1])
    assert watched.refresh()
    process.popen.send_signal(signal.SIGTERM)
    assert await process.ended() == 0


def certificate(folder: Path, serial: int) -> tuple[bytes, bytes]:
    """A self-signed pair for localhost, as PEM."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - datetime.timedelta(1))
        .not_valid_after(now + datetime.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return cert.public_bytes(serialization.Encoding.PEM), private


async def test_one_port_given_twice_is_one_port(start, client, iris, unused_tcp_port):
    process = start(
        "--model_dir", str(iris), f"--http_port={unused_tcp_port}", f"--grpc_port={unused_tcp_port}", "--host=127.0.0.1"
    )
    assert (await ask(client, f"{await process.url()}/v2/health/ready"))[0] == 200


async def test_while_it_ends_every_answer_says_that_it_is_the_last_of_its_connection(start, iris):
    process = start("--model_dir", str(iris), "--http_port=0", "--host=127.0.0.1")
    host, _, port = (await process.url()).removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    heads = []
    for turn in range(2):
        writer.write(b"GET /v2/models/model/ready HTTP/1.1\r\nHost: a\r\n\r\n")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        await reader.readexactly(int(re.search(rb"content-length: (\d+)", head)[1]))
        heads.append(head)
        if not turn:
            process.popen.terminate()
            await asyncio.sleep(0.1)
    assert b"connection: close" not in heads[0]
    assert b"connection: close" in heads[1]
    assert b" 503 " in heads[1]
    assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()
    assert await process.ended() == 0
