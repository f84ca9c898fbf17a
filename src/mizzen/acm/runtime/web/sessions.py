"""Who is signed in: a cookie that says so, signed; and the tokens that make a form one of ours.

Nothing is stored, so any replica takes another's cookie. What is signed out here stays out on this process even if
somebody kept the cookie.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from mizzen.acm.runtime.rest.settings import Settings


class Session(Struct, frozen=True):
    """Attributes:
    expires: seconds since the epoch.
    """

    user: str
    nonce: str
    expires: int


class Sessions:
    """Attributes:
    cookie: the name under which a browser keeps its session.
    door: the same for the form to sign in, which has a token too. Somebody who comes by a link from elsewhere brings no
        strict cookie, and must not lose the session that he has.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._seconds = settings.session_seconds
        self._clock = clock
        self._ended: dict[str, int] = {}
        # Slow on purpose: a cookie must not be a way to guess the password behind it.
        salt = f"mizzen acm session {settings.user}".encode()
        given = settings.secret or settings.password.encode() or secrets.token_bytes(32)
        self._key = hashlib.scrypt(given, salt=salt, n=2**14, r=8, p=1, dklen=32)
        # Browsers tell hosts apart and not ports: two runtimes on one must not take each other's for their own.
        self.cookie = f"mizzen_acm_{self._sign(b'name', b'').hex()[:8]}"
        self.door = f"{self.cookie}_door"

    def begin(self, user: str) -> Session:
        return Session(user, secrets.token_urlsafe(16), int(self._clock()) + self._seconds)

    def end(self, session: Session) -> None:
        now = self._clock()
        self._ended = {nonce: expires for nonce, expires in self._ended.items() if expires > now}
        self._ended[session.nonce] = session.expires

    def text(self, session: Session) -> str:
        body = msgspec.json.encode(session)
        return f"{_encode(body)}.{_encode(self._sign(b'session', body))}"

    def read(self, text: str | None) -> Session | None:
        """None for what is not ours, or is over."""
        body, _, signature = (text or "").partition(".")
        try:
            told, signed = _decode(body), _decode(signature)
        except (binascii.Error, ValueError):
            return None
        if not hmac.compare_digest(signed, self._sign(b"session", told)):
            return None
        session = msgspec.json.decode(told, type=Session)
        return None if session.expires <= self._clock() or session.nonce in self._ended else session

    def token(self, session: Session) -> str:
        """What each form carries."""
        return _encode(self._sign(b"form", session.nonce.encode()))

    def genuine(self, session: Session, token: object) -> bool:
        return isinstance(token, str) and hmac.compare_digest(self.token(session).encode(), token.encode())

    def _sign(self, what: bytes, body: bytes) -> bytes:
        return hmac.digest(self._key, what + b"\0" + body, "sha256")

    def keep(self, request: Request, response: Response, session: Session, name: str = "") -> None:
        response.set_cookie(
            name or self.cookie,
            self.text(session),
            max_age=self._seconds,
            path=f"{request.scope.get('root_path', '')}/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )

    def forget(self, request: Request, response: Response, name: str = "") -> None:
        response.delete_cookie(
            name or self.cookie,
            path=f"{request.scope.get('root_path', '')}/",
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )


def _encode(body: bytes) -> str:
    return base64.urlsafe_b64encode(body).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
