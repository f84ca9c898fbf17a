"""Where an API is and how to prove who one is: from a kubeconfig file, or from inside a pod."""

from __future__ import annotations

import base64
import os
import ssl
from pathlib import Path
from typing import Any

import msgspec
import yaml

from mizzen.errors import MizzenError

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class ConfigError(MizzenError):
    """A kubeconfig that is missing, malformed, or names something that is not in it."""


class ClusterConfig(msgspec.Struct, kw_only=True):
    """One API server and one user's credentials.

    ``ca`` is PEM text; without it the system's authorities decide. ``certificate`` and ``key`` are files.
    """

    server: str
    ca: str = ""
    token: str = ""
    certificate: str = ""
    key: str = ""
    verify: bool = True
    namespace: str = "default"

    def ssl_context(self) -> ssl.SSLContext | None:
        """The TLS side of the connection, or ``None`` for a plain ``http://`` server.

        Raises:
            ConfigError: the authority, the certificate or its key cannot be read.
        """
        if not self.server.startswith("https:"):
            return None
        what = "certificate authority"
        try:
            context = ssl.create_default_context(cadata=self.ca or None)
            if not self.verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if self.certificate:
                what = f"client certificate {self.certificate} or its key"
                context.load_cert_chain(self.certificate, self.key or None)
        except (ssl.SSLError, OSError) as error:
            raise ConfigError(f"the {what} for {self.server} cannot be used: {error}") from error
        return context


def load(path: Path | None = None, context: str | None = None) -> ClusterConfig:
    """The cluster that ``path``, ``$KUBECONFIG``, the pod's service account or ``~/.kube/config`` names, in this order.

    Of several files in ``$KUBECONFIG`` the first that exists is read; they are not merged.

    Raises:
        ConfigError: none of them is there, or the one that is cannot be read.
    """
    named = [Path(name) for name in os.environ.get("KUBECONFIG", "").split(os.pathsep) if name]
    if path is None and named:
        path = next((file for file in named if file.exists()), named[0])
    if path is None and os.environ.get("KUBERNETES_SERVICE_HOST") and (_SERVICE_ACCOUNT / "token").exists():
        return in_cluster()
    path = path or Path.home() / ".kube/config"
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(f"cannot read the kubeconfig {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"the kubeconfig {path} is not YAML: {error}") from error
    return parse(document, path, context)


def in_cluster() -> ClusterConfig:
    """The cluster this process runs in as a pod, with the pod's service account."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    host = f"[{host}]" if ":" in host else host
    return ClusterConfig(
        server=f"https://{host}:{port}",
        ca=(_SERVICE_ACCOUNT / "ca.crt").read_text(),
        token=(_SERVICE_ACCOUNT / "token").read_text().strip(),
        namespace=(_SERVICE_ACCOUNT / "namespace").read_text().strip(),
    )


def parse(document: Any, path: Path, context: str | None = None) -> ClusterConfig:
    """The cluster and user of one context of a kubeconfig; ``path`` is for messages and relative file names."""
    if not isinstance(document, dict):
        raise ConfigError(f"the kubeconfig {path} is empty or no mapping")
    name = context or document.get("current-context") or ""
    chosen = _entry(document, "contexts", "context", name, path)
    cluster = _entry(document, "clusters", "cluster", chosen.get("cluster", ""), path)
    user = _entry(document, "users", "user", chosen.get("user", ""), path) if chosen.get("user") else {}
    for way in ("exec", "auth-provider", "username"):
        if user.get(way):
            raise ConfigError(
                f"the kubeconfig {path}: user {chosen['user']!r} signs in through {way}, which is not supported; "
                "give a token or a client certificate"
            )
    token = str(user.get("token") or "")
    if not token and user.get("tokenFile"):
        token = _read(user["tokenFile"], "tokenFile", path).strip()
    server = str(cluster.get("server") or "").rstrip("/")
    if not server.startswith(("https://", "http://")):
        raise ConfigError(f"the kubeconfig {path}: cluster {chosen.get('cluster')!r} has no server URL, but {server!r}")
    return ClusterConfig(
        server=server,
        ca=_text(cluster, "certificate-authority", path),
        token=token,
        certificate=_file(user, "client-certificate", path),
        key=_file(user, "client-key", path),
        verify=not cluster.get("insecure-skip-tls-verify", False),
        namespace=str(chosen.get("namespace") or "default"),
    )


def _entry(document: dict[str, Any], section: str, key: str, name: str, path: Path) -> dict[str, Any]:
    entries = document.get(section) or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(f"the kubeconfig {path}: {section} must be a list of mappings")
    for entry in entries:
        if entry.get("name") == name:
            return dict(entry.get(key) or {})
    known = ", ".join(str(entry.get("name")) for entry in entries) or "none"
    raise ConfigError(f"the kubeconfig {path} has no {key} named {name!r} (it has: {known})")


def _text(section: dict[str, Any], key: str, path: Path) -> str:
    inline = _inline(section, key, path)
    if inline:
        return inline.decode("utf-8", "replace")
    return _read(section[key], key, path) if section.get(key) else ""


def _file(section: dict[str, Any], key: str, path: Path) -> str:
    """A file name for what may be inline: the TLS library reads certificates from files only."""
    inline = _inline(section, key, path)
    if not inline:
        return str(path.parent / section[key]) if section.get(key) else ""
    descriptor = os.memfd_create(key, os.MFD_CLOEXEC)
    os.write(descriptor, inline)
    return f"/proc/self/fd/{descriptor}"


def _inline(section: dict[str, Any], key: str, path: Path) -> bytes:
    """What stands in the kubeconfig itself, which wins over a file name beside it, as for kubectl."""
    try:
        return base64.b64decode("".join(str(section.get(f"{key}-data") or "").split()), validate=True)
    except ValueError as error:
        raise ConfigError(f"the kubeconfig {path}: {key}-data is not base64: {error}") from error


def _read(name: Any, key: str, path: Path) -> str:
    try:
        return (path.parent / str(name)).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the kubeconfig {path}: cannot read its {key}: {error}") from error
