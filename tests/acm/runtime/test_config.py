"""Settings from a file, from the environment with ONAP's names, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mizzen.acm.messages.dialects import Dialect
from mizzen.acm.runtime.config import ENVIRONMENT, Misconfigured, Settings, read


def test_defaults() -> None:
    settings, warnings = read(environment={})
    assert settings == Settings()
    assert (settings.max_operation_wait_ms, settings.settle_ms, settings.phase_pause_ms) == (600_000, 0, 300)
    assert settings.topics.operation == "policy-acruntime-participant"
    assert not warnings


def test_every_name_of_the_environment_is_a_setting() -> None:
    assert set(ENVIRONMENT.values()) <= set(Settings.__struct_fields__)


def test_the_environment_wins_over_the_file_and_the_caller_over_both(tmp_path: Path) -> None:
    file = tmp_path / "runtime.yaml"
    file.write_text("group: of-file\nHEART_BEAT: 5000\nbroker: of-file:1\ndialect: b\nkafka: {client.rack: a}\n")
    environment = {
        "KAFKA_SERVER": "of-environment:1",
        "BASIC_AUTH": "false",
        "MAX_OPERATION_WAIT": "36000",
        "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "KAFKA_SASL_JAAS_CONFIG": 'org.x.ScramLoginModule required username="u" password="p";',
        "SQL_HOST": "db",
        "SQL_USER": "policy",
        "SQL_PASSWORD": "a/b",
    }
    settings, _ = read(file, environment, broker="given:1", user=None)
    assert (settings.group, settings.heart_beat_ms, settings.broker) == ("of-file", 5000, "given:1")
    assert (settings.basic_auth, settings.max_operation_wait_ms) == (False, 36_000)
    assert settings.dialect is Dialect.B
    assert settings.kafka["sasl.username"] == "u"
    assert settings.kafka["client.rack"] == "a"
    assert settings.database == "postgresql+psycopg://policy:a%2Fb@db:5432/clampacm"
    assert settings.bus(quick=True).quick


def test_what_is_not_heeded_is_said() -> None:
    _, warnings = read(environment={"TOPIC_VALIDATION": "true", "KAFKA_SERVER": "a:1"})
    assert warnings == ["TOPIC_VALIDATION is not heeded: topics that are missing are created at start"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("heart_beat_ms: soon", "heart_beat_ms"),
        ("colour: red", "colour"),
        ("- a list", "no mapping"),
        ("a: [", "is no YAML"),
        ("dialect: c", "dialect"),
        ("encryption: true", "MSG_ENCRYPTION_KEY"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "runtime.yaml"
    file.write_text(text)
    with pytest.raises(Misconfigured, match=said):
        read(file, {})


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="cannot be read"):
        read(tmp_path / "none.yaml", {})
