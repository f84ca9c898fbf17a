"""CloudEvents 1.0 over HTTP, in both of its modes: a request that is an event gets an answer that is one.

In binary mode the event's attributes are header fields, ``ce-id`` and so on, and the body is its data. In structured
mode the body is a JSON object of all of it. What the answer's attributes are is KServe's to say (data plane reference,
1.2 and 1.3) and the variables ``CE_SOURCE``, ``CE_TYPE`` and ``CE_MERGE``.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mizzen.http.headers import Headers, encode
from mizzen.serve.codecs import bodies
from mizzen.serve.errors import InvalidInput

MEDIA_TYPE = b"application/cloudevents+json"

_REQUIRED = ("specversion", "id", "source", "type")
_STRUCTURED = {*_REQUIRED, "time", "data"}
_VERSIONS = ("1.0", "0.3")
_DEFAULT_TYPE = "io.kserve.inference.response"
_DEFAULT_SOURCE = "io.kserve.inference."

_JSON = b"content-type: application/json\r\n"
_EVENT = b"content-type: " + MEDIA_TYPE + b"\r\n"


@dataclass(slots=True)
class Event:
    """A request that came as an event.

    Attributes:
        attributes: all of them, extensions included, by their names without ``ce-``.
        structured: whether the answer is to be one JSON object, too.
    """

    attributes: dict[str, Any]
    structured: bool


def of_headers(headers: Headers) -> Event | None:
    """The event that header fields make of a request; None if they lack an attribute that every event has.

    Raises:
        InvalidInput: its version is not known.
    """
    found = {name[3:].decode("latin-1"): value.decode("latin-1") for name, value in headers if name.startswith(b"ce-")}
    if any(name not in found for name in _REQUIRED):
        return None
    _check(found["specversion"])
    return Event(found, structured=False)


def of_body(value: Any, declared: bool) -> tuple[Event, Any] | None:
    """The event that a JSON value is, and its data; None if it is none.

    Args:
        declared: whether the media type says that it is one. An object that does not say so must have all attributes
            that KServe looks for, and its answer is no event.

    Raises:
        InvalidInput: its version is not known, or its data is not what it says.
    """
    if not isinstance(value, dict):
        return None
    wanted = _REQUIRED if declared else _STRUCTURED
    if any(name not in value for name in wanted):
        return None
    _check(value["specversion"])
    attributes = {name: item for name, item in value.items() if name not in ("data", "data_base64")}
    return Event(attributes, structured=True), _data(value)


def _check(version: Any) -> None:
    if version not in _VERSIONS:
        raise InvalidInput(f"Cloud Event Exceptions: Found invalid specversion {version}")


def _data(value: dict[str, Any]) -> Any:
    """An event's data: a JSON value, or bytes."""
    if "data_base64" in value:
        try:
            data = base64.b64decode(value["data_base64"], validate=True)
        except (binascii.Error, ValueError, TypeError) as error:
            raise InvalidInput(f"the event's data_base64 holds no base64: {error}") from None
        return plain(data)
    found = value.get("data")
    media = value.get("datacontenttype")
    if isinstance(found, str) and isinstance(media, str) and _is_json(media):
        # Some senders put the JSON as a text. It is what they say it is.
        return plain(found.encode())
    return found


def plain(data: bytes) -> Any:
    """The data of an event in binary mode: a JSON value where it is one, else the bytes as they are."""
    try:
        return bodies.decode_json(data)
    except InvalidInput:
        return data


def _is_json(media: str) -> bool:
    kind = media.partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")


class Replies:
    """What answers look like that are events.

    Args:
        environ: ``CE_SOURCE`` and ``CE_TYPE`` name their attributes; ``CE_MERGE=true`` keeps the request's others.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._source = environ.get("CE_SOURCE", "")
        self._type = environ.get("CE_TYPE", "") or _DEFAULT_TYPE
        self._merge = environ.get("CE_MERGE", "").lower() == "true"

    def wrap(self, event: Event, model: str, body: bytes, media: bytes = _JSON) -> tuple[bytes, bytes]:
        """The body and the header lines of the answer to an event.

        Args:
            body: what the answer would be if there were no events.
            media: the header line that tells what it is; if it is not JSON, a structured event carries it as base64.
        """
        attributes = self._attributes(event, model)
        if not event.structured:
            fields = encode((f"ce-{name}".encode(), _line(value)) for name, value in attributes.items())
            return body, fields + media
        head = bodies.encode(attributes)[:-1]
        if media == _JSON:
            return b'%b,"data":%b}' % (head, body), _EVENT
        return b'%b,"data_base64":"%b"}' % (head, base64.b64encode(body)), _EVENT

    def _attributes(self, event: Event, model: str) -> dict[str, Any]:
        found = {
            "specversion": "1.0",
            "id": str(uuid.uuid4()),
            "source": self._source or _DEFAULT_SOURCE + model,
            "type": self._type,
            "time": datetime.now(UTC).isoformat(timespec="microseconds"),
        }
        if self._merge:
            # The data's own media type is not the request's.
            kept = {name: value for name, value in event.attributes.items() if name != "datacontenttype"}
            return {**kept, **found}
        return found


def _line(value: Any) -> bytes:
    """An attribute as a header field's value: text beyond ASCII in percent-encoding, as the binding says."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return "".join(
        one if " " <= one <= "~" and one not in '"%' else "".join(f"%{byte:02X}" for byte in one.encode())
        for one in text
    ).encode()
