"""The whole model server: every protocol on one port, with TLS and without, and its end."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mizzen.serve.model import Tensor
from mizzen.serve.protocols.grpc import schema
from mizzen.serve.protocols.grpc.client import GrpcClient, UpstreamError
from mizzen.serve.repository import Repository
from mizzen.serve.server import ModelServer

ROW = np.array([[5.1, 3.5, 1.4, 0.2]])


async def test_rest_and_grpc_on_one_port_agree(serving: Any, iris: Path, tensor: Any, classifier: Any) -> None:
    ask = await serving(iris)
    rest = await ask.infer("iris", tensor(ROW))
    async with GrpcClient(f"http://127.0.0.1:{ask.port}", environ={}) as client:
        assert await client.server_ready() and await client.ready("iris")
        [output], _ = await client.infer("iris", [Tensor("input-0", ROW)], timeout=20)
    assert output.array.tolist() == rest.json["outputs"][0]["data"] == classifier.predict(ROW).tolist()
    assert output.name == rest.json["outputs"][0]["name"]


async def test_grpc_over_http_1_is_refused_in_words(serving: Any, iris: Path) -> None:
    ask = await serving(iris)
    answer = await ask("POST", f"/{schema.INFERENCE}/ServerLive", b"", {"content-type": "application/grpc"})
    assert (answer.status, answer.body) == (505, b"gRPC is spoken over HTTP/2\n")


async def test_what_is_wrong_before_the_handler_has_each_protocol_s_shape(serving: Any, iris: Path) -> None:
    from mizzen.http.http2.client import Http2Client
    from mizzen.http.server import Limits

    ask = await serving(iris, limits=Limits(body=100))
    url = f"http://127.0.0.1:{ask.port}"
    async with Http2Client(environ={}) as client:
        for path, headers in (
            ("/v2/models/iris/infer", [(b"content-type", b"application/json")]),
            (f"/{schema.INFERENCE}/ModelInfer", [(b"content-type", b"application/grpc")]),
        ):
            answer = await client.request("POST", url + path, headers=headers, body=b"{" * 1000)
            fields = dict(answer.headers)
            if path.startswith("/v2"):
                assert answer.status == 413 and b'"error"' in answer.body
            else:
                assert (answer.status, fields[b"grpc-status"]) == (200, b"8")


async def test_a_server_that_does_not_speak_it(serving: Any, iris: Path) -> None:
    server = ModelServer(Repository(), messages=None)
    [(_, port)] = await server.listen("127.0.0.1", 0)
    try:
        async with GrpcClient(f"http://127.0.0.1:{port}", environ={}) as client:
            with pytest.raises(UpstreamError, match="does not answer in gRPC, but with HTTP status 404"):
                await client.server_ready(timeout=20)
    finally:
        await server.drain(0, 0)


async def test_a_drain_ends_watches_at_once(serving: Any, iris: Path) -> None:
    grpc = pytest.importorskip("grpc", reason="grpcio is not installed")
    ask = await serving(iris)
    channel = grpc.insecure_channel(f"127.0.0.1:{ask.port}", options=[("grpc.use_local_subchannel_pool", 1)])
    watch = channel.unary_stream(
        "/grpc.health.v1.Health/Watch",
        request_serializer=schema.HealthCheckRequest.SerializeToString,
        response_deserializer=schema.HealthCheckResponse.FromString,
    )(schema.HealthCheckRequest(), timeout=30)
    first = await asyncio.to_thread(next, watch)
    assert first.status == schema.HealthCheckResponse.SERVING
    async with asyncio.timeout(10):
        assert await ask.server.drain(30, 0)
    second = await asyncio.to_thread(next, watch)
    assert second.status == schema.HealthCheckResponse.NOT_SERVING
    with pytest.raises(grpc.RpcError) as caught:
        await asyncio.to_thread(next, watch)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    channel.close()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    chain, secret = tmp_path / "tls.crt", tmp_path / "tls.key"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return chain, secret


async def test_over_tls(kit: Any, certificate: tuple[Path, Path]) -> None:
    chain, secret = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, secret)
    repository = Repository()
    repository.load(kit.Echo())
    server = ModelServer(repository)
    [(_, port)] = await server.listen("127.0.0.1", 0, context)
    try:
        trusting = ssl.create_default_context(cafile=str(chain))
        async with GrpcClient(f"https://localhost:{port}", ssl=trusting, environ={}) as client:
            [output], _ = await client.infer("echo", [Tensor("x", kit.floats)], timeout=20)
            np.testing.assert_array_equal(output.array, kit.floats)
        grpc = pytest.importorskip("grpc", reason="grpcio is not installed")
        credentials = grpc.ssl_channel_credentials(chain.read_bytes())

        def story() -> Any:
            with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
                ask = channel.unary_unary(
                    f"/{schema.INFERENCE}/ModelInfer",
                    request_serializer=schema.ModelInferRequest.SerializeToString,
                    response_deserializer=schema.ModelInferResponse.FromString,
                )
                return ask(kit.raw_request("echo", kit.floats), timeout=20)

        answer = await asyncio.to_thread(story)
        assert answer.raw_output_contents[0] == kit.floats.tobytes()
    finally:
        await server.drain(0, 0)
