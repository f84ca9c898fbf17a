"""Tables: objects as kubectl prints them, with the columns of their kind."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from mizzen.cluster.apiserver.ages import age
from mizzen.cluster.apiserver.resources import Column, Object, Resource

NAME = Column(
    "Name",
    lambda value, now: value["metadata"]["name"],
    format="name",
    description="Name must be unique within a namespace.",
)
AGE = Column(
    "Age",
    lambda value, now: age(value["metadata"].get("creationTimestamp"), now),
    description="How long ago the object was created.",
)


def columns_of(resource: Resource) -> Sequence[Column]:
    """All columns of a kind: the name first, unless the kind has a place of its own for it."""
    if not resource.custom and any(column.format == NAME.format for column in resource.columns):
        return resource.columns
    return (NAME, *resource.columns)


@lru_cache(maxsize=256)
def definitions(columns: tuple[Column, ...]) -> bytes:
    """The ``columnDefinitions`` of a table."""
    return orjson.dumps(
        [
            {
                "name": column.name,
                "type": column.type,
                "format": column.format,
                "description": column.description,
                "priority": int(column.wide),
            }
            for column in columns
        ]
    )


def row(value: Object, columns: Sequence[Column], include: str, now: datetime) -> dict[str, Any]:
    """One object as a row. ``include`` is ``Metadata``, ``Object`` or ``None``: what goes with the cells."""
    found: dict[str, Any] = {"cells": [column.cell(value, now) for column in columns]}
    if include == "Object":
        found["object"] = value
    elif include != "None":
        found["object"] = {
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": value["metadata"],
        }
    return found


def present_time() -> datetime:
    return datetime.now(UTC)
