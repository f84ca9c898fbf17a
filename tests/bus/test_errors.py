"""librdkafka's errors as clauses for a person."""

from __future__ import annotations

import pytest

from mizzen.bus.errors import is_unanswered, trouble


class Said:
    def __init__(self, name: str, said: str) -> None:
        self._name, self._said = name, said

    def name(self) -> str:
        return self._name

    def str(self) -> str:
        return self._said


@pytest.mark.parametrize(
    ("name", "said", "clause"),
    [
        (
            "_TRANSPORT",
            "127.0.0.1:39093/111: Connect to ipv4#127.0.0.1:39093 failed: Connection refused (after 0ms in state "
            "CONNECT, 5 identical error(s) suppressed)",
            "connection refused",
        ),
        ("_TRANSPORT", "GroupCoordinator: Connect to ipv6#[::1]:9092 failed: Timed out", "timed out"),
        ("_TRANSPORT", "Failed while waiting for response: Local: Broker transport failure", "the connection broke"),
        ("_RESOLVE", "kafka:9092/bootstrap: Failed to resolve 'kafka:9092': Name or service not known (after 1ms in "
         "state CONNECT)", "the host has no address: failed to resolve 'kafka:9092': Name or service not known"),
        ("_ALL_BROKERS_DOWN", "1/1 brokers are down", "it does not answer"),
        ("_SSL", "ssl://a:1/bootstrap: SSL handshake failed: Disconnected: connecting to a PLAINTEXT broker "
         "listener? (after 3ms in state SSL_HANDSHAKE)",
         "it does not speak TLS at this port; security.protocol says that it does"),
        ("_TRANSPORT", "ssl://a:1/bootstrap: error:0A000086:SSL routines::certificate verify failed",
         "its certificate is not signed by an authority that is trusted here; name the right one with "
         "ssl.ca.location"),
        ("_AUTHENTICATION", "sasl_plaintext://a:1/bootstrap: SASL authentication error: Invalid credentials",
         "it refuses the user and password (sasl.username, sasl.password): SASL authentication error: Invalid "
         "credentials"),
        ("UNKNOWN_TOPIC_OR_PART", "Broker: Unknown topic or partition", "the topic does not exist"),
        ("GROUP_AUTHORIZATION_FAILED", "Broker: Group authorization failed",
         "the user is not permitted to use the consumer group (an ACL of the broker)"),
        ("POLICY_VIOLATION", "Topic replication factor must be 3", "topic replication factor must be 3"),
    ],
)  # fmt: skip
def test_a_clause_says_what_is_wrong_and_nothing_of_librdkafka(name: str, said: str, clause: str) -> None:
    assert trouble(Said(name, said)).text == clause


def test_one_event_that_is_reported_in_two_ways_is_one_trouble() -> None:
    said = "ssl://a:1/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: really"
    assert trouble(Said("_SSL", said)).kind == trouble(Said("_TRANSPORT", said)).kind


@pytest.mark.parametrize(("name", "unanswered"), [("_TRANSPORT", True), ("_SSL", True), ("POLICY_VIOLATION", False)])
def test_what_a_broker_says_is_an_answer(name: str, unanswered: bool) -> None:
    assert is_unanswered(Said(name, "")) is unanswered
