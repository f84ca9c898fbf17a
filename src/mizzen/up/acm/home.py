"""Where a set for automation compositions keeps what it keeps: a folder in the home of the installation."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import msgspec

from mizzen.up.errors import UpError
from mizzen.up.home import Home


class Credentials(msgspec.Struct, frozen=True):
    """Who may use the runtime."""

    user: str
    password: str


class AcmHome:
    """Paths below ``acm`` in an installation's home."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.root = home.root / "acm"

    @classmethod
    def from_environment(cls) -> AcmHome:
        return cls(Home.from_environment())

    def make(self) -> None:
        """
        Raises:
            UpError: the folder cannot be made.
        """
        try:
            for folder in (self.root, self.logs):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UpError(f"{self.root} cannot be made: {error.strerror} ({error.filename})") from error
        for folder in (self.root, self.logs):
            if not os.access(folder, os.W_OK | os.X_OK):
                raise UpError(f"{folder} is not ours to write in; name another home with MIZZEN_HOME")

    @property
    def logs(self) -> Path:
        """One log a part."""
        return self.root / "logs"

    @property
    def database(self) -> Path:
        return self.root / "runtime.db"

    @property
    def key(self) -> Path:
        """The secret that sensitive properties are encrypted with."""
        return self.root / "encryption.key"

    @property
    def lock(self) -> Path:
        """Held by the supervisor while it lives."""
        return self.root / "up.lock"

    @property
    def state(self) -> Path:
        return self.root / "state.json"

    @property
    def credentials(self) -> Path:
        """Who may use the runtime, for this user's eyes only."""
        return self.root / "credentials.json"

    def given_credentials(self, user: str | None, password: str | None) -> Credentials:
        """The credentials to start with: those that are named, kept for the next time; else those kept; else new ones.

        Raises:
            UpError: what was kept cannot be read.
        """
        kept = self.kept_credentials()
        name = user or (kept.user if kept else "admin")
        word = password or (kept.password if kept and kept.user == name else secrets.token_urlsafe(18))
        found = Credentials(name, word)
        if found != kept:
            write_secret(self.credentials, msgspec.json.encode(found))
        return found

    def kept_credentials(self) -> Credentials | None:
        """
        Raises:
            UpError: the file is not what was written there.
        """
        try:
            return msgspec.json.decode(self.credentials.read_bytes(), type=Credentials)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise UpError(f"{self.credentials} cannot be read ({error}); remove it, and a new one is made") from error

    def encryption_key(self) -> Path:
        """The file of the secret, made when there is none."""
        if not self.key.exists():
            write_secret(self.key, secrets.token_urlsafe(32).encode())
        return self.key


def already_running(home: AcmHome) -> UpError:
    return UpError(f"a set runs in {home.root} already; `mizzen acm down` ends it")


def write_secret(file: Path, content: bytes) -> None:
    """Write a file that only this user may read, in one step.

    Raises:
        UpError: the disk is full, or the folder is not ours.
    """
    fresh = file.with_name(file.name + ".new")
    try:
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.write(content)
        fresh.replace(file)
    except OSError as error:
        raise UpError(f"{file} cannot be written: {error.strerror}") from error
