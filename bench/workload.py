"""Requests to send, and what must come back: a JSON file of items, shared by the load generators.

``[{"path", "body" or "body64", "headers", "status", "expect"}]``: ``expect`` is the list of values that the first
output (V2) or ``predictions`` (V1) must have, or ``{"tail": N}``: the last N bytes of the answer must be those of the
request, as an identity model gives raw tensors back. Without it only the status counts.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any


class Item:
    """One request."""

    def __init__(self, described: dict[str, Any]) -> None:
        self.path: str = described["path"]
        self.body = base64.b64decode(described["body64"]) if "body64" in described else described["body"].encode()
        self.headers: dict[str, str] = described.get("headers", {"Content-Type": "application/json"})
        self.expect = described.get("expect")
        self.status: int = described.get("status", 200)
        self.status_line = b"HTTP/1.1 %d" % self.status

    def encode(self, host: str) -> bytes:
        """As it goes over the wire."""
        fields = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        return (
            f"POST {self.path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: load\r\nAccept: */*\r\n"
            f"{fields}Content-Length: {len(self.body)}\r\n\r\n"
        ).encode() + self.body

    def wrong(self, body: bytes) -> str:
        """What is wrong with an answer; empty if nothing is."""
        if self.expect is None:
            return ""
        if isinstance(self.expect, dict):
            count = self.expect["tail"]
            return "" if body[-count:] == self.body[-count:] else "the answer does not end in the tensor that was sent"
        answer = json.loads(body)
        got = answer["predictions"] if "predictions" in answer else answer["outputs"][0]["data"]
        return "" if same(got, self.expect) else f"expected {self.expect}, got {got}"[:300]


def read(file: Path) -> list[Item]:
    return [Item(described) for described in json.loads(file.read_text())]


def same(got: Any, expected: Any) -> bool:
    if isinstance(expected, list):
        return len(got) == len(expected) and all(map(same, got, expected))
    if isinstance(expected, float):
        return abs(got - expected) <= 1e-5 * max(1.0, abs(expected))
    return bool(got == expected)
