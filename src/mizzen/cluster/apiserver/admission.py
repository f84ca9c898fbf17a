"""The seat of admission: rules that may change or refuse a write, run in process on the server's own memory.

Rules that change an object run first, in their order, and the caller defaults it again after them; the others may only
refuse (:mod:`mizzen.kube.admission` says what a rule is). Rules that live behind webhooks will take the same seat.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from mizzen.apis.meta import ResourceDef
from mizzen.cluster.apiserver.registry import Registry
from mizzen.cluster.apiserver.resources import Object
from mizzen.cluster.apiserver.store import Entry, Key, Store
from mizzen.kube.admission import AdmissionRequest, Admitter
from mizzen.kube.errors import ApiError


class StoreReader:
    """What an admission rule may read: the newest stored objects, in the version it asks for."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry

    def get(self, resource: ResourceDef, name: str, namespace: str = "") -> dict[str, Any] | None:
        place = namespace if resource.namespaced else ""
        entry = self._store.get(Key(resource.qualified, place, name))
        return self._shown(resource, entry) if entry is not None else None

    def list(self, resource: ResourceDef, namespace: str = "") -> list[dict[str, Any]]:
        entries = self._store.shelf(resource.qualified).newest(namespace or None)
        return [self._shown(resource, entry) for entry in entries]

    def _shown(self, resource: ResourceDef, entry: Entry) -> dict[str, Any]:
        served = self._registry.serving(resource)
        data = served.present(entry.data) if served is not None else entry.data
        found: dict[str, Any] = msgspec.json.decode(data)
        return found


class Admission:
    """All rules of this server."""

    def __init__(self, admitters: Sequence[Admitter], reader: StoreReader) -> None:
        self._admitters = tuple(admitters)
        self._reader = reader

    def mutate(self, request: AdmissionRequest, warnings: list[str]) -> Object | None:
        """Run the rules that may change the object; returns the object to go on with if one of them did.

        Raises:
            ApiError: a rule refuses.
        """
        changed = None
        for admitter in self._admitters:
            if admitter.mutates and admitter.concerns(request):
                found = self._ask(admitter, request, warnings)
                if found is not None:
                    changed = found
                    request = msgspec.structs.replace(request, object=found)
        return changed

    def check(self, request: AdmissionRequest, warnings: list[str]) -> None:
        """Run the rules that may only refuse. Raises :class:`ApiError` if one does."""
        for admitter in self._admitters:
            if not admitter.mutates and admitter.concerns(request):
                self._ask(admitter, request, warnings)

    def _ask(self, admitter: Admitter, request: AdmissionRequest, warnings: list[str]) -> Object | None:
        response = admitter.admit(request, self._reader)
        warnings += response.warnings
        if not response.allowed:
            message = f'admission webhook "{admitter.name}" denied the request: {response.message}'
            raise ApiError(response.code, response.reason, message)
        return response.object
