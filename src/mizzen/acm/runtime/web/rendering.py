"""From values to HTML: the templates, and the few words that they have beyond Jinja's own."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

HERE = Path(__file__).parent

PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

MASK = "••••••••"
# What the store holds of a sensitive value.
_ENCRYPTED = "ENCRYPTED:"

_GOOD = frozenset({"PRIMED", "DEPLOYED", "ON_LINE", "LOCKED", "UNLOCKED", "UP", "READY"})
_QUIET = frozenset({"COMMISSIONED", "UNDEPLOYED", "NONE", "DELETED"})


@cache
def environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "words": words,
        "tone": tone,
        "moment": moment,
        "stamp": stamp,
        "pretty": pretty,
        "short": short,
        "tail": tail,
        "link": link,
        "mask": mask,
        "prose": prose,
        "anchor": anchor,
    }
    found.globals["now"] = time.time
    return found


def page(request: Request, name: str, context: dict[str, Any], status: int = 200) -> HTMLResponse:
    """A whole page, or its living part alone for htmx.

    Args:
        name: of the template; ``<name>_part.html`` is the part.
    """
    part = "HX-Request" in request.headers
    template = environment().get_template(f"{name}_part.html" if part else f"{name}.html")
    headers = PAGE_HEADERS | {"Vary": "HX-Request"}
    return HTMLResponse(template.render(context | {"part": part}), status, headers)


def words(state: str | None) -> str:
    """A state as it is read: ``UPDATE_REVERTING`` is ``update reverting``."""
    return (state or "").replace("ON_LINE", "online").replace("OFF_LINE", "offline").replace("_", " ").lower()


def tone(state: str | None) -> str:
    """How a state looks: ``good``, ``quiet``, ``bad`` or ``busy``."""
    if state in _GOOD:
        return "good"
    if state in _QUIET or not state:
        return "quiet"
    return "bad" if state in ("FAILED", "TIMEOUT", "OFF_LINE", "DOWN") else "busy"


def moment(text: str | None) -> float | None:
    """Seconds since the epoch of a ``lastMsg`` (``yyyy-MM-dd HH:mm:ss.f``, UTC) or of ISO 8601."""
    if not text:
        return None
    whole, point, rest = text.replace("T", " ").partition(".")
    zone = rest.lstrip("0123456789")
    digits = rest[: len(rest) - len(zone)]
    try:
        found = datetime.fromisoformat(whole + (zone if point else "")).replace(
            microsecond=int((digits + "000000")[:6])
        )
    except ValueError:
        return None
    micros = int((digits + "000000")[:6])
    return found.replace(microsecond=micros, tzinfo=found.tzinfo or UTC).timestamp()


def stamp(seconds: float) -> str:
    """For who has no script; the others see an age."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def pretty(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def short(identity: str | None) -> str:
    """As much of a UUID as tells it from its neighbours."""
    return (identity or "")[:8]


def tail(name: str | None) -> str:
    """The last part of a dotted name, by which people know it."""
    return (name or "").rpartition(".")[2]


def link(value: Any) -> str:
    """The value if a browser may be sent there, otherwise nothing."""
    if not isinstance(value, str):
        return ""
    try:
        split = urlsplit(value)
    except ValueError:
        return ""
    return value if split.scheme in ("http", "https") and split.netloc else ""


def mask(value: Any, sensitive: frozenset[str] = frozenset()) -> Any:
    """The value without what is not for eyes: what is stored encrypted, and members with these names."""
    if isinstance(value, dict):
        return {key: MASK if key in sensitive and one else mask(one, sensitive) for key, one in value.items()}
    if isinstance(value, list):
        return [mask(one, sensitive) for one in value]
    return MASK if isinstance(value, str) and value.startswith(_ENCRYPTED) else value


def prose(text: str) -> list[tuple[str, bool]]:
    """A sentence in its parts, with whether each is code (between backticks)."""
    return [(part, at % 2 == 1) for at, part in enumerate(text.split("`"))]


def anchor(text: str) -> str:
    """An id for an element of the page, from any text."""
    return "".join(sign if sign.isalnum() and sign.isascii() else "-" for sign in text)
