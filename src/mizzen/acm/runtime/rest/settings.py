"""What an installation decides about the API and the pages."""

from __future__ import annotations

from msgspec import Struct

from mizzen.errors import MizzenError

# Where ONAP's runtime has everything; clients have it written down.
PREFIX = "/onap/policy/clamp/acm"


class NoPassword(MizzenError):
    """There is no built-in one."""

    def __init__(self) -> None:
        super().__init__("The runtime's API needs a user and a password: give both, or turn basic_auth off.")


class Tls(Struct, frozen=True):
    """PEM files. ``key`` may be in the certificate's."""

    certificate: str
    key: str | None = None


class Settings(Struct, frozen=True, kw_only=True):
    """
    Attributes:
        basic_auth: without it anyone who reaches the port may do everything, on the pages too.
        secret: signs sessions of the pages; derived from user and password where it is empty, so that several
            replicas know each other's and a new password ends them all.
        session_seconds: how long a sign-in holds.
        body_limit: bytes of the largest body that is read.
    """

    user: str = ""
    password: str = ""
    basic_auth: bool = True
    secret: bytes = b""
    session_seconds: int = 12 * 3600
    body_limit: int = 5 * 1024 * 1024

    def check(self) -> Settings:
        """Raises: NoPassword"""
        if self.basic_auth and not (self.user and self.password):
            raise NoPassword
        return self
