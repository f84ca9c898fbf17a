"""Which of the two forms of an order is sent.

``both`` drives participants of release 9.1.0 and of the development branch, which each pass over what they do not know.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from msgspec import structs

from mizzen.acm.messages.envelope import Envelope
from mizzen.acm.messages.orders import Deploy, Migration, Prepare, Prime, PropertiesUpdate

_M = TypeVar("_M", bound=Envelope)

_NEWER = ("prime_dto_list", "prime_order", "participant_dto_list")


class Dialect(StrEnum):
    """``a``: the development branch only; ``b``: releases 8.2.1 to 9.1.0 only."""

    BOTH = "both"
    A = "a"
    B = "b"


def spoken(message: _M, dialect: Dialect) -> _M:
    """The message as a dialect has it; the one given is left as it is."""
    if dialect is Dialect.BOTH:
        return message
    fields = message.__struct_fields__
    if dialect is Dialect.B:
        return structs.replace(message, **{name: None for name in _NEWER if name in fields})
    if isinstance(message, Prime):
        return structs.replace(message, participant_definition_updates=[])
    if isinstance(message, Deploy | PropertiesUpdate | Migration):
        return structs.replace(message, participant_updates_list=[])
    if isinstance(message, Prepare):
        return structs.replace(message, participant_list=[])
    return message
