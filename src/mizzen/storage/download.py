"""From the address of a model to its provider.

The order in which schemes are recognised is KServe's (reference: the data plane, section 7.1). One table says which
module fetches which scheme; schemes that KServe has and this version does not are known by name, so that they fail with
the truth and not as a typing error.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

from mizzen.storage.errors import StorageError
from mizzen.storage.hosts import service_of
from mizzen.storage.patterns import Patterns
from mizzen.storage.progress import Progress
from mizzen.storage.provider import Fetched, Order, Provider
from mizzen.storage.settings import scrubbed
from mizzen.storage.uris import one_line, scheme_of, shown

# Imported when a model needs them: TLS alone costs more than all else that an initializer imports.
_PROVIDERS = {
    "": "local",
    "file": "local",
    "http": "web",
    "https": "web",
    "s3": "s3",
    "gs": "gcs",
    "hf": "huggingface",
    "pvc": "local",
}
_SUPPORTED = "local paths, file://, http(s)://, s3://, gs://, hf://, Azure Blob Storage, git repositories and pvc://"
_GIT = ("git", "git+http", "git+https", "git+ssh", "ssh")
_NOT_YET = {
    "hdfs": "HDFS",
    "webhdfs": "HDFS over HTTP",
    "modelscope": "ModelScope",
    "oci": "OCI images",
    "oci+native": "OCI images",
    "oci+modelcar": "OCI images",
    "oci+fetch": "OCI images",
}


def download(
    uri: str | os.PathLike[str],
    out_dir: str | os.PathLike[str] | None = None,
    *,
    allow_patterns: Iterable[str] | None = None,
    ignore_patterns: Iterable[str] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Make the model at ``uri`` available in a folder, and return that folder.

    Args:
        uri: a path, ``file://``, ``http(s)://``, ``s3://``, ``gs://``, ``hf://``, the ``https://`` address of a blob
            in Azure or of a git repository, or ``pvc://`` where the claim is mounted. One archive (``.tar``,
            ``.tar.gz``, ``.tgz``, ``.tar.bz2``, ``.tar.xz``, ``.zip``) is unpacked.
        out_dir: where to; made if missing. Without it a local model is answered by its own path (which may be a file),
            and a remote one comes into a new temporary folder that is the caller's to remove.
        allow_patterns, ignore_patterns: shell patterns on relative paths; of a local folder only the names at its top
            are compared. Without them the variables ``STORAGE_ALLOW_PATTERNS`` and ``STORAGE_IGNORE_PATTERNS`` hold.
        progress: called with a :class:`~mizzen.storage.progress.Transfer` once a second at most.

    Raises:
        StorageError: with one line that begins with the URI (its secrets masked) and says why. Nothing half-done is
            left behind.
    """
    return fetch(uri, out_dir, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns, progress=progress).path


def fetch(
    uri: str | os.PathLike[str],
    out_dir: str | os.PathLike[str] | None = None,
    *,
    allow_patterns: Iterable[str] | None = None,
    ignore_patterns: Iterable[str] | None = None,
    progress: Progress | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Fetched:
    """As :func:`download`, but say how much was fetched, and read settings from ``environ``."""
    text = os.fspath(uri)
    try:
        patterns = Patterns.of(allow_patterns, ignore_patterns, environ)
        order = Order(text, Path(out_dir) if out_dir is not None else None, patterns, progress, environ)
        return _provider(text, environ).fetch(order)
    except StorageError as error:
        reason = one_line(scrubbed(str(error), environ))
        raise StorageError(f"{shown(text) or 'empty URI'}: {reason}") from error
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise StorageError(one_line(f"{shown(text)}: {error.strerror or error}{where}")) from error


def _provider(uri: str, environ: Mapping[str, str]) -> Provider:
    scheme = scheme_of(uri)
    later = _NOT_YET.get(scheme)
    module = _PROVIDERS.get(scheme) if uri else None
    if module == "web":
        service = service_of(uri, environ)
        later = "Azure Files" if service == "azure files" else later
        module = "web" if service == "azure files" else service
    if later:
        raise StorageError(f"{scheme}:// ({later}) is not supported yet; supported are {_SUPPORTED}")
    if scheme in _GIT:
        raise StorageError(
            f"{scheme}:// is not spoken: a git repository is named by its http(s) address, which ends in .git, such as "
            f"https://HOST/OWNER/NAME.git; supported are {_SUPPORTED}"
        )
    if module is None:
        raise StorageError(f"Cannot recognize storage type; supported are {_SUPPORTED}")
    return cast(Provider, importlib.import_module(f"mizzen.storage.{module}"))
