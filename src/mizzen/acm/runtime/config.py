"""What a runtime is told: by a YAML file, by the environment, or by whoever starts it.

The environment's names are those of ONAP's runtime, so an installation's values go on working; a file has the names of
the fields here, or theirs. What the environment says wins over the file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import Struct

from mizzen.acm.messages.dialects import Dialect
from mizzen.acm.messages.topics import Topics
from mizzen.acm.tosca.names import Names
from mizzen.bus import BusSettings, of_java
from mizzen.errors import MizzenError


class Misconfigured(MizzenError):
    """A setting is wrong; the sentence names it."""


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes:

    database: ``sqlite:///FILE``, a path, or ``postgresql://USER:PASSWORD@HOST:PORT/NAME``.
    broker: ``host:port``, several with commas between.
    kafka: further properties of the Kafka client, by librdkafka's names.
    group: the consumer group that all runtimes of one database share.
    operation_topic: orders, and all that participants say.
    sync_topic: what every replica of a participant is told.
    partitions: of topics that are created.
    heart_beat_ms: how often participants' processes that went silent are looked for.
    max_status_wait_ms: after which silence a participant's process counts as gone.
    max_operation_wait_ms: after which an order counts as timed out, where nothing else is said.
    settle_ms: how long answers are collected before what they come to is looked at; ONAP's runtime waits 500.
    phase_pause_ms: between the end of a phase and the order of the next, for participants that are slow to store.
    scan_ms: how often time-outs are looked for.
    dialect: ``both``, ``a`` or ``b``: the forms of orders that are sent.
    tosca_element_name: what makes a node template an element.
    tosca_composition_name: what makes it the composition.
    encryption: whether sensitive properties are encrypted in the database.
    encryption_key: the secret for it.
    encryption_key_file: a file that has the secret.
    message_log: how many messages the log keeps.
    kafka_health: whether being ready takes a Kafka that answers.
    user: for REST and pages.
    password: for REST and pages.
    basic_auth: whether they ask for it.
    """

    database: str = "sqlite:///mizzen-acm.db"
    broker: str = "kafka:9092"
    kafka: dict[str, str] = {}
    group: str = "acm-runtime"
    operation_topic: str = Topics().operation
    sync_topic: str = Topics().sync
    partitions: int = 10
    heart_beat_ms: int = 120_000
    max_status_wait_ms: int = 150_000
    max_operation_wait_ms: int = 600_000
    settle_ms: int = 0
    phase_pause_ms: int = 300
    scan_ms: int = 1000
    dialect: Dialect = Dialect.BOTH
    tosca_element_name: str = Names().element
    tosca_composition_name: str = Names().composition
    encryption: bool = False
    encryption_key: str = ""
    encryption_key_file: str = ""
    message_log: int = 5000
    kafka_health: bool = True
    user: str = ""
    password: str = ""
    basic_auth: bool = True

    @property
    def topics(self) -> Topics:
        return Topics(operation=self.operation_topic, sync=self.sync_topic)

    @property
    def names(self) -> Names:
        return Names(element=self.tosca_element_name, composition=self.tosca_composition_name)

    def secret(self) -> str | None:
        """What sensitive properties are encrypted with; None where they are not.

        Raises:
            Misconfigured: there is to be encryption, and no secret.
        """
        if not self.encryption:
            return None
        if self.encryption_key_file:
            try:
                found = Path(self.encryption_key_file).read_text().strip()
            except OSError as error:
                raise Misconfigured(f"encryption_key_file {self.encryption_key_file}: {error.strerror}") from None
        else:
            found = self.encryption_key
        if not found:
            raise Misconfigured(
                "encryption of sensitive properties is on (MSG_ENABLE_ENCRYPTION), but there is no key: "
                "set MSG_ENCRYPTION_KEY, or MSG_ENCRYPTION_KEY_FILE to a file that has one"
            )
        return found

    def bus(self, *, quick: bool = False) -> BusSettings:
        """``quick``: the broker is the embedded one."""
        return BusSettings(servers=self.broker, properties=dict(self.kafka), quick=quick)


# The environment's names of ONAP's runtime, and ours for what it does not have.
ENVIRONMENT = {
    "RUNTIME_USER": "user",
    "RUNTIME_PASSWORD": "password",
    "BASIC_AUTH": "basic_auth",
    "KAFKA_SERVER": "broker",
    "KAFKA_GROUP_ID": "group",
    "KAFKA_HEALTHCHECK": "kafka_health",
    "RUNTIME_OPERATION_TOPIC": "operation_topic",
    "RUNTIME_SYNC_TOPIC": "sync_topic",
    "HEART_BEAT": "heart_beat_ms",
    "MAX_STATUS_WAIT": "max_status_wait_ms",
    "MAX_OPERATION_WAIT": "max_operation_wait_ms",
    "TOSCA_ELEMENT_NAME": "tosca_element_name",
    "TOSCA_COMPOSITION_NAME": "tosca_composition_name",
    "MSG_ENABLE_ENCRYPTION": "encryption",
    "MSG_ENCRYPTION_KEY": "encryption_key",
    "MSG_ENCRYPTION_KEY_FILE": "encryption_key_file",
    "MIZZEN_ACM_DATABASE": "database",
    "MIZZEN_ACM_DIALECT": "dialect",
    "MIZZEN_ACM_MESSAGE_LOG": "message_log",
    "MIZZEN_ACM_SETTLE_MS": "settle_ms",
    "MIZZEN_ACM_PHASE_PAUSE_MS": "phase_pause_ms",
}

# Told to the Kafka client, by Java's names.
_KAFKA = {
    "KAFKA_SECURITY_PROTOCOL": "security.protocol",
    "KAFKA_SASL_MECHANISM": "sasl.mechanism",
    "KAFKA_SASL_JAAS_CONFIG": "sasl.jaas.config",
    "KAFKA_RECONNECT_BACKOFF_MS": "reconnect.backoff.ms",
    "KAFKA_RECONNECT_BACKOFF_MAX_MS": "reconnect.backoff.max.ms",
}
# Known to ONAP's runtime, and without a counterpart here.
_WITHOUT = {
    "KAFKA_ALLOW_AUTO_CREATE_TOPICS": "topics that are missing are created at start, where the broker permits it",
    "KAFKA_AUTH_EXCEPTION_RETRY_INTERVAL": "reconnecting follows KAFKA_RECONNECT_BACKOFF_MS and its maximum",
    "TOPIC_VALIDATION": "topics that are missing are created at start",
    "PROMETHEUS_PORT": "numbers are told on the port of the API",
    "PROMETHEUS_PATH": "numbers are told at .../actuator/prometheus",
    "ALLOW_TRACING": "nothing is traced",
}
_SQL = ("SQL_HOST", "SQL_PORT", "SQL_USER", "SQL_PASSWORD")


def read(
    file: Path | str | None = None, environment: Mapping[str, str] | None = None, **given: Any
) -> tuple[Settings, list[str]]:
    """The settings, and warnings about what could not be taken over.

    Args:
        file: YAML with the fields of :class:`Settings`, or the environment's names.
        environment: None takes the process's own.
        given: fields that somebody decided; they win over all else. None counts as not given.

    Raises:
        Misconfigured: a value is not what its setting takes, or the file is not readable.
    """
    environment = os.environ if environment is None else environment
    told = _of_file(file)
    warnings: list[str] = []
    told |= {field: environment[name] for name, field in ENVIRONMENT.items() if environment.get(name)}
    java = {name: environment[variable] for variable, name in _KAFKA.items() if environment.get(variable)}
    if java:
        properties, warnings = of_java(java)
        told["kafka"] = {**told.get("kafka", {}), **properties}
    if any(environment.get(name) for name in _SQL) and not environment.get("MIZZEN_ACM_DATABASE"):
        told["database"] = _postgresql(environment)
    warnings += [f"{name} is not heeded: {why}" for name, why in _WITHOUT.items() if environment.get(name)]
    told |= {name: value for name, value in given.items() if value is not None}
    try:
        settings = msgspec.convert(told, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise Misconfigured(f"the runtime's settings{f' in {file}' if file else ''}: {error}") from None
    settings.secret()
    return settings, warnings


def _of_file(file: Path | str | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        told = yaml.safe_load(Path(file).read_text()) or {}
    except OSError as error:
        raise Misconfigured(f"the configuration {file} cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise Misconfigured(f"the configuration {file} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(told, dict):
        raise Misconfigured(f"the configuration {file} is no mapping of settings")
    return {ENVIRONMENT.get(str(name), str(name)): value for name, value in told.items()}


def _postgresql(environment: Mapping[str, str]) -> str:
    from sqlalchemy.engine import URL

    return URL.create(
        "postgresql+psycopg",
        username=environment.get("SQL_USER") or None,
        password=environment.get("SQL_PASSWORD") or None,
        host=environment.get("SQL_HOST") or "localhost",
        port=int(environment.get("SQL_PORT") or 5432),
        database="clampacm",
    ).render_as_string(hide_password=False)
