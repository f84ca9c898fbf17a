"""Sensitive values: encrypted where they are kept, in clear only on their way to participants, masked wherever shown.

A value is encrypted by AES-GCM under a key derived from a configured secret (PBKDF2 with SHA-256, 65536 rounds) and
stands as ``ENCRYPTED:`` and base64 of salt, nonce and ciphertext. ONAP's runtime has its pass phrase in its code; here
there is none, and encryption without a secret is refused at start.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from mizzen.errors import MizzenError

PREFIX = "ENCRYPTED:"
MASK = "******"

_ROUNDS = 65536
_SALT, _NONCE, _TAG = 16, 12, 16


class Undecipherable(MizzenError):
    """A value that was encrypted with another key."""


class Cipher:
    """Encrypts and decrypts single values.

    Args:
        secret: the same for all runtimes that share a database, for as long as it has encrypted values.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        # One salt for a process: a key takes some 20 ms to derive.
        self._salt = os.urandom(_SALT)
        self._key = lru_cache(maxsize=256)(self._derived)

    def encrypt(self, value: str) -> str:
        """What is encrypted already, as REST shows it, stays as it is."""
        if self._opened(value) is not None:
            return value
        nonce = os.urandom(_NONCE)
        sealed = AESGCM(self._key(self._salt)).encrypt(nonce, value.encode(), None)
        return PREFIX + base64.b64encode(self._salt + nonce + sealed).decode()

    def decrypt(self, value: str) -> str:
        """The clear value; of what was never encrypted, itself.

        Raises:
            Undecipherable: the key is not the one that it was encrypted with.
        """
        opened = self._opened(value)
        if opened is not None:
            return opened
        if _sealed(value) is not None:
            raise Undecipherable(
                "a sensitive property was encrypted with another key; configure the key that the database was used with"
            )
        return value

    def _opened(self, value: str) -> str | None:
        raw = _sealed(value)
        if raw is None:
            return None
        salt, nonce, sealed = raw[:_SALT], raw[_SALT : _SALT + _NONCE], raw[_SALT + _NONCE :]
        try:
            return AESGCM(self._key(salt)).decrypt(nonce, sealed, None).decode()
        except (InvalidTag, UnicodeDecodeError):
            return None

    def _derived(self, salt: bytes) -> bytes:
        return PBKDF2HMAC(algorithm=SHA256(), length=32, salt=salt, iterations=_ROUNDS).derive(self._secret)


def texts(value: Any, change: Callable[[str], str]) -> Any:
    """A JSON value with every text in it changed; keys are left."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: texts(member, change) for key, member in value.items()}
    if isinstance(value, list):
        return [texts(member, change) for member in value]
    return value


def is_sealed(value: str) -> bool:
    """Whether a text may be an encrypted value."""
    return _sealed(value) is not None


def masked(value: Any, secrets: Collection[str] = ()) -> Any:
    """What may be shown: without what is encrypted, and without the values given."""
    return texts(value, lambda text: MASK if text.startswith(PREFIX) or text in secrets else text)


def _sealed(value: str) -> bytes | None:
    """What stands behind the prefix, if it may be an encrypted value."""
    if not value.startswith(PREFIX):
        return None
    try:
        raw = base64.b64decode(value[len(PREFIX) :], validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) >= _SALT + _NONCE + _TAG else None
