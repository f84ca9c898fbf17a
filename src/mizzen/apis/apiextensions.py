"""The apiextensions group: how custom resources are declared. What a declaration holds is made in :mod:`.crd`."""

from __future__ import annotations

from mizzen.apis.meta import ResourceDef

CUSTOM_RESOURCE_DEFINITION = ResourceDef(
    group="apiextensions.k8s.io",
    version="v1",
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
    namespaced=False,
    short_names=("crd", "crds"),
    categories=("api-extensions",),
)
