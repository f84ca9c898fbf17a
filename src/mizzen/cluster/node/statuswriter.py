"""Writes one pod's status: only when it changed, one request at a time, each with the newest state.

A pod that starts passes through many states in a few milliseconds. Whatever happens while a request is under way is
written by the next one, so nothing waits for the API and the API is not asked more often than it can answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from mizzen.apis.core import POD
from mizzen.apis.meta import Mapping
from mizzen.cluster.node.status import patch
from mizzen.kube.client import Client, Unreachable
from mizzen.kube.errors import ApiError
from mizzen.kube.informer import Informer

log = logging.getLogger(__name__)

_FIRST_RETRY = 0.05
_LONGEST_RETRY = 5.0


class StatusWriter:
    """The status of the pod with this uid.

    Args:
        pods: the node's copy of its pods, which says what is stored.
        wanted: the status as it should be, given the stored one.
    """

    def __init__(self, client: Client, pods: Informer, pod: Mapping, wanted: Callable[[Mapping], Mapping]) -> None:
        metadata = pod["metadata"]
        self._name, self._namespace, self._uid = metadata["name"], metadata["namespace"], metadata["uid"]
        self._client = client
        self._pods = pods
        self._wanted = wanted
        self._due = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()

    def changed(self) -> None:
        """The pod, or what is stored of it, is not what it was."""
        self._due.set()
        self._settled.clear()

    async def settled(self) -> None:
        """Wait until what is stored is what is wanted, or the pod is gone."""
        await self._settled.wait()

    async def run(self) -> None:
        """Write until cancelled; an API that is away is waited for."""
        pause = _FIRST_RETRY
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                await self._write()
            except (ApiError, Unreachable) as error:
                log.debug("status of pod %s/%s: %s", self._namespace, self._name, error)
                self._due.set()
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_RETRY)
            else:
                pause = _FIRST_RETRY
                if not self._due.is_set():
                    self._settled.set()

    async def _write(self) -> None:
        entry = self._pods.entry(self._namespace, self._name)
        if entry is None or entry.uid != self._uid:
            return
        stored = entry.object.get("status") or {}
        body = patch(stored, self._wanted(stored))
        if not body:
            return
        # The uid makes sure that no namesake is meant.
        change = {"metadata": {"uid": self._uid}, "status": body}
        try:
            answer = await self._client.patch(
                POD, self._name, self._namespace, change, kind="strategic", subresource="status"
            )
        except ApiError as error:
            if error.code == 404 or (error.code in (409, 422) and await self._is_gone()):
                return
            raise
        self._pods.accept(answer)

    async def _is_gone(self) -> bool:
        try:
            found = await self._client.get_metadata(POD, self._name, self._namespace)
        except ApiError as error:
            if error.code != 404:
                raise
            return True
        return bool(found["metadata"]["uid"] != self._uid)
