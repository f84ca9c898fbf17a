"""A page to read the server by and to try it: its models, what they take, a request for each, and all routes.

It is one document without anything from elsewhere, so that it works on a machine without a network and behind any
gateway that passes a path through; what the page may do is fenced in by a policy that names its own style and script.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Collection, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mizzen.http.exchange import Exchange
from mizzen.http.headers import encode
from mizzen.serve import about
from mizzen.serve.generation.model import TOKENS, GenerativeModel
from mizzen.serve.model import Servable, TensorMetadata
from mizzen.serve.openapi.document import document
from mizzen.serve.openapi.parts import Json
from mizzen.serve.openapi.trials import trials
from mizzen.serve.protocols.rest import reply
from mizzen.serve.routing import Protocol, Router

if TYPE_CHECKING:
    from mizzen.serve.repository import Repository
    from mizzen.serve.served import Served

_HERE = Path(__file__).parent
_MOST_ROWS = 14


class Reference:
    """The document at ``/openapi.json`` and, if there is to be one, the page at ``/docs``.

    Args:
        protocols: whose routes are told of.
    """

    def __init__(self, repository: Repository, protocols: Sequence[Protocol], *, page: bool) -> None:
        self._repository = repository
        self._protocols = protocols
        self._page = page
        self._style = self._script = self._policy = ""

    def register(self, router: Router) -> None:
        router.add("GET", "/openapi.json", self.document)
        if self._page:
            router.add("GET", "/docs", self.page)

    def document(self, exchange: Exchange) -> None:
        reply(exchange, self._document())

    def _document(self) -> Json:
        return document(self._protocols, self._repository.names)

    def page(self, exchange: Exchange) -> None:
        if not self._policy:
            self._style = (_HERE / "page.css").read_text()
            self._script = (_HERE / "page.js").read_text()
            self._policy = (
                f"default-src 'none'; connect-src 'self'; style-src '{_hash(self._style)}'; "
                f"script-src '{_hash(self._script)}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
            )
        text = render(list(self._repository), self._document(), self._style, self._script)
        head = encode(
            [
                (b"content-type", b"text/html; charset=utf-8"),
                (b"content-security-policy", self._policy.encode()),
                (b"x-content-type-options", b"nosniff"),
                (b"cache-control", b"no-store"),
            ]
        )
        exchange.respond(200, text.encode("utf-8", "replace"), head)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def render(models: Sequence[Served], told: Json, style: str, script: str) -> str:
    """The page."""
    ready = sum(served.ready or served.dormant for served in models)
    counted = f"{ready} of {len(models)} models can answer" if len(models) != 1 else ""
    cards = "".join(_model(served, told["paths"]) for served in models)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(told['info']['title'])}</title><style>{style}</style></head><body>"
        f"<header><h1>{escape(told['info']['title'])}</h1>"
        f"<p>{escape(about.NAME)} {escape(about.VERSION)}{', ' + counted if counted else ''}</p></header><main>"
        f"<h2>Models</h2>{cards or _EMPTY}{_routes(told)}</main>"
        '<footer>The same for programs: <a href="openapi.json">openapi.json</a>. '
        'Numbers: <a href="metrics">metrics</a>.</footer>'
        f"<script>{script}</script></body></html>"
    )


_EMPTY = (
    '<div class="card none">No model is served yet. Load one at <code>/v2/repository/models/NAME/load</code>.</div>'
)


_ASLEEP = "asleep: the next request loads it"


def _model(served: Served, paths: Collection[str]) -> str:
    model = served.model
    # One that the next request loads is as good as there.
    good = served.ready or served.dormant
    state = "ready" if served.ready else _ASLEEP if served.dormant else served.state.value.lower()
    more = " · ".join(part for part in (model.platform, f"version {model.version}" if model.version else "") if part)
    head = (
        f'<div class="head"><h3>{escape(model.name)}</h3>'
        f'<span class="state {"ready" if good else ""}">{escape(state)}</span>'
        f'<span class="more">{escape(more)}</span></div>'
    )
    if not good:
        return f'<section class="card">{head}<p class="reason">{escape(served.reason)}</p></section>'
    told = _told(model)
    return f'<section class="card">{head}<div class="columns"><div>{told}</div>{_form(served, paths)}</div></section>'


def _told(model: Servable) -> str:
    """What a model takes and gives."""
    if not isinstance(model, GenerativeModel):
        return _tensors("Takes", model.inputs) + _tensors("Gives", model.outputs)
    takes = "A text or a conversation" + (", or token ids." if TOKENS in model.features else ".")
    heeded = sorted(model.features - {TOKENS})
    beside = f'<p class="label">Heeds</p><p class="none">{escape(", ".join(heeded))}</p>' if heeded else ""
    return (
        f'<p class="label">Takes</p><p class="none">{takes}</p>'
        f'<p class="label">Gives</p><p class="none">Text, in one piece or as a stream.</p>{beside}'
    )


def _tensors(label: str, tensors: Sequence[TensorMetadata]) -> str:
    if not tensors:
        return f'<p class="label">{label}</p><p class="none">It does not tell.</p>'
    rows = "".join(
        f"<tr><td>{escape(one.name)}</td><td>{escape(one.datatype)}</td><td>{_shape(one.shape)}</td></tr>"
        f"{_columns(one)}"
        for one in tensors
    )
    return f'<p class="label">{label}</p><table class="tensors">{rows}</table>'


def _shape(shape: Sequence[int]) -> str:
    return " × ".join("any" if size < 0 else str(size) for size in shape) or "one value"


def _columns(one: TensorMetadata) -> str:
    names = (one.parameters or {}).get("columns")
    if not isinstance(names, list):
        return ""
    return f'<tr><td colspan="3" class="names">{escape(", ".join(map(str, names)))}</td></tr>'


def _form(served: Served, paths: Collection[str]) -> str:
    offered = trials(served.model, paths)
    tabs = "".join(
        f'<button type="button" role="tab" aria-selected="{str(at == 0).lower()}">{escape(one.label)}</button>'
        for at, one in enumerate(offered)
    )
    first = offered[0]
    rows = min(max(one.body.count("\n") + 1 for one in offered), _MOST_ROWS)
    requests = json.dumps(msgspec.to_builtins(offered), ensure_ascii=False)
    return (
        f'<form class="try" data-requests="{escape(requests)}">'
        f'<div class="tabs" role="tablist" aria-label="Protocol">{tabs}</div>'
        f'<code class="where">POST /{escape(first.path)}</code>'
        f'<textarea spellcheck="false" rows="{rows}" aria-label="Request to {escape(served.model.name)}">'
        f"\n{escape(first.body)}</textarea>"
        '<p class="none">The values are made up: put your own in.</p>'
        '<div class="act"><button class="send" type="submit">Send</button>'
        '<button class="copy" type="button">Copy as curl</button>'
        '<span class="status" role="status"></span></div><pre hidden></pre></form>'
    )


def _routes(told: Json) -> str:
    groups: dict[str, list[str]] = {}
    for path, item in told["paths"].items():
        for verb, one in item.items():
            groups.setdefault(one["tags"][0], []).append(_route(path, verb, one))
    return "".join(
        f'<h2>{escape(tag)} routes</h2><div class="card">{"".join(routes)}</div>' for tag, routes in groups.items()
    )


def _route(path: str, verb: str, one: Json) -> str:
    terms = [(parameter["name"], parameter.get("description", "")) for parameter in one.get("parameters", ())]
    terms += [(status, said["description"]) for status, said in one["responses"].items()]
    told = "".join(f"<dt>{escape(term)}</dt><dd>{_prose(text)}</dd>" for term, text in terms)
    description = f"<p>{_prose(one['description'])}</p>" if "description" in one else ""
    return (
        f'<details><summary><span class="verb {escape(verb)}">{escape(verb.upper())}</span>'
        f'<code>{escape(path)}</code><span class="says">{escape(one["summary"])}</span></summary>'
        f'<div class="told">{description}<dl>{told}</dl></div></details>'
    )


def _prose(text: str) -> str:
    """A description, of whose Markdown only the backticks are used."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if at % 2 else part for at, part in enumerate(parts))
