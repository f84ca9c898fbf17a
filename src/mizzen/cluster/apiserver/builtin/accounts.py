"""ServiceAccounts: names that pods run under. Their tokens will be a sub-resource here."""

from __future__ import annotations

from mizzen.apis.meta import ResourceDef
from mizzen.cluster.apiserver.resources import Column, Resource
from mizzen.cluster.apiserver.table import AGE

SERVICE_ACCOUNT = ResourceDef(
    group="", version="v1", kind="ServiceAccount", plural="serviceaccounts", short_names=("sa",)
)


class ServiceAccounts(Resource):
    definition = SERVICE_ACCOUNT
    returns_deleted = True

    columns = (
        Column("Secrets", lambda value, now: len(value.get("secrets") or ()), "integer"),
        AGE,
    )
