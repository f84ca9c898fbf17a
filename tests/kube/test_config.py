"""Where an API is and who one is, in every form that a kubeconfig has."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mizzen.kube import config
from mizzen.kube.config import ClusterConfig, ConfigError, in_cluster, load, parse
from mizzen.kube.times import parse as moment


def kubeconfig(
    cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None, **fields: Any
) -> dict[str, Any]:
    return {
        "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": "https://api:6443"} | (cluster or {})}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
    } | fields


def encoded(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


@pytest.fixture(scope="module")
def pem() -> tuple[str, str]:
    """A certificate that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(moment("2020-01-01T00:00:00Z"))
        .not_valid_after(moment("2120-01-01T00:00:00Z"))
        .sign(key, hashes.SHA256())
    )
    written = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), written.decode()


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """No kubeconfig and no pod around the test."""
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


PATH = Path("/etc/kubeconfig")


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (kubeconfig(), ClusterConfig(server="https://api:6443")),
        (kubeconfig({"server": "http://127.0.0.1:1/"}), ClusterConfig(server="http://127.0.0.1:1")),
        (kubeconfig(user={"token": "t"}), ClusterConfig(server="https://api:6443", token="t")),
        (kubeconfig(user={"token": 7}), ClusterConfig(server="https://api:6443", token="7")),
        (
            kubeconfig({"insecure-skip-tls-verify": True}),
            ClusterConfig(server="https://api:6443", verify=False),
        ),
        (
            kubeconfig({"certificate-authority-data": encoded("PEM")}),
            ClusterConfig(server="https://api:6443", ca="PEM"),
        ),
        (
            kubeconfig({"certificate-authority-data": encoded("P" * 90)[:64] + "\n" + encoded("P" * 90)[64:] + "\n"}),
            ClusterConfig(server="https://api:6443", ca="P" * 90),
        ),
        (
            kubeconfig(contexts=[{"name": "here", "context": {"cluster": "c", "namespace": "team"}}]),
            ClusterConfig(server="https://api:6443", namespace="team"),
        ),
        (
            kubeconfig(user={"client-certificate": "/c.pem", "client-key": "k.pem"}),
            ClusterConfig(server="https://api:6443", certificate="/c.pem", key="/etc/k.pem"),
        ),
    ],
)
def test_forms_of_a_kubeconfig(document, expected):
    assert parse(document, PATH) == expected


def test_another_context_than_the_current_one():
    document = kubeconfig()
    document["clusters"].append({"name": "d", "cluster": {"server": "https://other"}})
    document["contexts"].append({"name": "there", "context": {"cluster": "d"}})
    assert parse(document, PATH, "there").server == "https://other"


def test_files_beside_the_kubeconfig(tmp_path):
    (tmp_path / "ca.pem").write_text("PEM")
    (tmp_path / "token").write_text("secret\n")
    document = kubeconfig({"certificate-authority": "ca.pem"}, {"tokenFile": "token"})
    found = parse(document, tmp_path / "config")
    assert (found.ca, found.token) == ("PEM", "secret")


def test_a_token_wins_over_a_file(tmp_path):
    document = kubeconfig(user={"token": "mine", "tokenFile": "absent"})
    assert parse(document, tmp_path / "config").token == "mine"


@pytest.mark.parametrize(
    ("document", "word"),
    [
        (None, "empty"),
        ([], "no mapping"),
        ({}, "no context named ''"),
        (kubeconfig(**{"current-context": "away"}), "no context named 'away' (it has: here)"),
        (kubeconfig(clusters=[]), "no cluster named 'c' (it has: none)"),
        (kubeconfig(clusters=None), "no cluster named 'c'"),
        (kubeconfig(users=[]), "no user named 'u'"),
        (kubeconfig(clusters={"c": {}}), "clusters must be a list"),
        (kubeconfig(contexts=["here"]), "contexts must be a list"),
        (kubeconfig({"server": ""}), "has no server URL"),
        (kubeconfig({"server": "api:6443"}), "has no server URL, but 'api:6443'"),
        (kubeconfig({"certificate-authority": "absent.pem"}), "cannot read its certificate-authority"),
        (kubeconfig({"certificate-authority-data": "%%%"}), "certificate-authority-data is not base64"),
        (kubeconfig(user={"client-key-data": "x"}), "client-key-data is not base64"),
        (kubeconfig(user={"tokenFile": "absent"}), "cannot read its tokenFile"),
        (kubeconfig(user={"exec": {"command": "aws"}}), "signs in through exec, which is not supported"),
        (kubeconfig(user={"auth-provider": {"name": "oidc"}}), "signs in through auth-provider"),
        (kubeconfig(user={"username": "me", "password": "x"}), "signs in through username"),
    ],
)
def test_what_is_wrong_is_said_with_the_file(document, word, tmp_path):
    with pytest.raises(ConfigError) as caught:
        parse(document, tmp_path / "config")
    assert word in str(caught.value)
    assert str(tmp_path / "config") in str(caught.value)


def written(path: Path, server: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(kubeconfig({"server": server})))
    return path


def test_where_a_kubeconfig_is_looked_for(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"cannot read the kubeconfig .*home/\.kube/config: No such file"):
        load()
    written(tmp_path / "home/.kube/config", "https://home")
    assert load().server == "https://home"
    pod = tmp_path / "serviceaccount"
    pod.mkdir()
    monkeypatch.setattr(config, "_SERVICE_ACCOUNT", pod)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert load().server == "https://home", "there is no token in this pod"
    for name, text in {"token": "secret\n", "ca.crt": "PEM", "namespace": "team\n"}.items():
        (pod / name).write_text(text)
    assert load() == ClusterConfig(server="https://10.0.0.1:443", ca="PEM", token="secret", namespace="team")
    named = written(tmp_path / "named", "https://named")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/absent::{named}:{tmp_path}/home/.kube/config")
    assert load().server == "https://named"
    assert load(tmp_path / "home/.kube/config").server == "https://home"
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    with pytest.raises(ConfigError, match="absent: No such file"):
        load()


def test_a_pod_in_a_cluster_of_the_newer_protocol(tmp_path, monkeypatch):
    for name, text in {"token": "t", "ca.crt": "c", "namespace": "n"}.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(config, "_SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    assert in_cluster().server == "https://[fd00::1]:6443"


def test_a_file_that_is_no_yaml(tmp_path):
    path = tmp_path / "config"
    path.write_text("a: [")
    with pytest.raises(ConfigError, match="is not YAML"):
        load(path)


def test_a_plain_server_needs_no_tls():
    assert ClusterConfig(server="http://127.0.0.1:1").ssl_context() is None


def test_tls_with_inline_certificates(pem):
    certificate, key = pem
    document = kubeconfig(
        {"certificate-authority-data": encoded(certificate)},
        {"client-certificate-data": encoded(certificate), "client-key-data": encoded(key)},
    )
    found = parse(document, PATH)
    for _ in range(2):  # whoever reconnects reads them again
        context = found.ssl_context()
        assert context is not None
        assert context.check_hostname
        assert context.cert_store_stats()["x509"] == 1


def test_inline_certificates_win_over_files(pem):
    certificate, key = pem
    user = {"client-certificate-data": encoded(certificate), "client-key-data": encoded(key)}
    found = parse(kubeconfig(user=user | {"client-certificate": "absent", "client-key": "absent"}), PATH)
    assert Path(found.certificate).read_text() == certificate


def test_who_does_not_verify_is_told_nothing():
    context = ClusterConfig(server="https://api", verify=False).ssl_context()
    assert context is not None
    assert context.verify_mode == ssl.CERT_NONE


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"ca": "no PEM"}, "certificate authority"),
        ({"certificate": "/absent.pem"}, "client certificate /absent.pem"),
    ],
)
def test_certificates_that_cannot_be_used(fields, word):
    with pytest.raises(ConfigError, match=word):
        ClusterConfig(server="https://api", **fields).ssl_context()
