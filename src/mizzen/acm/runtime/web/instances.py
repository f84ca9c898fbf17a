"""Pages of instances: making one, changing or migrating it, and one with its elements, its progress and its orders."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
from starlette.responses import Response

from mizzen.acm.messages.states import AcTypeState
from mizzen.acm.runtime.rest import parameters
from mizzen.acm.runtime.rest.formats import JSON
from mizzen.acm.runtime.rest.refusals import refused, too_large
from mizzen.acm.runtime.service import Body, Page, Refused, Service
from mizzen.acm.runtime.web import elements, guidance, inputs, instance_form, orders, presence
from mizzen.acm.runtime.web.definitions import media_type_of, sent_document, title
from mizzen.acm.runtime.web.explaining import Notice, explain
from mizzen.acm.runtime.web.gate import Handler, Visit
from mizzen.acm.runtime.web.instance_form import InstanceForm
from mizzen.acm.runtime.web.listing import listing

_SAID = {
    "made": "The instance was made.",
    "changed": "The change was ordered.",
    "checked": "The check was ordered.",
    "saved": "The change was saved.",
    "moved": "The instance belongs to this definition now.",
    "unheard": "Nothing was ordered: the instance had moved, and belongs to this definition now.",
}


class Instances:
    def __init__(self, service: Service, body_limit: int) -> None:
        self._service = service
        self._asked = service.instances
        self._limit = body_limit

    def followed(self, handler: Handler) -> Handler:
        """A page of an instance, for which one may ask below a definition that the instance has left.

        A migration, or its rollback, ends with another address; windows and bookmarks have the one from before.
        """

        async def led(visit: Visit) -> Response:
            composition, instance = _which(visit)
            try:
                return await handler(visit)
            except Refused as refusal:
                if refusal.status not in (400, 404):
                    raise
                found = await self._asked.list(ids=[instance], page=Page())
                if not found and refusal.status == 404:
                    return visit.page("gone", 200 if visit.by_htmx else 404, composition=str(composition))
                homes = (
                    [found[0]["compositionId"], found[0].get("compositionTargetId")] if found else [str(composition)]
                )
                if str(composition) in homes:
                    raise
            said = "unheard" if visit.request.method == "POST" else "moved"
            return visit.go(f"/definitions/{found[0]['compositionId']}/instances/{instance}?said={said}")

        return led

    async def one(self, visit: Visit) -> Response:
        said = _SAID.get(visit.request.query_params.get("said", ""), "")
        return await self._one(visit, *_which(visit), said=said)

    async def _one(
        self,
        visit: Visit,
        composition: UUID,
        instance: UUID,
        status: int = 200,
        notice: Notice | None = None,
        said: str = "",
    ) -> Response:
        body, definition, present = await asyncio.gather(
            self._asked.get(composition, instance),
            self._service.compositions.get(composition),
            presence.participants(self._service),
        )
        template = definition["serviceTemplate"]
        online = presence.online(present)
        shown = elements.shown(body, template, online)
        offline = sorted({one.participant for one in shown if one.online is False})
        return visit.page(
            "instance",
            status,
            notice=notice,
            said=said,
            body=body,
            composition=str(composition),
            instance=str(instance),
            definition=title(template),
            guide=guidance.for_instance(body, offline),
            buttons=orders.for_instance(body, self._asked.allowed(body)),
            elements=shown,
            offline=offline,
        )

    async def order(self, visit: Visit) -> Response:
        composition, instance = _which(visit)
        order = visit.text("order")
        try:
            await self._ordered(composition, instance, order)
            if visit.by_htmx:
                return await self._one(visit, composition, instance)
        except Refused as refusal:
            return await self._one(visit, composition, instance, refusal.status, explain(refusal))
        return visit.go(f"/definitions/{composition}/instances/{instance}")

    async def _ordered(self, composition: UUID, instance: UUID, order: str) -> None:
        if order == "DELETE":
            await self._asked.delete(composition, instance)
        elif order == "ROLLBACK":
            await self._asked.rollback(composition, instance)
        elif order in orders.DEPLOYS or order in orders.LOCKS or order in orders.SUBS:
            await self._asked.order(
                composition, instance, orders.DEPLOYS.get(order), orders.LOCKS.get(order), orders.SUBS.get(order)
            )
        else:
            raise refused(400, f"There is no order {order!r}.")

    async def new(self, visit: Visit) -> Response:
        composition = parameters.in_path(visit.request, "compositionId")
        definition, offered = await self._offered(composition)
        sample = instance_form.sample(offered)
        if sample is not None and visit.request.query_params.get("sample") == "kserve":
            return self._form(visit, definition, sample)
        return self._form(visit, definition, instance_form.for_new(offered), sample=sample is not None)

    async def make(self, visit: Visit) -> Response:
        composition = parameters.in_path(visit.request, "compositionId")
        if visit.text("do") == "document":
            return await self._from_document(visit, composition)
        return await self._from_form(visit, composition)

    async def edit(self, visit: Visit) -> Response:
        composition, instance = _which(visit)
        (definition, offered), body = await asyncio.gather(
            self._offered(composition), self._asked.get(composition, instance)
        )
        return self._form(visit, definition, instance_form.for_stored(offered, body), instance=body)

    async def change(self, visit: Visit) -> Response:
        composition, instance = _which(visit)
        return await self._from_form(visit, composition, await self._asked.get(composition, instance))

    async def choose(self, visit: Visit) -> Response:
        """Where to migrate to; and once that is chosen, the form."""
        composition, instance = _which(visit)
        body = await self._asked.get(composition, instance)
        target = parameters.in_query(visit.request, "target")
        if target is None:
            targets = await self._targets(composition)
            return visit.page("migrate", instance=body, composition=str(composition), targets=targets)
        definition, offered = await self._offered(target)
        form = instance_form.for_stored(offered, body)
        return self._form(visit, definition, form, instance=body, target=target)

    async def migrate(self, visit: Visit) -> Response:
        composition, instance = _which(visit)
        target = parameters.uuid("target", visit.text("target"))
        return await self._from_form(visit, composition, await self._asked.get(composition, instance), target)

    async def _targets(self, composition: UUID) -> list[tuple[str, str]]:
        """The definitions that one may migrate to: id and name."""
        found = []
        for template in await self._service.compositions.list(page=Page()):
            identity = template["metadata"]["compositionId"]
            if identity == str(composition):
                continue
            body = await self._service.compositions.get(UUID(identity))
            if body["state"] == AcTypeState.PRIMED:
                found.append((identity, title(template)))
        return found

    async def _offered(self, composition: UUID) -> tuple[Body, Sequence[Body]]:
        return await asyncio.gather(
            self._service.compositions.get(composition), self._service.compositions.fields(composition)
        )

    async def _from_form(
        self, visit: Visit, composition: UUID, stored: Body | None = None, target: UUID | None = None
    ) -> Response:
        definition, offered = await self._offered(target or composition)
        form = instance_form.of_form(offered, _texts(visit.form))
        do = visit.text("do")
        shown: dict[str, Any] = {"instance": stored, "target": target}
        if do.startswith(("add ", "remove ")):
            for element in form.elements:
                inputs.change(element.inputs, do)
            return self._form(visit, definition, form, **shown)
        more: dict[str, Any] = {}
        if stored is not None:
            more["instanceId"] = stored["instanceId"]
        if target is not None:
            more |= {"compositionTargetId": str(target)} | ({"precheck": True} if do == "precheck" else {})
        document = instance_form.document(form, str(composition), **more)
        if not form.good:
            count = len(form.problems) + len(form.wrong)
            text = "One field is not as it should be." if count == 1 else f"{count} fields are not as they should be."
            notice = Notice(title="It was not sent yet.", text=text, hint="They are marked below.")
            return self._form(visit, definition, form, 400, notice, **shown)
        body = msgspec.json.encode(document)
        if len(body) > self._limit:
            return self._form(visit, definition, form, 413, explain(too_large(self._limit)), **shown)
        try:
            made = await self._asked.post(composition, body, JSON)
        except Refused as refusal:
            return self._form(visit, definition, form, refusal.status, explain(_without_lines(refusal)), **shown)
        sent = stored is not None and stored["deployState"] != "UNDEPLOYED"
        said = "changed" if sent else "saved" if stored is not None else "made"
        if target is not None and do == "precheck":
            said = "checked"
        return visit.go(f"/definitions/{composition}/instances/{made.body['instanceId']}?said={said}")

    def _form(
        self,
        visit: Visit,
        definition: Body,
        form: InstanceForm,
        status: int = 200,
        notice: Notice | None = None,
        *,
        instance: Body | None = None,
        target: UUID | None = None,
        text: str = "",
        lines: Sequence[Any] = (),
        sample: bool = False,
    ) -> Response:
        return visit.page(
            "instantiate",
            status,
            notice=notice,
            form=form,
            definition=definition,
            name=title(definition["serviceTemplate"]),
            composition=instance["compositionId"] if instance is not None else definition["compositionId"],
            instance=instance,
            target=str(target) if target is not None else "",
            text=text,
            lines=lines,
            sample=sample,
        )

    async def _from_document(self, visit: Visit, composition: UUID) -> Response:
        definition, offered = await self._offered(composition)
        body, text, _ = await sent_document(visit)
        form = instance_form.for_new(offered)
        if not body:
            notice = Notice(
                title="There is nothing to make an instance of.", text="Choose a file, or paste a document."
            )
            return self._form(visit, definition, form, 400, notice)
        if len(body) > self._limit:
            return self._form(visit, definition, form, 413, explain(too_large(self._limit)))
        try:
            made = await self._asked.post(composition, body, media_type_of(body))
        except Refused as refusal:
            lines = listing(text, refusal.problems)
            return self._form(visit, definition, form, refusal.status, explain(refusal), text=text, lines=lines)
        said = "made" if made.created else "changed"
        return visit.go(f"/definitions/{composition}/instances/{made.body['instanceId']}?said={said}")


def _which(visit: Visit) -> tuple[UUID, UUID]:
    return parameters.in_path(visit.request, "compositionId"), parameters.in_path(visit.request, "instanceId")


def _texts(form: Mapping[str, Any]) -> dict[str, str]:
    return {name: value for name, value in form.items() if isinstance(value, str)}


def _without_lines(refusal: Refused) -> Refused:
    """Lines are of the document that the form became, which nobody has seen."""
    problems = [msgspec.structs.replace(one, line=None, column=None) for one in refusal.problems]
    return Refused(refusal.status, refusal.details, problems)
