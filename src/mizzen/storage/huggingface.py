"""Models of the Hugging Face hub: ``hf://owner/model``, with a branch, tag or commit after a colon if need be.

The hub lists the files of a commit with the sum of each, and serves them over plain HTTP, which is all that is needed:
its own library would bring a second cache, and its own ideas of progress and retries. A file is what its sum says, so
models that share files share them in the cache.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mizzen.storage.connection import Connector
from mizzen.storage.delivery import deliver
from mizzen.storage.errors import StorageError
from mizzen.storage.failures import Failures
from mizzen.storage.provider import Fetched, Order
from mizzen.storage.rest import answer, byte_range, part, refused
from mizzen.storage.settings import stall
from mizzen.storage.source import Remote, Source
from mizzen.storage.uris import kind_of

_HUB = "https://huggingface.co"
_NEXT = re.compile(r'<([^<>]+)>\s*;\s*rel="?next"?')
_FAILURES = Failures("Hugging Face", "HF_TOKEN, or the file that `hf auth login` writes")


def fetch(order: Order) -> Fetched:
    """Download all files of the model."""
    repository, revision = parsed(order.uri)
    return deliver(_Hub(repository, revision, order.environ), order)


def parsed(uri: str) -> tuple[str, str]:
    """The repository and the revision of an address.

    Raises:
        StorageError: it is not written so.
    """
    text = uri.partition("://")[2].rstrip("/")
    # KServe writes a colon, the hub's own tools an at sign; neither is possible in a name.
    cut = min((place for sign in ":@" if (place := text.find(sign)) >= 0), default=len(text))
    repository, revision = text[:cut], text[cut + 1 :]
    owner, slash, model = repository.partition("/")
    if not slash or "/" in model:
        raise StorageError("Invalid Hugging Face URI format. Expected 'hf://owner/model[:revision]'")
    if not owner or not model or (cut < len(text) and not revision):
        raise StorageError("a Hugging Face URI needs an owner and a model, and a revision if there is a colon")
    return repository, revision or "main"


class _Hub(Source):
    parts_at_once = 4

    def __init__(self, repository: str, revision: str, environ: Mapping[str, str]) -> None:
        self._repository = repository
        self._revision = revision
        self._hub = (environ.get("HF_ENDPOINT") or _HUB).rstrip("/")
        token = _token(environ)
        self._secrets = {"Authorization": f"Bearer {token}"} if token else {}
        self._connector = Connector(environ, stall(environ), "Hugging Face")
        self.identity = f"hf {self._hub} {repository} {revision}"
        self.label = f"hf://{repository}"

    def list(self, known: Sequence[Remote], scratch: Path) -> list[Remote]:
        model = f"{self._hub}/api/models/{quote(self._repository)}"
        found, _ = self._asked(f"{model}/revision/{quote(self._revision, safe='')}")
        try:
            commit = str(found["sha"])
            return [
                _remote(each, commit)
                for page in self._pages(f"{model}/tree/{quote(commit, safe='')}?recursive=true&expand=false")
                for each in page
                if each["type"] == "file"
            ]
        except (KeyError, TypeError, ValueError):
            raise _FAILURES.other("its answer lists no files: is HF_ENDPOINT right?") from None

    def read(self, remote: Remote, start: int, stop: int | None) -> Iterator[bytes]:
        if stop == start:
            return
        url = f"{self._hub}/{quote(self._repository)}/resolve/{remote.key}/{quote(remote.path)}"
        response, _ = self._connector.get(url, headers=byte_range(start, stop, remote.size), secrets=self._secrets)
        if response.status not in (200, 206):
            raise self._refused(response, f"{self._repository}/{remote.path}")
        yield from part(response, remote, start, stop, self._connector.stall)

    def _pages(self, url: str) -> Iterator[Any]:
        """The pages of a long answer; each names the next one in its header."""
        while url:
            # The token must not follow a link to somebody else.
            if not url.startswith(f"{self._hub}/"):
                raise _FAILURES.other("its list goes on at another server")
            page, url = self._asked(url)
            yield page

    def _asked(self, url: str) -> tuple[Any, str]:
        """The answer, and the address of its next page, if any."""
        response, _ = self._connector.get(url, secrets=self._secrets)
        if response.status != 200:
            raise self._refused(response, self._repository)
        following = _NEXT.search(response.headers.get("Link", ""))
        return answer(response, self._connector.stall, _FAILURES), following[1] if following else ""

    def _refused(self, response: Any, what: str) -> StorageError:
        code = response.headers.get("X-Error-Code", "")
        if code == "GatedRepo":
            response.close()
            return StorageError(
                f"Access denied to Hugging Face resource '{self._repository}'. It is gated: accept its conditions at "
                f"{self._hub}/{self._repository}, and set HF_TOKEN to a token of yours"
            )
        if code == "RevisionNotFound":
            response.close()
            return _FAILURES.not_found(self._repository, f"It has no revision '{self._revision}'")
        if code == "RepoNotFound" or (response.status == 401 and not self._secrets):
            response.close()
            token = "HF_TOKEN may not see it" if self._secrets else "no HF_TOKEN is set"
            return _FAILURES.not_found(self._repository, f"There is no such model, or it is private and {token}")
        return refused(response, _FAILURES, what, anonymous=not self._secrets)


def _remote(found: Mapping[str, Any], commit: str) -> Remote:
    path, large = str(found["path"]), found.get("lfs")
    digest = f"sha256:{large['oid']}" if large else f"git:{found['oid']}"
    size = int(large["size"] if large else found["size"])
    return Remote(path, size, digest, digest, key=commit, archive=kind_of(path))


def _token(environ: Mapping[str, str]) -> str:
    """The token to show, or empty. The file is the one that the hub's own tools keep it in."""
    given = environ.get("HF_TOKEN", "").strip()
    if given:
        return given
    home = environ.get("HF_HOME") or f"{environ.get('XDG_CACHE_HOME') or '~/.cache'}/huggingface"
    try:
        return Path(environ.get("HF_TOKEN_PATH") or f"{home}/token").expanduser().read_text().strip()
    except (OSError, RuntimeError, UnicodeDecodeError):
        return ""
