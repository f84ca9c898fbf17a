"""What the tests of storage fetch: a web server whose every answer a test decides, and archives."""

from __future__ import annotations

import tarfile
import threading
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

Answer = Callable[[BaseHTTPRequestHandler], None]


class Site:
    """``site.answers[path]`` answers a GET of ``path``; ``site.requests`` are those that came, with their headers.

    ``heads`` and ``posts`` are the same for the other methods, and ``otherwise`` answers what none of them does.
    ``over`` is set in the end, for answers that wait.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.heads: dict[str, Answer] = {}
        self.posts: dict[str, Answer] = {}
        self.otherwise: Answer | None = None
        self.over = threading.Event()
        self.requests: list[tuple[str, dict[str, str]]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(site.answers, b"no such thing")

            def do_HEAD(self) -> None:
                self._answer(site.heads, b"")

            def do_POST(self) -> None:
                self._answer(site.posts, b"no such thing")

            def _answer(self, answers: dict[str, Answer], otherwise: bytes) -> None:
                site.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                missing = site.otherwise or send(otherwise, status=404)
                answer = answers.get(self.path.partition("?")[0], missing)
                try:
                    answer(self)
                except (BrokenPipeError, ConnectionResetError):
                    pass

            def do_CONNECT(self) -> None:
                site.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                site.answers["CONNECT"](self)

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                site.errors.append(traceback.format_exc())

        self.errors: list[str] = []
        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def stop(self) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


def send(
    body: bytes,
    status: int = 200,
    kind: str | None = "application/octet-stream",
    length: int | None = None,
    **headers: str,
) -> Answer:
    """An answer with ``body``, which claims ``length`` bytes (default: the truth; negative: none)."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        if kind:
            handler.send_header("Content-Type", kind)
        if length is None or length >= 0:
            handler.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def in_turn(*answers: Answer) -> Answer:
    """The first answer to the first request and so on; the last one to all that follow."""
    left = list(answers)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        turn = left.pop(0) if len(left) > 1 else left[0]
        turn(handler)

    return answer


def tarball(*members: tuple[tarfile.TarInfo, bytes] | tuple[str, bytes], mode: str = "w:gz") -> bytes:
    """A tar of the members: (name or header, contents)."""
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for header, contents in members:
            info = tarfile.TarInfo(header) if isinstance(header, str) else header
            if contents:
                info.size = len(contents)
            archive.addfile(info, BytesIO(contents))
    return buffer.getvalue()


def tar_link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def files_in(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder``, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
