"""The address of a model: its scheme, the file name it ends in and what that promises, and how it may be shown.

Addresses carry secrets: a user and password before the host, a signature in the query of a presigned one. Whatever is
printed or raised goes through :func:`shown`.
"""

from __future__ import annotations

import binascii
import re
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

from mizzen.storage.errors import StorageError

Kind = Literal["tar", "zip"]

_ARCHIVES: dict[str, Kind] = {
    ".tar": "tar",
    ".tar.gz": "tar",
    ".tgz": "tar",
    ".tar.bz2": "tar",
    ".tbz2": "tar",
    ".tar.xz": "tar",
    ".txz": "tar",
    ".zip": "zip",
}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def scheme_of(uri: str) -> str:
    """The scheme in lower case, or an empty string for a plain path."""
    match = _SCHEME.match(uri)
    return match[1].lower() if match else ""


def shown(uri: str) -> str:
    """``uri`` on one line without what may be secret.

    User information and every value in the query are masked: which query parameters hold a signature differs by
    provider, and their names alone are enough to recognise the address. The fragment is left out.
    """
    scheme = scheme_of(uri)
    if scheme not in ("", "file"):
        uri = _masked(scheme, uri)
    return one_line(uri)


def without_secrets(url: str) -> str:
    """An ``http(s)`` address without its user, password and fragment, which say nothing about what it leads to."""
    parts = parts_of(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="").geturl()


def one_line(text: str) -> str:
    """``text`` with everything that a terminal or a log line would not print as it stands written as an escape."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def parts_of(url: str) -> SplitResult:
    """The parts of an ``http(s)`` address. Raises :class:`StorageError` if it has no host or an impossible port."""
    try:
        parts = urlsplit(url)
        if parts.hostname and parts.port != 0:
            return parts
    except ValueError:
        pass
    raise StorageError("the address has no valid host and port")


def file_name(url: str) -> str:
    """The decoded last segment of the path of an ``http(s)`` address; empty when that ends in a slash or is missing."""
    return unquote(parts_of(url).path.rpartition("/")[2])


def basic_authorization(parts: SplitResult) -> str:
    """The ``Authorization`` header of the user and password in an address; empty when there are none."""
    if parts.username is None:
        return ""
    user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return "Basic " + binascii.b2a_base64(user.encode(), newline=False).decode()


def kind_of(name: str) -> Kind | None:
    """The kind of archive that a file name promises."""
    lowered = name.lower()
    return next((kind for suffix, kind in _ARCHIVES.items() if lowered.endswith(suffix)), None)


def _masked(scheme: str, uri: str) -> str:
    address = uri[len(scheme) + 3 :]
    rest, mark, query = address.partition("#")[0].partition("?")
    authority, slash, path = rest.partition("/")
    _, at, host = authority.rpartition("@")
    _, colon, port = authority.rpartition("]")[2].partition(":")
    if at:
        authority = f"***@{host}"
    elif colon and not port.isdigit() and "@" in address:
        # "https://user:pass/word@host/": a character that should have been escaped has cut the password in two.
        return f"{scheme}://***"
    if mark:
        query = "&".join(f"{name}=***" if equals else "***" for name, equals, _ in _pairs(query))
    return f"{scheme}://{authority}{slash}{path}{mark}{query}"


def _pairs(query: str) -> list[tuple[str, str, str]]:
    return [pair.partition("=") for pair in query.split("&")]
