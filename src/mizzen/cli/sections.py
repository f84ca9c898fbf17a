"""The parts that descriptions of all kinds have: conditions and events, as tables that a terminal can hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mizzen.apis.core import EVENT
from mizzen.cli import output
from mizzen.kube.client import Client
from mizzen.kube.times import seconds_since

INDENT = "  "
_AS_ABOVE = "as above"


def indented(text: str) -> str:
    return "\n".join(INDENT + line for line in text.splitlines())


def conditions(found: Iterable[Mapping[str, Any]], told: str = "") -> str:
    """The conditions as a table; empty where there are none.

    Args:
        found: as the API has them.
        told: a sentence that stands above the table already. The same sentence is not repeated: one cause shows in
            several conditions.
    """
    rows = []
    above: set[str] = set()
    for condition in found:
        message = condition.get("message") or ""
        cells = [condition.get(key) or "" for key in ("type", "status", "reason")]
        rows.append([*cells, _AS_ABOVE if message in above else _shortened(message, told)])
        if len(message) > len(_AS_ABOVE):
            above.add(message)
    return _titled("Conditions:", rows, ("Type", "Status", "Reason", "Message"))


def _shortened(message: str, told: str) -> str:
    """Without the sentence that was told already; before it often stands who says so."""
    return message.replace(told, _AS_ABOVE) if len(told) > len(_AS_ABOVE) else message


async def events(client: Client, metadata: Mapping[str, Any]) -> str:
    """What happened to one object, in the order in which it happened."""
    selector = f"involvedObject.name={metadata['name']},involvedObject.uid={metadata['uid']}"
    found = await client.list(EVENT, metadata.get("namespace") or "default", field_selector=selector)
    rows = [
        (
            event.get("type") or "",
            event.get("reason") or "",
            age(_last(event)) + (f" (x{event['count']})" if (event.get("count") or 1) > 1 else ""),
            event.get("message") or "",
        )
        for event in sorted(found, key=order)
    ]
    return _titled("Events:", rows, ("Type", "Reason", "Age", "Message")) or "Events: none"


def order(event: Mapping[str, Any]) -> tuple[str, int, str]:
    """By time; times are whole seconds, and within one the number of the last change tells which came first."""
    version = event["metadata"].get("resourceVersion") or ""
    number = int(version) if version.isdecimal() else 0
    return _last(event), number, event["metadata"].get("creationTimestamp") or ""


def _last(event: Mapping[str, Any]) -> str:
    return str(event.get("lastTimestamp") or event["metadata"].get("creationTimestamp") or "")


def _titled(title: str, rows: Sequence[Sequence[str]], header: Sequence[str]) -> str:
    """A table below its title. The last column's texts may have several lines; they stay in their column."""
    flat: list[Sequence[str]] = []
    for row in rows:
        first, *more = row[-1].strip().splitlines() or [""]
        flat.append([*row[:-1], first])
        flat += [[*[""] * (len(row) - 1), line] for line in more]
    return f"{title}\n{indented(output.table(flat, header))}" if flat else ""


def age(timestamp: str) -> str:
    """How long ago, in the two largest units that say something: ``5s``, ``3m20s``, ``4h``, ``2d``."""
    if not timestamp:
        return "<unknown>"
    seconds = max(0, int(seconds_since(timestamp)))
    if seconds < 120:
        return f"{seconds}s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 10:
        return f"{minutes}m{seconds}s" if seconds else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    hours = minutes // 60
    return f"{hours}h" if hours < 48 else f"{hours // 24}d"
