"""How quantities (``cpu: 0.5``, ``memory: 1024Mi``) are spelled: users write them freely, the API stores one spelling.

Where a quantity stands is read off the schema of a PodSpec or Container; everything else is left as it is.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from mizzen.apis.meta import Mapping
from mizzen.apis.podspec import ContainerFields, PodSpecFields
from mizzen.apis.quantity import QuantityError, canonical
from mizzen.apis.schema import Node, definition


def as_stored(pod: Mapping) -> Mapping:
    """A PodSpec with every quantity as the API server spells it, so that it compares equal to what is stored."""
    spelled: Mapping = _spelled(pod, pod_node(), (str, int, float))
    return spelled


def without_fractions(component: Any) -> Any:
    """A component of an InferenceService with ``0.5`` written as ``500m``.

    A schema takes whole numbers and texts for a quantity. KServe's webhook, which decodes and encodes the object,
    makes a text of a fraction before its schema is looked at, and so do we.
    """
    if not isinstance(component, dict):
        return component
    written = _spelled(component, pod_node(), (float,))
    for name, part in component.items():
        if name == "workerSpec":
            written[name] = _spelled(part, pod_node(), (float,))
        elif isinstance(part, dict) and "resources" in part:
            written[name] = _spelled(part, container_node(), (float,))
    return written


def _spelled(value: Any, node: Node | None, kinds: tuple[type[Any], ...]) -> Any:
    if node is None:
        return value
    if isinstance(value, dict):
        return {key: _spelled(child, node.child(key), kinds) for key, child in value.items()}
    if isinstance(value, list):
        return [_spelled(item, node.items, kinds) for item in value]
    if node.raw.get("format") == "quantity" and isinstance(value, kinds):
        try:
            return canonical(value)
        except QuantityError:
            return value  # the API server names the field when it refuses it
    return value


@cache
def container_node() -> Node:
    """The schema of a container."""
    return definition(ContainerFields.INLINE)


@cache
def pod_node() -> Node:
    """The schema of a PodSpec."""
    return definition(PodSpecFields.INLINE)
