"""The two type names that make a node template an element or the composition: an installation may have its own."""

from __future__ import annotations

from msgspec import Struct


class Names(Struct, frozen=True):
    """``TOSCA_ELEMENT_NAME`` and ``TOSCA_COMPOSITION_NAME`` of a runtime, with the defaults that ONAP gives them."""

    element: str = "org.onap.policy.clamp.acm.AutomationCompositionElement"
    composition: str = "org.onap.policy.clamp.acm.AutomationComposition"
