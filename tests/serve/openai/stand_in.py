"""A small server of the OpenAI protocol, run as a process of its own: it stands in for vLLM and llama.cpp.

``python stand_in.py PORT [MODEL]``. It says what it was asked, in the forms that a proxy must pass on: whole answers,
streams, errors of its own shape and of none. What it was asked to do wrong stands in the prompt.
"""

from __future__ import annotations

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

written = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.answer(200 if self.path in ("/health", "/written") else 404, {"written": written})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        prompt = str(body.get("prompt", body.get("messages")))
        if prompt == "refuse":
            error = {"message": "not that", "type": "BadRequestError", "param": "prompt", "code": 400}
            self.answer(400, {"object": "error", "error": error})
        elif prompt == "busy":
            self.answer(429, {"error": {"message": "busy"}}, {"retry-after": "7"})
        elif prompt == "break":
            self.answer(500, "<html>sorry</html>", {"content-type": "text/html"})
        elif prompt == "hang up":
            self.close_connection = True
        elif prompt == "sleep":
            time.sleep(30)
        elif prompt == "die":
            sys.stderr.write("out of memory\n")
            sys.stderr.flush()
            import os

            os._exit(3)
        elif body.get("stream"):
            self.stream(prompt)
        else:
            said = {"path": self.path, "asked": body, "authorization": self.headers.get("authorization")}
            choice = {"index": 0, "text": json.dumps(said), "finish_reason": "stop"}
            self.answer(
                200, {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "x", "choices": [choice]}
            )

    def stream(self, prompt: str) -> None:
        global written
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        many = 3 if prompt == "three" else 100_000
        for at in range(many):
            choice = {"index": 0, "text": f"{at} ", "finish_reason": None}
            chunk = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "x", "choices": [choice]}
            self.event(json.dumps(chunk))
            written += 1
            if prompt == "cut" and at == 2:
                self.close_connection = True
                self.wfile.flush()
                self.connection.close()
                return
            time.sleep(0.01)
        self.event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def event(self, data: str) -> None:
        line = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))
        self.wfile.flush()

    def answer(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        body = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        self.send_response(status)
        for name, one in {"content-type": "application/json", **(headers or {})}.items():
            self.send_header(name, one)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
