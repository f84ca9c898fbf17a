"""Pages of definitions: all of them, commissioning one, and one with its orders and its instances."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from starlette.datastructures import UploadFile
from starlette.responses import Response

from mizzen.acm import samples
from mizzen.acm.messages.states import PrimeOrder
from mizzen.acm.runtime.rest import parameters
from mizzen.acm.runtime.rest.formats import JSON, YAML, encode
from mizzen.acm.runtime.rest.refusals import too_large
from mizzen.acm.runtime.service import Body, Page, Refused, Service
from mizzen.acm.runtime.web import guidance, orders, presence
from mizzen.acm.runtime.web.elements import ailing, hidden
from mizzen.acm.runtime.web.explaining import Notice, explain
from mizzen.acm.runtime.web.gate import Visit
from mizzen.acm.runtime.web.listing import listing
from mizzen.acm.runtime.web.rendering import mask

_SAID = {
    "deleted": "The definition was deleted.",
    "commissioned": "The definition was commissioned.",
    "replaced": "The definition was replaced.",
}


async def sent_document(visit: Visit) -> tuple[bytes, str, str]:
    """A document that was uploaded or pasted: its bytes, its text for showing it again, and its file's name.

    What is pasted counts if anything is: it is what stands before one's eyes.
    """
    text = visit.text("document")
    if text.strip():
        return text.encode(), text, ""
    upload = visit.form.get("file")
    if isinstance(upload, UploadFile) and upload.filename:
        body = await upload.read()
        return body, body.decode("utf-8", "replace"), upload.filename
    return b"", "", ""


def media_type_of(body: bytes) -> str:
    """What a text is, of which nobody has said it."""
    return JSON if body.lstrip().startswith((b"{", b"[")) else YAML


class Definitions:
    def __init__(self, service: Service, body_limit: int) -> None:
        self._service = service
        self._asked = service.compositions
        self._limit = body_limit

    async def overview(self, visit: Visit) -> Response:
        templates, instances, present = await asyncio.gather(
            self._asked.list(page=Page()),
            self._service.instances.list(page=Page(), sort="lastMsg", order="DESC"),
            presence.participants(self._service),
        )
        found = await asyncio.gather(*(self._row(template, instances) for template in templates))
        names = Counter(title(template) for template in templates)
        return visit.page(
            "overview",
            definitions=[one for one in found if one],
            twins={name for name, count in names.items() if count > 1},
            instances=instances,
            ailing=ailing(instances),
            participants=present,
            said=_SAID.get(visit.request.query_params.get("said", ""), ""),
        )

    async def _row(self, template: Body, instances: list[Body]) -> dict[str, Any] | None:
        identity = template["metadata"]["compositionId"]
        try:
            body = await self._asked.get(parameters.uuid("compositionId", identity))
        except Refused:
            # Deleted since it was listed.
            return None
        names = [node["nodeTemplateId"]["name"] for node in body["elementStateMap"].values()]
        own = [one for one in instances if one["compositionId"] == identity]
        return {
            "body": body,
            "id": identity,
            "name": title(template),
            "about": about(template),
            "elements": names,
            "instances": len(own),
        }

    async def new(self, visit: Visit) -> Response:
        sample = samples.kserve_composition() if visit.request.query_params.get("sample") == "kserve" else ""
        return visit.page("commission", text=sample, file="", lines=[])

    async def commission(self, visit: Visit) -> Response:
        body, text, file = await sent_document(visit)
        if not body:
            notice = Notice(title="There is nothing to commission.", text="Choose a file, or paste a definition.")
            return visit.page("commission", 400, notice=notice, text="", file="", lines=[])
        if len(body) > self._limit:
            return visit.page("commission", 413, notice=explain(too_large(self._limit)), text="", file=file, lines=[])
        try:
            made = await self._asked.commission(body, media_type_of(body))
        except Refused as refusal:
            lines = listing(text, refusal.problems)
            return visit.page("commission", refusal.status, notice=explain(refusal), text=text, file=file, lines=lines)
        said = "commissioned" if made.created else "replaced"
        return visit.go(f"/definitions/{made.body['compositionId']}?said={said}")

    async def one(self, visit: Visit) -> Response:
        said = _SAID.get(visit.request.query_params.get("said", ""), "")
        return await self._one(visit, said=said)

    async def _one(self, visit: Visit, status: int = 200, notice: Notice | None = None, said: str = "") -> Response:
        identity = parameters.in_path(visit.request, "compositionId")
        body, instances, present = await asyncio.gather(
            self._asked.get(identity),
            self._service.instances.list(composition=identity, page=Page()),
            presence.participants(self._service),
        )
        template = body["serviceTemplate"]
        online = presence.online(present)
        assigned = {node.get("participantId") for node in body["elementStateMap"].values()} - {None}
        return visit.page(
            "definition",
            status,
            notice=notice,
            said=said,
            id=str(identity),
            body=body,
            name=title(template),
            about=about(template),
            guide=guidance.for_composition(body, len(instances)),
            buttons=orders.for_composition(body, len(instances)),
            elements=[_element(node, template, online) for node in body["elementStateMap"].values()],
            offline=sorted(one for one in assigned if one in online and not online[one]),
            instances=instances,
            ailing=ailing(instances),
            text=encode(_shown(template), YAML).decode(),
        )

    async def order(self, visit: Visit) -> Response:
        """Prime, deprime or delete."""
        identity = parameters.in_path(visit.request, "compositionId")
        order = visit.text("order")
        try:
            if order == "DELETE":
                await self._asked.delete(identity)
                return visit.go("/?said=deleted")
            await self._asked.order(
                identity, parameters.of_body({"order": order}, "order", PrimeOrder) or PrimeOrder.NONE
            )
        except Refused as refusal:
            return await self._one(visit, refusal.status, explain(refusal))
        if not visit.by_htmx:
            return visit.go(f"/definitions/{identity}")
        return await self._one(visit)


def title(template: Body) -> str:
    """What people call a definition: its composition node's name, since most templates are just called `tosca`."""
    named = _composition(template)
    return f"{named.get('name', '')} {named.get('version', '')}".strip()


def about(template: Body) -> str:
    """What a definition says of itself."""
    return str(_composition(template).get("description") or template.get("description") or "")


def _composition(template: Body) -> Body:
    """The node template that is the composition: the one that lists elements. The template itself, if there is none."""
    nodes: dict[str, Body] = (template.get("topology_template") or {}).get("node_templates") or {}
    for name, node in nodes.items():
        if "elements" in (node.get("properties") or {}) and str(node.get("type", "")).endswith("AutomationComposition"):
            return {"name": name} | node
    return template


def _element(node: Body, template: Body, online: Any) -> dict[str, Any]:
    name = node["nodeTemplateId"]["name"]
    found = (template["topology_template"]["node_templates"]).get(name) or {}
    participant = node.get("participantId") or ""
    return {
        "name": name,
        "version": node["nodeTemplateId"]["version"],
        "type": f"{found.get('type', '')} {found.get('type_version', '')}".strip(),
        "description": found.get("description") or "",
        "state": node["state"],
        "message": node.get("message") or "",
        "participant": participant,
        "online": online.get(participant) if participant else None,
        "properties": mask(hidden(found.get("properties") or {}, template, name)),
        "out": mask(node.get("outProperties") or {}),
    }


def _shown(template: Body) -> Body:
    """The document without what it calls sensitive."""
    topology = template.get("topology_template") or {}
    nodes = {
        name: node | {"properties": hidden(node.get("properties") or {}, template, name)}
        for name, node in (topology.get("node_templates") or {}).items()
    }
    shown: Body = mask({**template, "topology_template": {**topology, "node_templates": nodes}})
    return shown
