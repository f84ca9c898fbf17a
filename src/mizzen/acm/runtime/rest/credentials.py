"""Who may come in: one user, whose name and password are compared in a time that tells nothing."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from mizzen.acm.runtime.rest.settings import Settings


class Credentials:
    """Raises: NoPassword"""

    def __init__(self, settings: Settings) -> None:
        settings.check()
        self.needed = settings.basic_auth
        self.user = settings.user
        # Digests are of one length whatever was given, so comparing them does not tell the password's.
        self._digest = _digest(settings.user, settings.password)

    def match(self, user: str, password: str) -> bool:
        return not self.needed or hmac.compare_digest(self._digest, _digest(user, password))

    def admit(self, authorization: str | None) -> bool:
        """Whether a request with this ``Authorization`` may go on."""
        if not self.needed:
            return True
        scheme, _, given = (authorization or "").partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            user, colon, password = base64.b64decode(given.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        return bool(colon) and self.match(user, password)


def _digest(user: str, password: str) -> bytes:
    parts = (hashlib.sha256(part.encode("utf-8", "surrogatepass")).digest() for part in (user, password))
    return hashlib.sha256(b"".join(parts)).digest()
