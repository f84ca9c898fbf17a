"""Properties as a Java client of Kafka takes them, translated for librdkafka.

Existing installations are configured for Java: most names are the same, some are spelt differently, credentials hide
in a line of JAAS, and certificates in stores of which librdkafka can read some. What has no counterpart is told by
name, with what would do instead; what a Java client would not read either (SASL while the protocol has none) is left
out in silence.
"""

from __future__ import annotations

from collections.abc import Mapping

from mizzen.bus import jaas
from mizzen.bus.errors import BusError

_SAME = {
    "acks",
    "allow.auto.create.topics",
    "auto.offset.reset",
    "batch.size",
    "check.crcs",
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "compression.type",
    "connections.max.idle.ms",
    "delivery.timeout.ms",
    "enable.idempotence",
    "fetch.max.bytes",
    "fetch.min.bytes",
    "group.instance.id",
    "heartbeat.interval.ms",
    "isolation.level",
    "linger.ms",
    "max.in.flight.requests.per.connection",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "metadata.max.age.ms",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "retries",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "session.timeout.ms",
    "sasl.kerberos.service.name",
    "ssl.key.password",
}
_RENAMED = {
    "fetch.max.wait.ms": "fetch.wait.max.ms",
    "max.request.size": "message.max.bytes",
    "receive.buffer.bytes": "socket.receive.buffer.bytes",
    "request.timeout.ms": "socket.timeout.ms",
    "send.buffer.bytes": "socket.send.buffer.bytes",
    "socket.connection.setup.timeout.ms": "socket.connection.setup.timeout.ms",
    "ssl.keystore.certificate.chain": "ssl.certificate.pem",
    "ssl.keystore.key": "ssl.key.pem",
    "ssl.truststore.certificates": "ssl.ca.pem",
}
# Of a value of the Java client's own kind (a class), or about the machinery of one: nothing is lost without them.
_NEEDLESS = {
    "key.deserializer",
    "key.serializer",
    "value.deserializer",
    "value.serializer",
    "ssl.keymanager.algorithm",
    "ssl.trustmanager.algorithm",
    "sasl.login.refresh.window.factor",
    "sasl.login.refresh.window.jitter",
}
_INSTEAD = {
    "bootstrap.servers": "brokers are named apart",
    "group.id": "the group is named apart",
    "auto.commit.interval.ms": "an offset is committed when its record has been handled",
    "enable.auto.commit": "an offset is committed when its record has been handled",
    "max.poll.records": "records are handled as they come",
    "partition.assignment.strategy": "range and roundrobin are offered",
    "partitioner.class": "a key's partition is the one of Java's default partitioner",
}
_SASL = {"SASL_PLAINTEXT", "SASL_SSL"}
_PASSWORD_MODULES = {
    "PlainLoginModule": {"PLAIN"},
    "ScramLoginModule": {"SCRAM-SHA-256", "SCRAM-SHA-512"},
}


def of_java(properties: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """librdkafka's properties for a Java client's, and a warning for each that has no counterpart.

    A property with an empty value is as good as none, except where empty means something
    (``ssl.endpoint.identification.algorithm``).

    Raises:
        BusError: ``sasl.jaas.config`` cannot be read, or lacks the user or the password.
    """
    given = {key.strip(): str(value).strip() for key, value in properties.items()}
    protocol = given.get("security.protocol", "").upper()
    translated: dict[str, str] = {"security.protocol": protocol} if protocol else {}
    warnings: list[str] = []
    for translate in (_sasl, _truststore, _keystore, _hostname):
        found, warned = translate(given, protocol)
        translated |= found
        warnings += warned
    for key, value in given.items():
        if key in _SAME and value:
            translated[key] = value
        elif key in _RENAMED and value:
            translated[_RENAMED[key]] = value
        elif key == "buffer.memory" and value:
            translated["queue.buffering.max.kbytes"] = str(max(1, int(value) // 1024)) if value.isdecimal() else value
        elif value and not _is_handled(key):
            why = f": {_INSTEAD[key]}" if key in _INSTEAD else ""
            warnings.append(f"{key} has no counterpart in librdkafka and is ignored{why}")
    return translated, warnings


def _is_handled(key: str) -> bool:
    return (
        key in _NEEDLESS
        or key in {"security.protocol", "sasl.mechanism", "sasl.jaas.config"}
        or key.startswith(("ssl.truststore.", "ssl.keystore."))
        or key == "ssl.endpoint.identification.algorithm"
    )


_Translated = tuple[dict[str, str], list[str]]


def _sasl(given: Mapping[str, str], protocol: str) -> _Translated:
    if protocol not in _SASL:
        return {}, []
    mechanism = given.get("sasl.mechanism") or "GSSAPI"
    translated, warnings = {"sasl.mechanism": mechanism}, []
    if mechanism not in {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}:
        warnings.append(
            f"sasl.mechanism {mechanism} is handed on as it is, without the options of sasl.jaas.config; "
            "of PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512 they are translated"
        )
        return translated, warnings
    line = given.get("sasl.jaas.config")
    if not line:
        return translated, [f"sasl.mechanism {mechanism} needs sasl.jaas.config with a user and a password"]
    login = jaas.read(line)
    if mechanism not in _PASSWORD_MODULES.get(login.module, set()):
        warnings.append(f"sasl.jaas.config names {login.module}, which is not the login module of {mechanism}")
    for option in ("username", "password"):
        if option not in login.options:
            raise BusError(f"sasl.jaas.config has no option {option}, which {mechanism} needs")
        translated[f"sasl.{option}"] = login.options[option]
    return translated, warnings


def _truststore(given: Mapping[str, str], protocol: str) -> _Translated:
    location = given.get("ssl.truststore.location")
    if not location:
        return {}, []
    kind = _store_type(given.get("ssl.truststore.type"), location)
    if kind == "PEM":
        return {"ssl.ca.location": location}, []
    return {}, [
        f"ssl.truststore.location {location} is a {kind} store, which librdkafka cannot read: write its certificates "
        f"into a PEM file (keytool -list -rfc -keystore {location}) and set ssl.truststore.type to PEM"
    ]


def _keystore(given: Mapping[str, str], protocol: str) -> _Translated:
    location = given.get("ssl.keystore.location")
    if not location:
        return {}, []
    match _store_type(given.get("ssl.keystore.type"), location):
        case "PEM":
            return {"ssl.certificate.location": location, "ssl.key.location": location}, []
        case "PKCS12":
            password = given.get("ssl.keystore.password")
            return {"ssl.keystore.location": location} | ({"ssl.keystore.password": password} if password else {}), []
        case kind:
            return {}, [
                f"ssl.keystore.location {location} is a {kind} store, which librdkafka cannot read: convert it "
                f"(keytool -importkeystore -srckeystore {location} -destkeystore keystore.p12 -deststoretype PKCS12)"
            ]


def _store_type(given: str | None, location: str) -> str:
    """The kind of a store; where none is said, by the file's name, since Java reads PKCS#12 under the name of JKS."""
    if given:
        return given.upper()
    lower = location.lower()
    if lower.endswith((".p12", ".pfx")):
        return "PKCS12"
    return "PEM" if lower.endswith((".pem", ".crt", ".cer")) else "JKS"


def _hostname(given: Mapping[str, str], protocol: str) -> _Translated:
    algorithm = given.get("ssl.endpoint.identification.algorithm")
    return ({}, []) if algorithm is None else ({"ssl.endpoint.identification.algorithm": algorithm or "none"}, [])
