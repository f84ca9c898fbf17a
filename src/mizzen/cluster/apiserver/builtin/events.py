"""Events: what happened to an object, in words, for an hour."""

from __future__ import annotations

from mizzen.apis.meta import ResourceDef
from mizzen.cluster.apiserver.ages import age
from mizzen.cluster.apiserver.resources import Column, NameRule, Object, Resource, at, text_at
from mizzen.kube.errors import Cause, invalid_value

EVENT = ResourceDef(group="", version="v1", kind="Event", plural="events", short_names=("ev",))
# How long an event is kept after it was last written, in seconds.
KEPT = 3600

_ABOUT = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")


class Events(Resource):
    definition = EVENT
    name_rule: NameRule = "path"
    selectable = {  # noqa: RUF012
        **{f"involvedObject.{field}": text_at("involvedObject", field) for field in _ABOUT},
        "reason": text_at("reason"),
        "reportingComponent": text_at("reportingComponent"),
        "source": lambda event: at(event, "source", "component") or event.get("reportingComponent") or "",
        "type": text_at("type"),
    }

    def validate(self, value: Object) -> list[Cause]:
        about = at(value, "involvedObject", "namespace") or ""
        # An event about a cluster-scoped object lies in any namespace, by custom in default.
        if about and about != value["metadata"]["namespace"]:
            return [invalid_value("involvedObject.namespace", about, "does not match event.namespace")]
        return []

    columns = (
        Column("Last Seen", lambda event, now: age(_last(event), now), description="When it happened last."),
        Column("Type", lambda event, now: event.get("type") or "", description="Normal or Warning."),
        Column("Reason", lambda event, now: event.get("reason") or "", description="Why, in one word."),
        Column("Object", lambda event, now: _object(event), description="What it is about."),
        Column("Subobject", lambda event, now: at(event, "involvedObject", "fieldPath") or "", wide=True),
        Column("Source", lambda event, now: _source(event), wide=True, description="Who reports it."),
        Column("Message", lambda event, now: (event.get("message") or "").strip(), description="What happened."),
        Column("First Seen", lambda event, now: age(_first(event), now), wide=True),
        Column("Count", lambda event, now: _count(event), "integer", wide=True),
        Column("Name", lambda event, now: event["metadata"]["name"], format="name", wide=True),
    )


def _last(event: Object) -> str:
    series = at(event, "series", "lastObservedTime")
    return series or event.get("lastTimestamp") or event.get("eventTime") or _created(event)


def _first(event: Object) -> str:
    return event.get("firstTimestamp") or event.get("eventTime") or _created(event)


def _created(event: Object) -> str:
    return str(event["metadata"].get("creationTimestamp") or "")


def _count(event: Object) -> int:
    return int(at(event, "series", "count") or event.get("count") or 1)


def _object(event: Object) -> str:
    about = event.get("involvedObject") or {}
    return f"{str(about.get('kind') or '').lower()}/{about.get('name') or ''}"


def _source(event: Object) -> str:
    component = at(event, "source", "component") or event.get("reportingComponent") or ""
    host = at(event, "source", "host") or event.get("reportingInstance") or ""
    return f"{component}, {host}" if host else str(component)
