"""What every namespace starts with: the service account ``default``, and the authority that the API's clients trust.

Pods run as ``default`` when they name nobody, and clients inside them read the authority from ``kube-root-ca.crt``.
"""

from __future__ import annotations

import asyncio
from typing import Any

from mizzen.apis.core import CONFIG_MAP, SERVICE_ACCOUNT, Namespace
from mizzen.cluster.workloads.caches import Caches
from mizzen.kube.client import Client
from mizzen.kube.controller import Controller
from mizzen.kube.errors import ApiError
from mizzen.kube.informer import Change, Informer, Key

ACCOUNT, ROOT_CA = "default", "kube-root-ca.crt"
_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


class ServiceAccounts:
    """Furnishes namespaces.

    Args:
        root_ca: PEM text; without it no config map is written.
    """

    def __init__(self, client: Client, caches: Caches, root_ca: str = "") -> None:
        self._client = client
        self._namespaces = caches.namespaces
        self._accounts = Informer(client, SERVICE_ACCOUNT, field_selector=f"metadata.name={ACCOUNT}")
        self._authorities = Informer(client, CONFIG_MAP, field_selector=f"metadata.name={ROOT_CA}")
        self._root_ca = root_ca
        self._informers = [self._accounts, *([self._authorities] if root_ca else [])]
        self.controller = Controller("serviceaccount", self.reconcile)
        self.controller.watches(self._namespaces)
        for informer in self._informers:
            self.controller.watches(informer, _namespace_of)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for informer in self._informers:
                group.create_task(informer.run())
            group.create_task(self.controller.run())

    async def reconcile(self, _: str, name: str) -> None:
        namespace = self._namespaces.get("", name, Namespace)
        if namespace is None or namespace.metadata.deletion_timestamp:
            return
        if self._accounts.entry(name, ACCOUNT) is None:
            body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": name}}
            await self._create(self._accounts, body)
        if not self._root_ca:
            return
        data = {"ca.crt": self._root_ca}
        present = self._authorities.object(name, ROOT_CA)
        if present is None:
            metadata = {
                "name": ROOT_CA,
                "namespace": name,
                "annotations": {"kubernetes.io/description": _DESCRIPTION},
            }
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
            await self._create(self._authorities, body)
        elif present.get("data") != data:
            self._authorities.accept(await self._client.update(CONFIG_MAP, present | {"data": data}))

    async def _create(self, informer: Informer, body: dict[str, Any]) -> None:
        try:
            informer.accept(await self._client.create(informer.resource, body))
        except ApiError as error:
            # Somebody was quicker, or the namespace is about to end: nothing is left to do.
            if error.reason != "AlreadyExists" and error.code not in (403, 404):
                raise


def _namespace_of(change: Change) -> list[Key]:
    return [("", change.key[0])]
