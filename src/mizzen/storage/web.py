"""Models on a web server: ``http://`` and ``https://``, one file or one archive.

What most often goes wrong on the way to a model is not the network but a page: the login form or the error page of the
server in front of it, sent with status 200. So HTML is refused with a sentence, while every other content type is
accepted (KServe demands ``application/octet-stream``, and turns away the ``.json`` of every ordinary server).

The first answer both says what there is and brings it. A server that gives its file an ETag or a date is asked the next
time whether it still has the same one, and after a break for the rest of it.
"""

from __future__ import annotations

import html
import http.client
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from mizzen.storage.connection import Connector, chunks, position_of, retry_after
from mizzen.storage.delivery import deliver
from mizzen.storage.errors import StorageError, TransientError
from mizzen.storage.provider import Fetched, Order
from mizzen.storage.settings import stall
from mizzen.storage.source import Changed, Remote, Source
from mizzen.storage.uris import Kind, file_name, kind_of, one_line, parts_of, shown, without_secrets

_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html)\b", re.IGNORECASE | re.DOTALL)
_TITLE = re.compile(rb"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)


def fetch(order: Order) -> Fetched:
    """Download the file into ``out_dir``, or into a new folder that is the caller's to remove; unpack an archive."""
    return deliver(_Web(order.uri, Connector(order.environ, stall(order.environ))), order)


class _Web(Source):
    files_at_once = 1

    def __init__(self, uri: str, connector: Connector) -> None:
        if not _is_name(file_name(uri)):
            raise StorageError("the address names no file: its path must end in the name of one")
        self.identity = f"web {without_secrets(uri)}"
        self.label = file_name(uri)
        self._uri = uri
        self._connector = connector
        self._begun: tuple[http.client.HTTPResponse, bytes, Iterator[bytes]] | None = None

    def list(self, known: Sequence[Remote], scratch: Path) -> list[Remote]:
        self.close()
        conditions = _conditions(known[0].version) if known else {}
        response, url = self._connector.get(self._uri, headers=conditions)
        try:
            if response.status == 304 and known:
                response.close()
                return list(known)
            after = "" if url == self._uri else f", from {shown(url)} after a redirect"
            _check_status(response, parts_of(url).hostname or "", after)
            _check_encoding(response)
            name = _name(response, self._uri)
            total = response.length
            stream = chunks(response, 0, total, self._connector.stall)
            first = next(stream, b"")
            if not first:
                raise StorageError(f"the server sent an empty file{after}")
            _refuse_page(response, first, name, after)
        except BaseException:
            response.close()
            raise
        self._begun = response, first, stream
        return [Remote(name, total, _version(response), archive=_kind(name, self._uri))]

    def read(self, remote: Remote, start: int, stop: int | None) -> Iterator[bytes]:
        if self._begun is not None and start == 0:
            response, first, stream = self._begun
            self._begun = None
            with response:
                yield first
                yield from stream
            return
        conditions = _continuation(remote.version, start)
        response, _ = self._connector.get(self._uri, headers=conditions)
        with response:
            skip = _skipped(response, remote, start)
            for chunk in chunks(response, start - skip, remote.size, self._connector.stall):
                if skip < len(chunk):
                    yield chunk[skip:]
                skip = max(skip - len(chunk), 0)

    def close(self) -> None:
        if self._begun is not None:
            self._begun[0].close()
            self._begun = None


def _version(response: http.client.HTTPResponse) -> str:
    """What tells these contents from others, as the header field that says it: ``ETag: ...``."""
    for field in ("ETag", "Last-Modified"):
        value = response.headers.get(field, "").strip()
        if value:
            return f"{field}: {value}"
    return ""


def _conditions(version: str) -> dict[str, str]:
    field, _, value = version.partition(": ")
    return {"If-None-Match" if field == "ETag" else "If-Modified-Since": value}


def _continuation(version: str, start: int) -> dict[str, str]:
    if not start:
        return {}
    field, _, value = version.partition(": ")
    if field == "ETag" and value.startswith("W/"):
        # It promises the same meaning, not the same bytes.
        raise Changed("the server's weak ETag does not permit to go on with a download that was cut off")
    return {"Range": f"bytes={start}-", "If-Range": value}


def _skipped(response: http.client.HTTPResponse, remote: Remote, start: int) -> int:
    """How many bytes of the answer were there already. Raises :class:`Changed` if it is about something else."""
    if response.status == 206:
        if position_of(response) in ((start, remote.size), (start, None)):
            return 0
        raise Changed("the server sent another part of the file than it was asked for")
    if response.status == 416:
        raise Changed("the file became shorter while it was downloaded")
    _check_status(response, "", "")
    if _version(response) != remote.version or response.length != remote.size:
        raise Changed("the file changed while it was downloaded")
    return start


def _check_status(response: http.client.HTTPResponse, host: str, after: str) -> None:
    match response.status:
        case 200:
            return
        case 401:
            reason = f"HTTP authentication failed (status 401); credentials are read from the variable {host}-headers"
        case 403:
            reason = "HTTP access denied (status 403)"
        case 404:
            reason = "HTTP resource not found (status 404)"
        case status:
            reason = f"HTTP request failed with status code {status}"
    if response.status >= 500 or response.status == 429:
        raise TransientError(reason + after, retry_after(response))
    raise StorageError(reason + after)


def _check_encoding(response: http.client.HTTPResponse) -> None:
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    # Servers declare the gzip of a .tar.gz as an encoding; the archive's reader looks at the content anyway.
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise StorageError(f"the server sent Content-Encoding {one_line(encoding)!r}, which was not asked for")


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
