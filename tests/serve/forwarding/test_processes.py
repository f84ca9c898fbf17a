"""A transformer's and an explainer's process before a predictor's, as a pod's command lines start them."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import signal
from pathlib import Path
from typing import Any

import pytest

import kserve_samples
from custom_serving import Asker, tensor
from mizzen.serve import Model, PredictorConfig

HERE = ["--http_port=0", "--host=127.0.0.1"]


@pytest.fixture
def serve_sample(tmp_path: Path, start: Any) -> Any:
    """Start one of the models written for KServe, with its import changed; its process, and where it listens."""

    async def run(sample: str, *arguments: str) -> tuple[Any, str]:
        file = tmp_path / f"{sample}.py"
        file.write_text(kserve_samples.source(sample, "mizzen.serve.kserve"))
        argv = [str(file), *HERE, *arguments]
        code = f"import runpy, sys; sys.argv = {argv!r}; runpy.run_path({str(file)!r}, run_name='__main__')"
        process = start(code=code)
        return process, (await process.url()).partition("://")[2]

    return run


@pytest.mark.parametrize(("protocol", "predictor"), [("v1", "rows"), ("v2", "tensors"), ("grpc-v2", "tensors")])
async def test_a_transformer_before_a_predictor(serve_sample, protocol, predictor):
    _, upstream = await serve_sample(predictor)
    process, url = await serve_sample(
        "transformer", f"--model_name={predictor}", f"--predictor_host={upstream}", f"--predictor_protocol={protocol}"
    )
    ask = Asker(f"http://{url}")
    answer = await ask.predict(predictor, {"instances": ["banana", "cherry"]})
    assert answer.status == 200, answer.body
    # The predictor of V1 subtracts the two numbers, that of V2 adds them.
    assert answer.json == {"predictions": ["3", "6"] if protocol == "v1" else ["9", "6"]}
    await ask.client.close()
    process.popen.send_signal(signal.SIGTERM)
    assert await process.ended() == 0


async def test_a_v2_request_through_a_transformer(serve_sample):
    _, upstream = await serve_sample("tensors")
    _, url = await serve_sample(
        "transformer", "--model_name=tensors", f"--predictor_host={upstream}", "--predictor_protocol=grpc-v2"
    )
    ask = Asker(f"http://{url}")
    answer = await ask.infer("tensors", tensor(["banana"], datatype="BYTES"))
    assert answer.status == 500
    assert "it must return an InferResponse" in answer.error, "this one answers in V1 whatever it is asked in"
    await ask.client.close()


async def test_an_explainer_before_a_predictor(serve_sample):
    _, upstream = await serve_sample("rows")
    _, url = await serve_sample("explainer", f"--predictor_host={upstream}")
    ask = Asker(f"http://{url}")
    answer = await ask.explain("rows", {"instances": [[3, 2]]})
    assert (answer.status, answer.json) == (200, {"explanations": [3.0, -2.0]})
    assert (await ask.predict("rows", {"instances": [[3, 2]]})).json == {"predictions": [1.0]}
    await ask.client.close()


async def test_a_transformer_follows_its_predictors_readiness(serve_sample):
    predictor, upstream = await serve_sample("rows")
    _, url = await serve_sample(
        "transformer", "--model_name=rows", f"--predictor_host={upstream}", "--enable_predictor_health_check"
    )
    ask = Asker(f"http://{url}")
    assert (await ask("GET", "/v2/health/ready")).status == 200
    predictor.popen.kill()
    await predictor.ended()
    async with asyncio.timeout(30):
        while (await ask("GET", "/v2/health/ready")).status == 200:
            await asyncio.sleep(0.05)
    assert (await ask("GET", "/")).status == 200, "it lives"
    await ask.client.close()


@pytest.mark.parametrize("protocol", ["v1", "v2", "grpc-v2"])
async def test_a_predictor_that_speaks_tls(serve_sample, offer, tmp_path, monkeypatch, protocol):
    name = "rows" if protocol == "v1" else "tensors"
    cert, key = certificate(tmp_path)
    _, upstream = await serve_sample(name, f"--ssl_certfile={cert}", f"--ssl_keyfile={key}")
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(variable, raising=False)

    async def asked() -> Any:
        front = Model(name, PredictorConfig(upstream, protocol, predictor_use_ssl=True))
        front.ready = True
        serve = await offer(front)
        if protocol == "v1":
            return await serve.predict(name, {"instances": [[3, 2]]})
        return await serve.infer(name, tensor([3, 2], [1, 2], name="x"))

    answer = await asked()
    assert answer.status == 503, "nobody vouches for its certificate"
    assert "certificate" in answer.error.lower()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(cert))
    answer = await asked()
    assert answer.status == 200, answer.body
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nothing"))
    assert "REQUESTS_CA_BUNDLE names" in (await asked()).error


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed pair for 127.0.0.1."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "predictor")])
    now = datetime.datetime.now(datetime.UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(1))
        .not_valid_after(now + datetime.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"
