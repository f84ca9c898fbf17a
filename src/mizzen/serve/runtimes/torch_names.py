"""Names for what PyTorch has by position: a module's arguments, and the parts of what it returns.

Without a word from the user they are ``input-0``, ``input-1``, ... and ``output-0``, ...; keys of a dictionary keep
their own names. Declared names are taken as Triton takes them: those of the arguments or keys, or ending in ``__`` and
a position, or else in order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from mizzen.serve.errors import LoadError
from mizzen.serve.runtimes.signature import Slot

_POSITION = re.compile(r"__(\d+)$")


def inputs(slots: Sequence[Slot], declared: Sequence[Slot], model: str) -> list[Slot]:
    """The arguments under the names that clients use.

    Args:
        slots: the arguments, under their own names.
        declared: what the settings call them.

    Raises:
        LoadError: the settings do not fit the model.
    """
    if not declared:
        return [replace(slot, name=f"input-{at}", aliases=(slot.name, f"INPUT__{at}")) for at, slot in enumerate(slots)]
    places = positions([one.name for one in declared], [slot.name for slot in slots])
    if places is None:
        raise LoadError(
            f"model {model}: {len(declared)} inputs are declared ({_listed(declared)}), the model takes "
            f"{len(slots)}: {_listed(slots)}"
        )
    named: list[Slot | None] = [None] * len(slots)
    for one, place in zip(declared, places, strict=True):
        own = slots[place]
        named[place] = Slot(one.name, one.dtype or own.dtype, one.shape or own.shape, one.optional or own.optional)
    missing = [slot for slot, one in zip(slots, named, strict=True) if one is None and not slot.optional]
    if missing:
        raise LoadError(f"model {model}: no input is declared for the arguments {_listed(missing)} of its forward")
    return [one if one is not None else slot for slot, one in zip(slots, named, strict=True)]


def positions(names: Sequence[str], own: Sequence[str]) -> list[int] | None:
    """Where each of ``names`` stands among ``own``; None if they are more, or say so of none."""
    if set(names) <= set(own):
        return [own.index(name) for name in names]
    found = [_POSITION.search(name) for name in names]
    if all(found):
        places = [int(one[1]) for one in found if one]
        return places if max(places) < len(own) and len(set(places)) == len(places) else None
    return list(range(len(names))) if len(names) <= len(own) else None


def leaves(value: Any) -> dict[str, Any]:
    """The parts of what a module returned, by name: those of tuples are numbered, keys and fields keep their own."""
    found: dict[str, Any] = {}
    _collect(value if _is_nested(value) else (value,), "", found)
    return found


def _collect(value: Any, name: str, found: dict[str, Any]) -> None:
    if value is None:
        return
    if not _is_nested(value):
        found[name] = value
        return
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        for key, part in value.items():
            _collect(part, f"{name}-{key}" if name else str(key), found)
    else:
        for at, part in enumerate(value):
            _collect(part, f"{name or 'output'}-{at}", found)


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, tuple | list) and not _is_plain(value))


def _is_plain(value: Sequence[Any]) -> bool:
    """Whether a list is one of texts or numbers, which makes one tensor."""
    return isinstance(value, list) and bool(value) and all(isinstance(item, str | int | float) for item in value)


def _listed(slots: Sequence[Slot]) -> str:
    return ", ".join(f"'{slot.name}'" for slot in slots)
