"""What goes wrong with a Kafka broker, as a sentence.

librdkafka reports one event many times and in its own words (``1/1 brokers are down``, ``after 0ms in state CONNECT``).
Here its codes become a :class:`Trouble`: a kind, by which one trouble is told from another, and a clause that says what
a person would do about it. The clause continues a sentence that has named the broker already.
"""

from __future__ import annotations

import re
from typing import Protocol

import msgspec

from mizzen.errors import MizzenError

_PREFIX = re.compile(r"^(?:(?:\w+://)?[\w.\-:\[\]#]+/\w+|GroupCoordinator): ")
_SUFFIX = re.compile(r" \(after \d+ms in state \w+(?:, \d+ identical error\(s\) suppressed)?\)$")
_DIALLED = re.compile(r"^Connect to \S+ failed: ")
_OPENSSL = re.compile(r"error:[0-9A-F]+:[^:]*:[^:]*:")

# Without an answer from a broker there is nothing to be said about topics.
_UNANSWERED = {
    "_TRANSPORT",
    "_ALL_BROKERS_DOWN",
    "_TIMED_OUT",
    "_TIMED_OUT_QUEUE",
    "_RESOLVE",
    "_SSL",
    "_AUTHENTICATION",
    "_DESTROY",
    "SASL_AUTHENTICATION_FAILED",
    "UNSUPPORTED_SASL_MECHANISM",
    "ILLEGAL_SASL_STATE",
}
_MISSING = {"UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION"}


class BusError(MizzenError):
    """What could not be sent, read, created or configured, and why.

    Attributes:
        refused: the broker will not take this record, however often it is sent.
    """

    refused = False


class Failure(Protocol):
    """What is used here of ``confluent_kafka.KafkaError``, which may not be installed."""

    def name(self) -> str: ...
    def str(self) -> str: ...


class Trouble(msgspec.Struct, frozen=True):
    """``kind`` is librdkafka's name of the error, ``text`` a clause for a person."""

    kind: str
    text: str


def is_unanswered(error: Failure) -> bool:
    """Whether the error says that no broker answered, rather than what one answered."""
    return error.name() in _UNANSWERED


def is_vague(error: Failure) -> bool:
    """Whether the error only sums up others that say more."""
    return error.name() in {"_ALL_BROKERS_DOWN", "_TIMED_OUT", "_TIMED_OUT_QUEUE", "_DESTROY"}


def is_missing(error: Failure) -> bool:
    """Whether a topic or partition is not there (yet)."""
    return error.name() in _MISSING


def trouble(error: Failure) -> Trouble:
    """The error as a clause that follows the broker's name and a colon."""
    name, said = error.name(), _plain(error.str())
    if "certificate verify failed" in said:
        name = "_SSL"  # the same event is reported as an error of the transport too
    return Trouble(name, _clause(name, said))


def _clause(name: str, said: str) -> str:
    match name:
        case "_SSL" if "certificate verify failed" in said or "certificate issuer" in said:
            return (
                "its certificate is not signed by an authority that is trusted here; "
                "name the right one with ssl.ca.location"
            )
        case "_SSL" if "PLAINTEXT" in said:
            return "it does not speak TLS at this port; security.protocol says that it does"
        case "_SSL":
            return f"the TLS handshake failed: {said}"
        case "_AUTHENTICATION" | "SASL_AUTHENTICATION_FAILED":
            return f"it refuses the user and password (sasl.username, sasl.password): {said}"
        case "UNSUPPORTED_SASL_MECHANISM":
            return f"it does not offer this sasl.mechanism: {said}"
        case "_RESOLVE":
            return f"the host has no address: {said}"
        case "_TRANSPORT" if "transport failure" in said:
            return "the connection broke"
        case "_ALL_BROKERS_DOWN" | "_TIMED_OUT" | "_TIMED_OUT_QUEUE":
            return "it does not answer"
        case _ if name in _MISSING:
            return "the topic does not exist"
        case "TOPIC_AUTHORIZATION_FAILED":
            return "the user is not permitted to use the topic (an ACL of the broker)"
        case "GROUP_AUTHORIZATION_FAILED":
            return "the user is not permitted to use the consumer group (an ACL of the broker)"
        case "MSG_SIZE_TOO_LARGE":
            return (
                "the message is larger than permitted "
                "(here by the producer's message.max.bytes, there by the topic's max.message.bytes)"
            )
        case "_PURGE_QUEUE" | "_PURGE_INFLIGHT":
            return "this connection is closed"
        case _:
            return said


def _plain(said: str) -> str:
    """librdkafka's words without the broker's name before and the connection's state after."""
    said = _SUFFIX.sub("", _PREFIX.sub("", said))
    said = _OPENSSL.sub("", _DIALLED.sub("", said))
    return said[:1].lower() + said[1:] if said[1:2].islower() else said
