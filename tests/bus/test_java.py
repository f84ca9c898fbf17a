"""Properties of Java clients, as librdkafka is told them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.bus import Bus, BusError, BusSettings, of_java

PLAIN = 'org.apache.kafka.common.security.plain.PlainLoginModule required username="me" password="secret";'
SCRAM = PLAIN.replace("plain.Plain", "scram.Scram")


@pytest.mark.parametrize(
    ("java", "expected"),
    [
        ({}, {}),
        # What the Helm charts of ONAP set when nothing is secured.
        ({"security.protocol": "PLAINTEXT", "sasl.mechanism": "GSSAPI", "sasl.jaas.config": ""},
         {"security.protocol": "PLAINTEXT"}),
        # And what they set when it is.
        ({"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "SCRAM-SHA-512", "sasl.jaas.config": SCRAM},
         {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "SCRAM-SHA-512",
          "sasl.username": "me", "sasl.password": "secret"}),
        ({"security.protocol": "sasl_ssl", "sasl.mechanism": "PLAIN", "sasl.jaas.config": PLAIN,
          "ssl.truststore.type": "PEM", "ssl.truststore.location": "/ca.crt", "ssl.truststore.password": "unused"},
         {"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.username": "me",
          "sasl.password": "secret", "ssl.ca.location": "/ca.crt"}),
        ({"ssl.truststore.location": "/ca.pem"}, {"ssl.ca.location": "/ca.pem"}),
        ({"ssl.truststore.certificates": "PEM"}, {"ssl.ca.pem": "PEM"}),
        ({"ssl.keystore.location": "/me.p12", "ssl.keystore.password": "pw"},
         {"ssl.keystore.location": "/me.p12", "ssl.keystore.password": "pw"}),
        ({"ssl.keystore.type": "PEM", "ssl.keystore.location": "/me.pem", "ssl.key.password": "pw"},
         {"ssl.certificate.location": "/me.pem", "ssl.key.location": "/me.pem", "ssl.key.password": "pw"}),
        ({"ssl.keystore.certificate.chain": "CHAIN", "ssl.keystore.key": "KEY"},
         {"ssl.certificate.pem": "CHAIN", "ssl.key.pem": "KEY"}),
        ({"ssl.endpoint.identification.algorithm": ""}, {"ssl.endpoint.identification.algorithm": "none"}),
        ({"fetch.max.wait.ms": "20", "session.timeout.ms": "6000"},
         {"fetch.wait.max.ms": "20", "session.timeout.ms": "6000"}),
        ({"buffer.memory": "33554432", "max.request.size": "5000000", "delivery.timeout.ms": "9000"},
         {"queue.buffering.max.kbytes": "32768", "message.max.bytes": "5000000", "delivery.timeout.ms": "9000"}),
        ({"key.deserializer": "org.apache.kafka.common.serialization.StringDeserializer"}, {}),
    ],
)  # fmt: skip
def test_what_has_a_counterpart_is_translated(java: dict[str, str], expected: dict[str, str]) -> None:
    assert of_java(java) == (expected, [])


@pytest.mark.parametrize(
    ("java", "warning"),
    [
        ({"max.poll.records": "5"}, "max.poll.records has no counterpart in librdkafka and is ignored"),
        ({"enable.auto.commit": "true"}, "is ignored: an offset is committed when its record has been handled"),
        ({"group.id": "readers"}, "is ignored: the group is named apart"),
        ({"metric.reporters": "x"}, "metric.reporters has no counterpart"),
        ({"ssl.truststore.location": "/store.jks"}, "/store.jks is a JKS store, which librdkafka cannot read"),
        ({"ssl.truststore.location": "/store.p12"}, "/store.p12 is a PKCS12 store, which librdkafka cannot read"),
        ({"ssl.keystore.location": "/store.jks"}, "keytool -importkeystore -srckeystore /store.jks"),
        ({"security.protocol": "SASL_SSL", "sasl.mechanism": "GSSAPI"}, "GSSAPI is handed on as it is"),
        ({"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN"}, "PLAIN needs sasl.jaas.config"),
        ({"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.jaas.config": SCRAM},
         "names ScramLoginModule, which is not the login module of PLAIN"),
    ],
)  # fmt: skip
def test_what_has_none_is_a_warning_that_names_it(java: dict[str, str], warning: str) -> None:
    _, warnings = of_java(java)
    assert len(warnings) == 1 and warning in warnings[0]


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        PLAIN.removesuffix(";"),
        PLAIN.replace("required", "whenever"),
        PLAIN.replace('"secret"', '"secret'),
        PLAIN.replace('="secret"', ""),
        PLAIN.replace('password="secret"', ""),
        PLAIN + PLAIN,
        '"" = ;',
    ],
)
def test_a_line_of_jaas_that_cannot_be_read_is_refused_without_telling_the_password(line: str) -> None:
    java = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.jaas.config": line}
    with pytest.raises(BusError, match=r"^sasl\.jaas\.config") as refused:
        of_java(java)
    assert "secret" not in str(refused.value)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), st.sampled_from("\"'"))
def test_a_quoted_password_survives_whatever_it_is(password: str, quote: str) -> None:
    # of_java strips the line as a whole, not what stands in its quotes.
    quoted = password.replace("\\", "\\\\").replace(quote, "\\" + quote)
    line = f"x.ScramLoginModule  required\n  username = me password={quote}{quoted}{quote} ;"
    java = {"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-256", "sasl.jaas.config": line}
    properties, warnings = of_java(java)
    assert (properties["sasl.username"], properties["sasl.password"], warnings) == ("me", password, [])


@given(st.text())
def test_any_line_is_read_or_refused(line: str) -> None:
    java = {"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.jaas.config": line}
    try:
        of_java(java)
    except BusError as refused:
        assert str(refused).startswith("sasl.jaas.config")


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_librdkafka_takes_the_translation(mechanism: str) -> None:
    """As configuration only: no broker with SASL is there to be spoken to."""
    line = PLAIN if mechanism == "PLAIN" else SCRAM
    java = {"security.protocol": "SASL_SSL", "sasl.mechanism": mechanism, "sasl.jaas.config": line}
    properties, warnings = of_java(java)
    assert warnings == []
    async with Bus(BusSettings("127.0.0.1:1", properties=properties, quick=True)) as bus:
        assert await bus.check(0.2) is not None
