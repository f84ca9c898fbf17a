"""Models in git repositories: an ``http(s)`` address whose path ends in ``.git``. The newest commit, without history.

Git itself does the work. A question to the server says which commit that is; if the cache has it, nothing is cloned.
The password goes to git through a pipe of its own making, and never into an argument, which every user of the machine
could read, or an address, which git repeats in its errors.

What is checked out is data: hooks are off, only HTTP is spoken (an address inside a repository could name a program),
and a link that leads out of the repository is refused.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

from mizzen.storage.delivery import deliver
from mizzen.storage.errors import StorageError, TransientError, writing
from mizzen.storage.failures import Failures
from mizzen.storage.provider import Fetched, Order
from mizzen.storage.settings import authorities, stall
from mizzen.storage.source import Remote, Source
from mizzen.storage.uris import kind_of, one_line, parts_of, without_secrets

_CHUNK = 1 << 20
_POINTER = b"version https://git-lfs.github.com/spec/"
_LARGEST_POINTER = 1024
_COMMIT = re.compile(r"([0-9a-f]{40,64})\tHEAD$", re.MULTILINE)
_FAILURES = Failures("Git", "GIT_USERNAME and GIT_PASSWORD")
# Asks for nothing that is not in the environment, and tells it to nobody but git.
_HELPER = '!f() { test "$1" = get && printf "username=%s\\npassword=%s\\n" "$GIT_USERNAME" "$GIT_PASSWORD"; }; f'


def fetch(order: Order) -> Fetched:
    """Check out the newest commit of the repository's main branch; an archive that is alone is unpacked."""
    return deliver(_Git(order.uri, order.environ), order)


class _Git(Source):
    files_at_once = 1

    def __init__(self, uri: str, environ: Mapping[str, str]) -> None:
        if not shutil.which("git", path=environ.get("PATH")):
            raise StorageError("a git repository needs the command git, and there is none in PATH: install it")
        parts = parts_of(uri)
        self._url = without_secrets(uri).rstrip("/")
        user = unquote(parts.username or "") or environ.get("GIT_USERNAME", "")
        # A password in the address is in every log that shows the manifest; it is taken from the variable alone.
        self._has_credentials = bool(environ.get("GIT_PASSWORD"))
        self._environ = _environment(environ, user, self._has_credentials, stall(environ))
        self.identity = f"git {self._url}"
        self.label = self._url
        self._clone: Path | None = None

    def list(self, known: Sequence[Remote], scratch: Path) -> list[Remote]:
        found = _COMMIT.search(self._run("ls-remote", "--", self._url, "HEAD"))
        if not found:
            raise StorageError("there is no commit: the repository is empty, or the address is that of something else")
        commit = found[1]
        if known and all(remote.version == commit for remote in known):
            return list(known)
        self._clone = scratch / "clone"
        shutil.rmtree(self._clone, ignore_errors=True)
        # The branch may have moved on since it was asked; what is cloned is what counts.
        self._run("clone", "--quiet", "--depth=1", "--template=", "--", self._url, str(self._clone))
        commit = self._run("-C", str(self._clone), "rev-parse", "HEAD").strip()
        shutil.rmtree(self._clone / ".git")
        return [_remote(path, self._clone, commit) for path in sorted(_files(self._clone))]

    def read(self, remote: Remote, start: int, stop: int | None) -> Iterator[bytes]:
        if self._clone is None:
            raise TransientError("the clone is gone")
        with writing(self._clone), (self._clone / remote.path).open("rb") as file:
            file.seek(start)
            left = (remote.size or 0) - start if stop is None else stop - start
            while left and (chunk := file.read(min(_CHUNK, left))):
                left -= len(chunk)
                yield chunk

    def _run(self, *arguments: str) -> str:
        with subprocess.Popen(
            ["git", *arguments],
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            try:
                out, errors = process.communicate()
            except BaseException:
                # Git's helpers are processes of their own.
                os.killpg(process.pid, signal.SIGKILL)
                raise
        if process.returncode == 0:
            return out.decode("utf-8", "replace")
        raise self._failure(errors.decode("utf-8", "replace"))

    def _failure(self, text: str) -> StorageError:
        """Git's complaint as a sentence. Its words are the same in every language, because it was told to speak C."""
        lowered = text.lower()
        if "authentication failed" in lowered or "could not read username" in lowered or "error: 401" in lowered:
            missing = "" if self._has_credentials else "the repository asks for a password"
            return _FAILURES.authentication(missing or "user or password are wrong")
        if "error: 403" in lowered:
            return _FAILURES.denied(self._url)
        if "not found" in lowered and "command" not in lowered:
            return _FAILURES.not_found(self._url)
        if "ssl certificate" in lowered or "certificate verification" in lowered or "self-signed" in lowered:
            return StorageError(
                f"Failed to connect to Git endpoint '{self._url}': its certificate is not trusted; authorities are "
                "added with GIT_SSL_CAINFO or CA_BUNDLE_CONFIGMAP_NAME"
            )
        for sign in ("could not resolve", "failed to connect", "couldn't connect", "connection refused", "timed out"):
            if sign in lowered:
                return _FAILURES.unreachable(self._url)
        if "error: 5" in lowered or "error: 429" in lowered:
            return _FAILURES.busy(re.findall(r"error: (\d+)", lowered)[0])
        for sign in ("early eof", "rpc failed", "unexpected disconnect", "operation too slow", "remote end hung up"):
            if sign in lowered:
                return TransientError(f"the transfer of {self._url} was cut off")
        lines = [line for line in text.splitlines() if line.startswith(("fatal:", "error:"))] or text.splitlines()
        return _FAILURES.other(one_line(lines[-1] if lines else "it says nothing"))


def _environment(environ: Mapping[str, str], user: str, with_credentials: bool, patience: float) -> dict[str, str]:
    """What git is told. Settings come by variables, because a user's own configuration goes on to count (a proxy)."""
    settings = {
        "core.hooksPath": "/dev/null",
        "http.lowSpeedLimit": "1",
        "http.lowSpeedTime": str(max(int(patience), 1)),
        "advice.detachedHead": "false",
    }
    if with_credentials:
        settings["credential.helper"] = _HELPER
    found = {
        **environ,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS": "",
        "GIT_ALLOW_PROTOCOL": "http:https",
        "LC_ALL": "C",
        "LANGUAGE": "C",
        "GIT_USERNAME": user or "git",
        "GIT_CONFIG_COUNT": str(len(settings)),
    }
    for number, (name, value) in enumerate(settings.items()):
        found[f"GIT_CONFIG_KEY_{number}"], found[f"GIT_CONFIG_VALUE_{number}"] = name, value
    authority = authorities(environ, "GIT_SSL_CAINFO")
    return found | ({"GIT_SSL_CAINFO": authority} if authority else {})


def _files(clone: Path) -> Iterator[str]:
    """The paths of all files; links are followed, so that what they lead to is there twice."""
    for place, folders, names in os.walk(clone, followlinks=True):
        for name in (*folders, *names):
            path = Path(place, name)
            relative = path.relative_to(clone).as_posix()
            if path.is_symlink():
                _check_link(path, relative, clone)
            if path.is_file():
                yield relative


def _check_link(path: Path, relative: str, clone: Path) -> None:
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):
        raise StorageError(f"{relative!r} is a link to {str(path.readlink())!r}, and that is not there") from None
    here = path.parent.resolve()
    if not target.is_relative_to(clone.resolve()):
        raise StorageError(f"{relative!r} is a link that leads out of the repository: nothing of it is taken")
    if target == here or target in here.parents:
        raise StorageError(f"{relative!r} is a link to a folder around it, so that there would be no end")


def _remote(path: str, clone: Path, commit: str) -> Remote:
    file = clone / path
    found = file.stat()
    if found.st_size < _LARGEST_POINTER and file.read_bytes().startswith(_POINTER):
        raise StorageError(f"{path} is kept by Git LFS, and this machine's git cannot fetch it: install git-lfs")
    return Remote(path, found.st_size, commit, archive=kind_of(path), executable=bool(found.st_mode & 0o100))
