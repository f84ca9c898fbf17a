"""Between messages and the bytes of a record, under Jackson's rules.

What is null is left out, of maps that users have written, too, and of nothing else: empty lists, ``false`` and 0 are
sent, because a runtime of Java's reads them without asking whether they are there. Coming in, null and absent are the
same, and what is unknown is passed over.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Union, cast, get_args

import msgspec
import orjson

from mizzen.acm.messages.acks import DeployAck, DeregisterAck, PrimeAck, RegisterAck, StateChangeAck
from mizzen.acm.messages.concepts import Identifier
from mizzen.acm.messages.envelope import Envelope
from mizzen.acm.messages.orders import Deploy, Migration, Prepare, Prime, PropertiesUpdate, StateChange
from mizzen.acm.messages.reports import Deregister, Register, RequestSync, Status
from mizzen.acm.messages.sync import StatusRequest, Sync
from mizzen.errors import MizzenError

AnyMessage = Union[  # noqa: UP007  (asked for its members at run time)
    Register,
    Deregister,
    Status,
    RequestSync,
    Prime,
    Deploy,
    StateChange,
    PropertiesUpdate,
    Prepare,
    Migration,
    StatusRequest,
    Sync,
    RegisterAck,
    DeregisterAck,
    PrimeAck,
    StateChangeAck,
    DeployAck,
]

TYPES: dict[str, type[Envelope]] = {str(kind.__struct_config__.tag): kind for kind in get_args(AnyMessage)}
_KEY = "partitionKey"


class Undecodable(MizzenError):
    """A record that holds no message. It is skipped: nothing would come of reading it again."""


def decode(value: bytes) -> AnyMessage:
    """The message in a record.

    Raises:
        Undecodable: it is not JSON, of no type that is known, or a field of it is not what it should be.
    """
    try:
        told = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise Undecodable(f"not JSON: {error}") from None
    if not isinstance(told, dict):
        raise Undecodable("not a JSON object")
    name = told.get("messageType")
    if not isinstance(name, str) or name not in TYPES:
        raise Undecodable(f"messageType {name!r} is unknown")
    try:
        return cast(AnyMessage, msgspec.convert(_tidied(told), TYPES[name], dec_hook=_read))
    except RecursionError:
        raise Undecodable(f"{name}: nested too deeply") from None
    except (ValueError, OverflowError) as error:
        raise Undecodable(f"{name}: {error}") from None


def _tidied(told: dict[str, Any]) -> dict[str, Any]:
    told = without_null(told)
    when = told.get("timestamp")
    if isinstance(when, int | float):  # Jackson may write seconds
        told["timestamp"] = datetime.fromtimestamp(when, UTC).isoformat().replace("+00:00", "Z")
    return told


def encode(message: Envelope) -> bytes:
    """A record's value."""
    return orjson.dumps(plain(message))


def plain(message: Envelope) -> dict[str, Any]:
    """A message as what JSON has."""
    told: dict[str, Any] = without_null(msgspec.to_builtins(message, enc_hook=_write))
    if message.key is not None:
        told[_KEY] = message.key
    return told


def without_null(value: Any) -> Any:
    """Without members that are null; nulls within lists are kept."""
    if isinstance(value, dict):
        return {key: without_null(member) for key, member in value.items() if member is not None}
    if isinstance(value, list):
        return [without_null(member) for member in value]
    return value


def _read(kind: type, value: Any) -> Any:
    if kind is Identifier:
        return Identifier.of(value)
    raise NotImplementedError(f"{kind} in a message")


def _write(value: Any) -> Any:
    if isinstance(value, Identifier):
        return value.plain()
    raise NotImplementedError(f"{type(value)} in a message")
