"""A server in the shape of Azure Blob Storage: an emulator for tests, of the few requests by which blobs are read.

It checks the signature of the account's key as the service's documentation defines it, knows shared access signatures
by their text alone, and bearer tokens by theirs. Containers may be open to everybody. Of the rest of the service there
is nothing; Azure's own client, which is what talks to it, is what keeps it honest.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

from storage.served import Answer, Site, send

KEY = base64.b64encode(b"the key of the account, S3cr3t").decode()
_DATE = "Sat, 21 Nov 2026 12:00:00 GMT"
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class Blobs:
    """Plays one account, whose blobs are ``containers[container][name]``, with the account's name in the path."""

    def __init__(self, site: Site, account: str, key: str = KEY) -> None:
        self.site = site
        self.account = account
        self.key = key
        self.token = "no such token"
        self.signature = "no such signature"
        self.open: set[str] = set()
        self.containers: dict[str, dict[str, bytes]] = {}
        self.metadata: dict[str, dict[str, str]] = {}
        self.etags: dict[str, str] = {}
        self.hashes: dict[str, str] = {}
        self.answers: list[Answer] = []
        self.ranges: list[str | None] = []
        site.otherwise = self.answer

    @property
    def endpoint(self) -> str:
        return self.site.url(f"/{self.account}")

    @property
    def connection(self) -> str:
        return f"AccountName={self.account};AccountKey={self.key};BlobEndpoint={self.endpoint};"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        container, _, name = unquote(parts.path).removeprefix(f"/{self.account}/").partition("/")
        if not self._may(handler, container, query):
            return
        if container not in self.containers:
            refuse(404, "ContainerNotFound")(handler)
        elif query.get("comp") == "list":
            self._list(handler, container, query)
        elif name not in self.containers[container]:
            refuse(404, "BlobNotFound")(handler)
        else:
            self._blob(handler, container, name)

    def _may(self, handler: BaseHTTPRequestHandler, container: str, query: dict[str, str]) -> bool:
        shown = handler.headers.get("Authorization", "")
        if not shown and "sig" not in query:
            if container in self.open:
                return True
            refuse(404, "ResourceNotFound")(handler)
            return False
        right = {f"Bearer {self.token}", f"SharedKey {self.account}:{self._signature(handler)}"}
        if shown in right or query.get("sig") == self.signature:
            return True
        refuse(403, "AuthenticationFailed")(handler)
        return False

    def _signature(self, handler: BaseHTTPRequestHandler) -> str:
        """What the account's key makes of the request (the service's documentation, "Authorize with Shared Key")."""
        headers = {name.lower(): value for name, value in handler.headers.items()}
        names = ("content-encoding", "content-language", "content-length", "content-md5", "content-type", "date")
        names += ("if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range")
        lines = [handler.command, *(headers.get(name, "") for name in names)]
        lines += [f"{name}:{headers[name]}" for name in sorted(headers) if name.startswith("x-ms-")]
        parts = urlsplit(handler.path)
        lines.append(f"/{self.account}{parts.path}")
        lines += [f"{name.lower()}:{value}" for name, value in sorted(parse_qsl(parts.query, keep_blank_values=True))]
        text = "\n".join(lines).encode()
        return base64.b64encode(hmac.digest(base64.b64decode(self.key), text, hashlib.sha256)).decode()

    def _list(self, handler: BaseHTTPRequestHandler, container: str, query: dict[str, str]) -> None:
        """Two blobs a page."""
        names = sorted(name for name in self.containers[container] if name.startswith(query.get("prefix", "")))
        start = int(query.get("marker") or 0)
        following = str(start + 2) if start + 2 < len(names) else ""
        blobs = "".join(self._listed(container, name) for name in names[start : start + 2])
        prefix = escape(query.get("prefix", ""))
        send(
            f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="{self.endpoint}" '
            f'ContainerName="{container}"><Prefix>{prefix}</Prefix><Blobs>{blobs}</Blobs>'
            f"<NextMarker>{following}</NextMarker></EnumerationResults>".encode(),
            kind="application/xml",
        )(handler)

    def _listed(self, container: str, name: str) -> str:
        contents = self.containers[container][name]
        about = "".join(f"<{key}>{value}</{key}>" for key, value in self.metadata.get(name, {}).items())
        return (
            f"<Blob><Name>{escape(name)}</Name><Properties><Last-Modified>{_DATE}</Last-Modified>"
            f"<Etag>{self._etag(container, name).strip(chr(34))}</Etag><Content-Length>{len(contents)}</Content-Length>"
            f"<Content-MD5>{self._hash(contents, name)}</Content-MD5><BlobType>BlockBlob</BlobType></Properties>"
            f"<Metadata>{about}</Metadata></Blob>"
        )

    def _blob(self, handler: BaseHTTPRequestHandler, container: str, name: str) -> None:
        contents = self.containers[container][name]
        asked = handler.headers.get("x-ms-range") or handler.headers.get("Range")
        if handler.command == "GET":
            self.ranges.append(asked)
            if self.answers:
                self.answers.pop(0)(handler)
                return
        etag = self._etag(container, name)
        if handler.headers.get("If-Match") not in (None, etag, etag.strip('"')):
            refuse(412, "ConditionNotMet")(handler)
            return
        fields = {
            "ETag": etag,
            "Last-Modified": _DATE,
            "x-ms-blob-type": "BlockBlob",
            "x-ms-blob-content-md5" if asked else "Content-MD5": self._hash(contents, name),
            **{f"x-ms-meta-{key}": value for key, value in self.metadata.get(name, {}).items()},
        }
        status, start, stop = 200, 0, len(contents)
        if found := _RANGE.fullmatch(asked or ""):
            start, stop = int(found[1]), min(int(found[2]) + 1 if found[2] else stop, stop)
            if start >= len(contents):
                refuse(416, "InvalidRange")(handler)
                return
            status, fields["Content-Range"] = 206, f"bytes {start}-{stop - 1}/{len(contents)}"
        handler.send_response(status)
        for field, value in {**fields, "Content-Length": str(stop - start)}.items():
            handler.send_header(field, value)
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(contents[start:stop])

    def _etag(self, container: str, name: str) -> str:
        found = hashlib.sha1(self.containers[container][name]).hexdigest()[:16]
        return self.etags.get(name, f'"0x{found.upper()}"')

    def _hash(self, contents: bytes, name: str) -> str:
        found = base64.b64encode(hashlib.md5(contents, usedforsecurity=False).digest()).decode()
        return self.hashes.get(name, found)


def refuse(status: int, code: str) -> Answer:
    text = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>S3cr3t</Message></Error>'
    fields = {"x-ms-error-code": code}
    return send(text.encode(), status=status, kind="application/xml", **fields)
