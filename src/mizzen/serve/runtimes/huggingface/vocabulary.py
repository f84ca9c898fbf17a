"""What single tokens stand for: their text, and their bytes, for log-probabilities.

Decoding a token alone loses what tokenizers write into it: a byte that is part of a character, a leading space. How to
read it depends on the tokenizer's kind, which its own decoder tells.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


def byte_alphabet() -> dict[str, int]:
    """The characters that byte-level tokenizers write for bytes: printable ones as they are, others from U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    alphabet = {chr(byte): byte for byte in printable}
    others = (byte for byte in range(256) if byte not in set(printable))
    return alphabet | {chr(0x100 + at): byte for at, byte in enumerate(others)}


class Vocabulary:
    """Args:
    tokenizer: of transformers.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._special = set(tokenizer.all_special_ids)
        kinds = _decoders(tokenizer)
        self._alphabet = byte_alphabet() if "ByteLevel" in kinds else None
        self._spaced = bool({"Metaspace", "ByteFallback"} & kinds)
        self.read = lru_cache(maxsize=65536)(self._read)

    def _read(self, token: int) -> tuple[str, bytes]:
        """A token's text, with U+FFFD for what is no whole character, and its bytes."""
        written = self._tokenizer.convert_ids_to_tokens(token)
        if not isinstance(written, str):
            return "", b""  # an id that the vocabulary leaves out
        if token in self._special:
            return written, written.encode()
        if self._alphabet is not None and all(sign in self._alphabet for sign in written):
            data = bytes(self._alphabet[sign] for sign in written)
        elif self._spaced:
            byte = _BYTE.fullmatch(written)
            data = bytes([int(byte[1], 16)]) if byte else written.replace("\u2581", " ").encode()
        else:
            data = self._tokenizer.decode([token]).encode()
        return data.decode("utf-8", "replace"), data


def _decoders(tokenizer: Any) -> set[str]:
    """The kinds of decoder that a fast tokenizer is made of; none for one that is Python."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return {"Metaspace"} if hasattr(tokenizer, "sp_model") else set()
    decoder = json.loads(backend.to_str()).get("decoder") or {}
    return {part.get("type", "") for part in [decoder, *decoder.get("decoders", ())]}
