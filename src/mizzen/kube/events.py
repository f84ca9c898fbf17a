"""Events: what a controller wants people to read beside an object (`kubectl describe`, `kubectl get events`).

The same sentence about the same object is one Event whose count grows. Recording never fails the work that it reports
on: events wait in a bounded queue and are written in the background.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import OrderedDict
from typing import Any, Literal

import msgspec

from mizzen.apis.core import EVENT
from mizzen.apis.meta import Object, ResourceDef
from mizzen.kube.client import Client, Unreachable
from mizzen.kube.errors import ApiError
from mizzen.kube.times import now

log = logging.getLogger(__name__)

_WAITING = 1000
_REMEMBERED = 4096
_LONGEST_MESSAGE = 1024


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """The object an event is about."""

    api_version: str
    kind: str
    name: str
    namespace: str = ""
    uid: str = ""
    field_path: str = ""

    @classmethod
    def to(cls, obj: Object, resource: ResourceDef) -> Reference:
        """The reference to a typed object of a kind."""
        return cls(
            api_version=resource.api_version,
            kind=resource.kind,
            name=obj.name,
            namespace=obj.namespace,
            uid=obj.uid,
        )


class _Sentence(msgspec.Struct, frozen=True):
    about: Reference
    type: str
    reason: str
    message: str


class EventRecorder:
    """Writes events as one component. Run :meth:`run` beside the controllers that record.

    Args:
        component: who reports, such as ``deployment-controller``.
        host: the node it reports from, if it is bound to one.
    """

    def __init__(self, client: Client, component: str, host: str = "") -> None:
        self._client = client
        self._component = component
        self._host = host
        self._queue: asyncio.Queue[_Sentence] = asyncio.Queue(_WAITING)
        self._written: OrderedDict[_Sentence, tuple[str, int]] = OrderedDict()

    def record(self, about: Reference, kind: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        """Say something about an object. ``reason`` is one CamelCase word, ``message`` a sentence."""
        try:
            self._queue.put_nowait(_Sentence(about, kind, reason, message[:_LONGEST_MESSAGE]))
        except asyncio.QueueFull:
            log.warning("event dropped, too many are waiting: %s %s/%s: %s", reason, about.kind, about.name, message)

    async def run(self) -> None:
        """Write what is recorded, until cancelled."""
        while True:
            sentence = await self._queue.get()
            try:
                await self._write(sentence)
            except (ApiError, Unreachable) as error:
                # An event about an object of a namespace that is going away is refused; nobody misses it.
                log.debug("event not written: %s", error)

    async def _write(self, sentence: _Sentence) -> None:
        namespace = sentence.about.namespace or "default"
        known = self._written.get(sentence)
        if known is not None:
            name, count = known
            body: dict[str, Any] = {"count": count + 1, "lastTimestamp": now()}
            try:
                await self._client.patch(EVENT, name, namespace, body)
            except ApiError as error:
                if error.code != 404:
                    raise
            else:
                self._remember(sentence, name, count + 1)
                return
        name = f"{sentence.about.name}.{secrets.token_hex(8)}"
        await self._client.create(EVENT, self._event(sentence, name, namespace), namespace)
        self._remember(sentence, name, 1)

    def _remember(self, sentence: _Sentence, name: str, count: int) -> None:
        self._written[sentence] = name, count
        self._written.move_to_end(sentence)
        while len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)

    def _event(self, sentence: _Sentence, name: str, namespace: str) -> dict[str, Any]:
        about = sentence.about
        involved = {
            "apiVersion": about.api_version,
            "kind": about.kind,
            "name": about.name,
            "namespace": about.namespace,
            "uid": about.uid,
            "fieldPath": about.field_path,
        }
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {key: value for key, value in involved.items() if value},
            "type": sentence.type,
            "reason": sentence.reason,
            "message": sentence.message,
            "count": 1,
            "firstTimestamp": now(),
            "lastTimestamp": now(),
            "source": {"component": self._component} | ({"host": self._host} if self._host else {}),
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }
