"""A git repository behind git's own HTTP server, ``git http-backend``."""

from __future__ import annotations

import base64
import os
import subprocess
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from storage.served import Site


class Repository:
    """A bare repository ``acme/iris.git`` on a site; ``password`` is asked for, if there is one."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        self.work = folder / "work"
        self.password = ""
        self.requests: list[str] = []
        self._root = folder / "served"
        self._bare = self._root / "acme" / "iris.git"
        self._git("init", "--quiet", "--bare", "--initial-branch=main", str(self._bare))
        self._git("init", "--quiet", "--initial-branch=main", str(self.work))
        site.otherwise = self._serve

    def url(self, user: str = "") -> str:
        return self.site.url("/acme/iris.git").replace("//", f"//{user}@" if user else "//")

    def commit(self, files: dict[str, bytes]) -> None:
        for path, contents in files.items():
            (self.work / path).parent.mkdir(parents=True, exist_ok=True)
            (self.work / path).write_bytes(contents)
        self.push()

    def push(self) -> None:
        self._git("-C", str(self.work), "add", "--all")
        self._git("-C", str(self.work), "commit", "--quiet", "--message=A commit")
        self._git("-C", str(self.work), "push", "--quiet", str(self._bare), "main")

    def _git(self, *arguments: str) -> None:
        who = {
            "GIT_AUTHOR_NAME": "A",
            "GIT_AUTHOR_EMAIL": "a@b",
            "GIT_COMMITTER_NAME": "A",
            "GIT_COMMITTER_EMAIL": "a@b",
        }
        environ = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent", **who}
        subprocess.run(["git", *arguments], env=environ, check=True, capture_output=True)

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        path, _, query = handler.path.partition("?")
        self.requests.append(path.rpartition("/")[2])
        shown = base64.b64decode(handler.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        if self.password and shown != f"reader:{self.password}":
            handler.send_response(401)
            handler.send_header("WWW-Authenticate", 'Basic realm="models"')
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        length = int(handler.headers.get("Content-Length", 0))
        environ = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self._root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": handler.command,
            "CONTENT_TYPE": handler.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(length),
            "HTTP_CONTENT_ENCODING": handler.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": handler.headers.get("Git-Protocol", ""),
        }
        done = subprocess.run(
            ["git", "http-backend"], env=environ, input=handler.rfile.read(length), capture_output=True, check=True
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().splitlines())
        handler.send_response(int(fields.pop("Status", "200 OK").split()[0]))
        for name, value in {**fields, "Content-Length": str(len(body))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)
