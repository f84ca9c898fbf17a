"""Models on a web server: ``http://`` and ``https://``, one file or one archive.

A download goes to a hidden file, is compared with the length that the server announced, and only then gets its name.
What most often goes wrong on the way to a model is not the network but a page: the login form or the error page of the
server in front of it, sent with status 200. So HTML is refused with a sentence, while every other content type is
accepted (KServe demands ``application/octet-stream``, and turns away the ``.json`` of every ordinary server).
"""

from __future__ import annotations

import html
import http.client
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote

from mizzen.storage.connection import Connector
from mizzen.storage.errors import StorageError, TransientError, free_bytes, writing
from mizzen.storage.progress import Meter, Transfer
from mizzen.storage.provider import Fetched, Order, nothing_found
from mizzen.storage.staging import Staging
from mizzen.storage.unpack import Limits, unpack_into
from mizzen.storage.uris import Kind, file_name, kind_of, one_line, parts_of, shown

STALL_SECONDS = "MIZZEN_STORAGE_STALL_SECONDS"

_DEFAULT_STALL = 30.0
_PAUSES = (0.5, 2.0)
_CHUNK = 256 << 10
_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html)\b", re.IGNORECASE | re.DOTALL)
_TITLE = re.compile(rb"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)


def fetch(order: Order) -> Fetched:
    """Download the file into ``out_dir``, or into a new folder that is the caller's to remove; unpack an archive."""
    limits = Limits.of(order.environ)
    connector = Connector(order.environ, _stall(order.environ))
    if not _is_name(file_name(order.uri)):
        raise StorageError("the address names no file: its path must end in the name of one")
    target = order.out_dir or Path(tempfile.mkdtemp(prefix="mizzen-model-"))
    try:
        with Staging(target) as staging:
            return _fetch_into(staging, target, connector, limits, order)
    except BaseException:
        if order.out_dir is None:
            shutil.rmtree(target, ignore_errors=True)
        raise


def _fetch_into(staging: Staging, target: Path, connector: Connector, limits: Limits, order: Order) -> Fetched:
    part = staging.path / "download"
    arrived = _with_retries(connector, part, order)
    if arrived.kind:
        unpacked = unpack_into(staging, part, arrived.kind, arrived.name, order.patterns, limits, order.progress)
        return Fetched(target, files=unpacked.files, bytes=unpacked.bytes)
    ready = staging.path / "ready"
    with writing(target / arrived.name):
        ready.mkdir()
        part.rename(ready / arrived.name)
    staging.commit(ready)
    return Fetched(target, files=1, bytes=arrived.bytes)


class _Arrived(NamedTuple):
    name: str
    kind: Kind | None
    bytes: int


def _with_retries(connector: Connector, part: Path, order: Order) -> _Arrived:
    for pause in _PAUSES:
        try:
            return _download(connector, part, order)
        except TransientError as error:
            if order.progress is not None:
                order.progress(Transfer("download", file_name(order.uri), 0, None, 0.0, trouble=str(error)))
            time.sleep(pause)
    try:
        return _download(connector, part, order)
    except TransientError as error:
        raise StorageError(f"{error} (tried {len(_PAUSES) + 1} times)") from error


def _download(connector: Connector, part: Path, order: Order) -> _Arrived:
    """One attempt to fill the file ``part``."""
    response, url = connector.get(order.uri)
    with response:
        after = "" if url == order.uri else f", from {shown(url)} after a redirect"
        _check_status(response.status, parts_of(url).hostname or "", after)
        _check_encoding(response)
        name = _name(response, order.uri)
        kind = _kind(name, order.uri)
        if not kind and not order.patterns.admits(name):
            raise StorageError(nothing_found(f"{name} does not match the patterns ({order.patterns})"))
        total = response.length
        meter = Meter(order.progress, "download", name, total)
        chunks = _chunks(response, total, connector.stall)
        first = next(chunks, b"")
        if not first:
            raise StorageError(f"the server sent an empty file{after}")
        _refuse_page(response, first, name, after)
        with writing(part):
            _check_free(part.parent, total)
            with part.open("wb") as file:
                file.write(first)
                meter.add(len(first))
                for chunk in chunks:
                    file.write(chunk)
                    meter.add(len(chunk))
        meter.finish()
        return _Arrived(name, kind, meter.done)


def _chunks(response: http.client.HTTPResponse, total: int | None, stall: float) -> Iterator[bytes]:
    """The body as it comes in, up to ``total`` bytes. Raises :class:`TransientError` when fewer come."""
    done = 0
    while total is None or done < total:
        try:
            chunk = response.read1(_CHUNK if total is None else min(_CHUNK, total - done))
        except TimeoutError:
            raise TransientError(f"the download stopped after {done} bytes: nothing came for {stall:g} s") from None
        except (OSError, http.client.HTTPException, ValueError):
            expected = f"{done} of {total}" if total else f"{done}"
            raise TransientError(f"the download was cut off after {expected} bytes") from None
        if not chunk:
            break
        done += len(chunk)
        yield chunk
    if total is not None and done < total:
        raise TransientError(f"the download was cut off after {done} of {total} bytes")


def _check_status(status: int, host: str, after: str) -> None:
    match status:
        case 200:
            return
        case 401:
            reason = f"HTTP authentication failed (status 401); credentials are read from the variable {host}-headers"
        case 403:
            reason = "HTTP access denied (status 403)"
        case 404:
            reason = "HTTP resource not found (status 404)"
        case _:
            reason = f"HTTP request failed with status code {status}"
    raise (TransientError if status >= 500 or status == 429 else StorageError)(reason + after)


def _check_encoding(response: http.client.HTTPResponse) -> None:
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    # Servers declare the gzip of a .tar.gz as an encoding; the archive's reader looks at the content anyway.
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise StorageError(f"the server sent Content-Encoding {one_line(encoding)!r}, which was not asked for")


def _check_free(folder: Path, needed: int | None) -> None:
    free = free_bytes(folder)
    if needed is not None and needed > free:
        raise StorageError(f"the file needs {needed} bytes in {folder}, where {free} bytes are free")


def _refuse_page(response: http.client.HTTPResponse, first: bytes, name: str, after: str) -> None:
    if name.lower().endswith((".html", ".htm", ".xhtml")):
        return
    if response.headers.get_content_type() not in ("text/html", "application/xhtml+xml") and not _PAGE.match(first):
        return
    title = _TITLE.search(first)
    text = one_line(" ".join(html.unescape(title[1].decode("utf-8", "replace")).split()))[:80] if title else ""
    titled = f" with the title '{text}'" if text else ""
    raise StorageError(
        f"the server sent an HTML page{titled} instead of a model{after}: the address may need a login, or be that of "
        "a page about the file and not of the file"
    )


def _name(response: http.client.HTTPResponse, uri: str) -> str:
    """The URL's own name of the file; where that is none (``/download?id=7``), the one that the server gives it."""
    name = file_name(uri)
    if PurePosixPath(name).suffix:
        return name
    given = PurePosixPath((response.headers.get_filename() or "").replace("\\", "/")).name
    return given if _is_name(given) else name


def _kind(name: str, uri: str) -> Kind | None:
    if PurePosixPath(name).suffix:
        return kind_of(name)
    return kind_of(unquote(parts_of(uri).query))


def _is_name(name: str) -> bool:
    return name not in ("", ".", "..") and "/" not in name and name.isprintable()


def _stall(environ: Mapping[str, str]) -> float:
    text = environ.get(STALL_SECONDS, "").strip()
    if not text:
        return _DEFAULT_STALL
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 86400:
        raise StorageError(f"{STALL_SECONDS} must be a number of seconds such as 30, not {text!r}")
    return seconds
