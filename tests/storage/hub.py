"""A server in the shape of the Hugging Face hub: an emulator for tests, of the few routes by which models are read.

It lists a repository's files with their sums, serves files that are small itself, and redirects for large ones to
another host, as the hub does. What it knows of the real one is what the hub's own client, which is tested against it,
insists on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, quote

from storage.served import Answer, Site, send

_LARGE = 1000


class Hub:
    """Holds ``repositories[name][revision] = {path: contents}`` on a site. The newest commit is the only one."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.token = ""
        self.gated: set[str] = set()
        self.environ = {"HF_ENDPOINT": site.url(""), "MIZZEN_MODEL_CACHE": "", "HF_TOKEN_PATH": "/dev/null"}

    def put(self, repository: str, files: Mapping[str, bytes], revision: str = "main") -> str:
        """Returns the commit."""
        commit = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        about = {"id": repository, "modelId": repository, "sha": commit, "siblings": [], "private": False}
        about |= {"tags": [], "downloads": 0, "likes": 0}
        answer = self._guarded(repository, send(json.dumps(about).encode(), kind="application/json"))
        for name in (revision, commit):
            self.site.answers[f"/api/models/{repository}/revision/{quote(name, safe='')}"] = answer
            tree = f"/api/models/{repository}/tree/{quote(name, safe='')}"
            self.site.answers[tree] = self._guarded(repository, self._tree(tree, files))
        for path, contents in files.items():
            for name in (revision, commit):
                self._put_file(
                    repository, f"/{repository}/resolve/{quote(name, safe='')}/{quote(path)}", commit, contents
                )
        return commit

    def _put_file(self, repository: str, path: str, commit: str, contents: bytes) -> None:
        fields = {"X-Repo-Commit": commit, "ETag": f'"{_oid(contents)}"'}
        if len(contents) < _LARGE:
            serve = served(contents, **fields)
        else:
            sum_of_all = hashlib.sha256(contents).hexdigest()
            blob = f"/cdn/{sum_of_all}"
            self.site.answers[blob] = self.site.heads[blob] = served(contents, ETag=f'"{sum_of_all}"')
            linked = {"X-Linked-Size": str(len(contents)), "X-Linked-Etag": f'"{sum_of_all}"'}
            serve = send(b"", status=302, Location=self.site.url(blob, "localhost"), **fields, **linked)
        self.site.answers[path] = self.site.heads[path] = self._guarded(repository, serve)

    def _tree(self, path: str, files: Mapping[str, bytes]) -> Answer:
        """Two entries a page, and each page names the next."""
        folders = sorted({part for name in files for part in name.split("/")[:-1]})
        entries: list[dict[str, object]] = [_entry(name, contents) for name, contents in files.items()]
        entries += [{"type": "directory", "path": name, "oid": "0" * 40, "size": 0} for name in folders]

        def answer(handler: BaseHTTPRequestHandler) -> None:
            query = handler.path.partition("?")[2]
            start = int(parse_qs(query).get("cursor", ["0"])[0])
            following = f'<{self.site.url(path)}?cursor={start + 2}>; rel="next"'
            fields = {"Link": following} if start + 2 < len(entries) else {}
            send(json.dumps(entries[start : start + 2]).encode(), kind="application/json", **fields)(handler)

        return answer

    def _guarded(self, repository: str, answer: Answer) -> Answer:
        def guarded(handler: BaseHTTPRequestHandler) -> None:
            shown = handler.headers.get("Authorization", "").removeprefix("Bearer ")
            if repository in self.gated and shown != self.token:
                refuse(403 if shown else 401, "GatedRepo")(handler)
            elif self.token and shown != self.token:
                refuse(401, "RepoNotFound" if not shown else "")(handler)
            else:
                answer(handler)

        return guarded


def refuse(status: int, code: str) -> Answer:
    fields = {"X-Error-Code": code, "X-Error-Message": "S3cr3t"} if code else {}
    return send(b'{"error": "S3cr3t"}', status=status, kind="application/json", **fields)


def served(contents: bytes, **fields: str) -> Answer:
    """A file, or the part of it that is asked for."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range")
        status, start, stop = 200, 0, len(contents)
        if asked:
            first, last = asked.removeprefix("bytes=").split("-")
            status, start, stop = 206, int(first), int(last) + 1 if last else stop
        handler.send_response(status)
        if asked:
            handler.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(contents)}")
        handler.send_header("Content-Length", str(stop - start))
        handler.send_header("Accept-Ranges", "bytes")
        for name, value in fields.items():
            handler.send_header(name, value)
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(contents[start:stop])

    return answer


def _entry(path: str, contents: bytes) -> dict[str, object]:
    found: dict[str, object] = {"type": "file", "path": path, "size": len(contents), "oid": _oid(contents)}
    if len(contents) >= _LARGE:
        found["lfs"] = {"oid": hashlib.sha256(contents).hexdigest(), "size": len(contents), "pointerSize": 134}
    return found


def _oid(contents: bytes) -> str:
    return hashlib.sha1(f"blob {len(contents)}\0".encode() + contents).hexdigest()
