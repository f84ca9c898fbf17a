"""Configuration as ONAP's participants have it, in both shapes, and what is said of what cannot be used."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mizzen.acm.messages.topics import Topics
from mizzen.acm.participant.configuration import Configuration, load, read
from mizzen.acm.participant.configuration.placeholders import Unresolvable, resolve
from mizzen.acm.participant.configuration.settings import canonical
from mizzen.acm.participant.errors import Misconfigured
from mizzen.acm.participant.main import bus_settings, configured

NEWER = """
spring:
  application: {name: kserve-ppnt}
  security:
    user:
      name: ${HTTP_USER:participantUser}
      password: ${HTTP_PASSWORD:secret}
  autoconfigure:
    exclude:
      - a.b.C
security:
  enable-csrf: false
participant:
  intermediaryParameters:
    topics:
      operationTopic: policy-acruntime-participant
      syncTopic: acm-ppnt-sync
    threadPoolSize: 4
    failUnsupportedOperation: false
    reportingTimeIntervalMs: 60000
    description: Participant Kserve
    participantId: 101c62b3-8918-41b9-a747-d21eb79c6c04
    kafka:
      bootstrapServers: ${KAFKA_SERVER:kafka:9092}
      authExceptionRetryInterval: 5s
      consumer:
        groupId: policy-clamp-ac-kserve-ppnt
        properties:
          fetch.max.wait.ms: 100
      properties:
        security.protocol: ${KAFKA_SECURITY_PROTOCOL:PLAINTEXT}
        sasl.mechanism: ${KAFKA_SASL_MECHANISM:GSSAPI}
        sasl.jaas.config: ${KAFKA_SASL_JAAS_CONFIG:}
    participantSupportedElementTypes:
      - typeName: org.onap.policy.clamp.acm.KserveAutomationCompositionElement
        typeVersion: 1.0.1
customresourcedefinition:
  group: serving.kserve.io
  grace-period: 10
management:
  endpoints:
    web:
      base-path: /
server:
  port: ${SERVER_PORT:6969}
  servlet:
    context-path: /onap/policy/clamp/acm/kserveparticipant
"""

OLDER = """
participant:
  intermediaryParameters:
    topics:
      operationTopic: policy-acruntime-participant
      syncTopic: acm-ppnt-sync
    threadPoolSize: 10
    topicValidation: ${TOPIC_VALIDATION:false}
    clampAdminTopics:
      servers:
        - ${kafkaServer:kafka:9092}
      topicCommInfrastructure: ${topicCommInfrastructure:NOOP}
      additionalProps:
        sasl.jaas.config: ${kafkaSaslJaasConfig:}
    reportingTimeIntervalMs: 120000
    description: Participant Kserve
    participantId: 101c62b3-8918-41b9-a747-d21eb79c6c04
    clampAutomationCompositionTopics:
      topicSources:
        - topic: ${participant.intermediaryParameters.topics.operationTopic}
          servers:
            - ${kafkaServer:kafka:9092}
          topicCommInfrastructure: ${topicCommInfrastructure:NOOP}
          fetchTimeout: 15000
          useHttps: ${kafkaUseHttps:false}
          allowTracing: ${allowTracing:false}
          additionalProps:
            group.id: ${KAFKA_GROUP_ID:policy-clamp-ac-kserve-ppnt}
            allow.auto.create.topics: ${allowAutoCreateTopics:true}
            security.protocol: ${kafkaSecurityProtocol:PLAINTEXT}
            sasl.mechanism: ${kafkaSaslMechanism:GSSAPI}
            sasl.jaas.config: ${kafkaSaslJaasConfig:}
        - topic: ${participant.intermediaryParameters.topics.syncTopic}
          servers:
            - ${kafkaServer:kafka:9092}
          topicCommInfrastructure: ${topicCommInfrastructure:NOOP}
          fetchTimeout: 15000
          additionalProps:
            group.id: ${KAFKA_GROUP_ID:policy-clamp-ac-kserve-ppnt}-${POD_UID}
            allow.auto.create.topics: ${allowAutoCreateTopics:true}
            security.protocol: ${kafkaSecurityProtocol:PLAINTEXT}
            sasl.mechanism: ${kafkaSaslMechanism:GSSAPI}
            sasl.jaas.config: ${kafkaSaslJaasConfig:}
      topicSinks:
        - topic: ${participant.intermediaryParameters.topics.operationTopic}
          servers:
            - ${kafkaServer:kafka:9092}
          topicCommInfrastructure: ${topicCommInfrastructure:NOOP}
          additionalProps:
            allow.auto.create.topics: ${allowAutoCreateTopics:true}
            security.protocol: ${kafkaSecurityProtocol:PLAINTEXT}
            sasl.mechanism: ${kafkaSaslMechanism:GSSAPI}
            sasl.jaas.config: ${kafkaSaslJaasConfig:}
    participantSupportedElementTypes:
      -
        typeName: org.onap.policy.clamp.acm.KserveAutomationCompositionElement
        typeVersion: 1.0.1
server:
  port: 6969
  servlet:
    context-path: /onap/policy/clamp/acm/kserveparticipant
  ssl:
    enabled: false
tracing:
  enabled: ${allowTracing:false}
  exporter:
    endpoint: ${tracingExporterEndpoint:http://jaeger:4318/v1/traces}
"""
# As the chart of ONAP sets them.
HELM = {
    "HTTP_USER": "me",
    "HTTP_PASSWORD": "mine",
    "SERVER_PORT": "8087",
    "topicCommInfrastructure": "kafka",
    "kafkaServer": "onap-strimzi-kafka-bootstrap:9092",
    "KAFKA_GROUP_ID": "policy-clamp-ac-kserve-ppnt",
    "allowAutoCreateTopics": "false",
    "kafkaSecurityProtocol": "SASL_PLAINTEXT",
    "kafkaSaslMechanism": "SCRAM-SHA-512",
    "kafkaSaslJaasConfig": (
        'org.apache.kafka.common.security.scram.ScramLoginModule required username="strimzi" password="p=w;";'
    ),
    "POD_UID": "5c0c",
}


def given_file(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> Configuration:
    path = tmp_path / "application.yaml"
    path.write_text(text)
    return read(load([path], environment or {}))


def test_the_newer_shape(tmp_path: Path) -> None:
    found = given_file(tmp_path, NEWER)
    assert found.participant_id == UUID("101c62b3-8918-41b9-a747-d21eb79c6c04")
    [kind] = found.types
    assert kind.type_name == "org.onap.policy.clamp.acm.KserveAutomationCompositionElement"
    assert kind.type_version == "1.0.1"
    assert (found.pool_size, found.heartbeat, found.fail_unsupported) == (4, 60.0, False)
    assert found.topics == Topics()
    assert (found.host, found.port, found.context_path) == (
        "0.0.0.0",
        6969,
        "/onap/policy/clamp/acm/kserveparticipant",
    )
    assert found.credentials is not None
    assert (found.credentials.user, found.credentials.password) == ("participantUser", "secret")
    assert "secret" not in repr(found.credentials)
    kafka = found.kafka
    assert (kafka.servers, kafka.group) == ("kafka:9092", "policy-clamp-ac-kserve-ppnt")
    assert kafka.sync_group == f"policy-clamp-ac-kserve-ppnt-{found.replica_id}"
    settings, warnings = bus_settings(found)
    assert settings.properties == {"security.protocol": "PLAINTEXT"}
    assert settings.consumer == {"fetch.wait.max.ms": "100"}
    assert warnings == []
    assert found.settings.section("customresourcedefinition", ["grace-period"]) == {
        "group": "serving.kserve.io",
        "grace-period": "10",
    }
    assert found.warnings() == []


def test_the_older_shape_with_the_charts_variables(tmp_path: Path) -> None:
    found = given_file(tmp_path, OLDER, HELM)
    kafka = found.kafka
    assert kafka.servers == "onap-strimzi-kafka-bootstrap:9092"
    assert (kafka.group, kafka.sync_group) == ("policy-clamp-ac-kserve-ppnt", "policy-clamp-ac-kserve-ppnt-5c0c")
    assert found.port == 8087
    settings, warnings = bus_settings(found)
    assert settings.properties == {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "strimzi",
        "sasl.password": "p=w;",
        "allow.auto.create.topics": "false",
    }
    assert (settings.consumer, settings.producer, warnings) == ({}, {}, [])
    # The chart's file has no credentials of its own in this excerpt, and nothing else is amiss.
    assert [warning.partition(":")[0] for warning in found.warnings()] == ["spring.security.user.password"]


def test_failing_what_is_not_supported_is_off_unless_it_is_asked_for(tmp_path: Path) -> None:
    assert given_file(tmp_path, OLDER, HELM).fail_unsupported is False
    asked = {"PARTICIPANT_INTERMEDIARYPARAMETERS_FAILUNSUPPORTEDOPERATION": "true"}
    assert given_file(tmp_path, NEWER, asked).fail_unsupported is True


@pytest.mark.parametrize(
    ("name", "value", "read_as"),
    [
        ("PARTICIPANT_INTERMEDIARYPARAMETERS_THREADPOOLSIZE", "7", lambda found: found.pool_size == 7),
        ("PARTICIPANT_INTERMEDIARYPARAMETERS_TOPICS_SYNCTOPIC", "other", lambda found: found.topics.sync == "other"),
        ("SERVER_PORT", "0", lambda found: found.port == 0),
        ("SERVER_SERVLET_CONTEXTPATH", "x/", lambda found: found.context_path == "/x"),
        ("KAFKA_SERVER", "a:1,b:2", lambda found: found.kafka.servers == "a:1,b:2"),
        ("MIZZEN_SYNCGROUPID", "policy-clamp-ac-kserve-ppnt-x", lambda found: found.kafka.sync_group.endswith("-x")),
        ("MIZZEN_GENERICFAILURETEXTS", "true", lambda found: found.generic_failure_texts),
        ("MIZZEN_HELDMESSAGETIMEOUTMS", "36000", lambda found: found.held_timeout == 36),
        ("POD_UID", "77", lambda found: found.kafka.sync_group == "policy-clamp-ac-kserve-ppnt-77"),
        (
            "PARTICIPANT_INTERMEDIARYPARAMETERS_KAFKA_PROPERTIES_SECURITY_PROTOCOL",
            "SSL",
            lambda found: found.kafka.properties["security.protocol"] == "SSL",
        ),
        (
            "PARTICIPANT_INTERMEDIARYPARAMETERS_PARTICIPANTSUPPORTEDELEMENTTYPES_0_TYPEVERSION",
            "2.0.0",
            lambda found: found.types[0].type_version == "2.0.0",
        ),
    ],
)
def test_variables_go_before_files(tmp_path: Path, name: str, value: str, read_as) -> None:  # type: ignore[no-untyped-def]
    assert not read_as(given_file(tmp_path, NEWER))
    assert read_as(given_file(tmp_path, NEWER, {name: value}))


@pytest.mark.parametrize(
    ("was", "becomes", "says"),
    [
        ("participantId: 101c62b3-8918-41b9-a747-d21eb79c6c04", "participantId: me", "participantId: 'me' is no UUID"),
        ("participantId: 101c62b3-8918-41b9-a747-d21eb79c6c04", "", "participantId: is missing; it takes a UUID"),
        ("threadPoolSize: 4", "threadPoolSize: none", "threadPoolSize: 'none' is not a whole number of at least 1"),
        ("failUnsupportedOperation: false", "failUnsupportedOperation: maybe", "'maybe' is not true or false"),
        ("typeVersion: 1.0.1", "typeVersion: one", "participantSupportedElementTypes[0].typeVersion: 'one' is not"),
        ("typeName: org", "typeName: a b org", "participantSupportedElementTypes[0].typeName:"),
        ("bootstrapServers: ${KAFKA_SERVER:kafka:9092}", "", "kafka.bootstrapServers: is missing"),
        ("groupId: policy-clamp-ac-kserve-ppnt", "", "kafka.consumer.groupId: is missing"),
        ("${KAFKA_SERVER:kafka:9092}", "${KAFKA_SERVER}", "${KAFKA_SERVER} has no value: set the environment variable"),
        ("${KAFKA_SERVER:kafka:9092}", "${KAFKA_SERVER", "has no end"),
        ("${SERVER_PORT:6969}", "70000", "server.port: '70000' is not a whole number from 0 to 65535"),
        ("  servlet:", "  ssl: {enabled: true}\n  servlet:", "server.ssl.enabled: HTTPS is not served here"),
    ],
)
def test_what_is_wrong_is_told_with_its_path_and_its_file(tmp_path: Path, was: str, becomes: str, says: str) -> None:
    assert was in NEWER
    with pytest.raises(Misconfigured) as caught:
        given_file(tmp_path, NEWER.replace(was, becomes))
    [problem] = caught.value.problems
    assert says in problem
    if "missing" not in says:
        assert str(tmp_path / "application.yaml") in problem


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as caught:
        given_file(tmp_path, "participant: {intermediaryParameters: {threadPoolSize: 0}}")
    assert len(caught.value.problems) == 5
    assert all(problem.startswith("participant.intermediaryParameters.") for problem in caught.value.problems)


def test_what_is_not_supported_is_named(tmp_path: Path) -> None:
    found = given_file(tmp_path, NEWER + "\nextra:\n  list:\n    - 1\nserver.error.path: /e\n")
    path = tmp_path / "application.yaml"
    keys = (
        "extra.list[0]",
        "server.error.path",
        "customresourcedefinition.group",
        "customresourcedefinition.grace-period",
    )
    assert set(found.warnings()) == {f"{key} ({path}): not supported, and ignored" for key in keys}


def test_infrastructure_that_is_not_kafka_is_told(tmp_path: Path) -> None:
    found = given_file(tmp_path, OLDER, HELM | {"topicCommInfrastructure": "NOOP", "allowTracing": "true"})
    warnings = "\n".join(found.warnings())
    assert "topicSources[0].topicCommInfrastructure: NOOP is not supported: Kafka is used" in warnings
    assert "topicSources[0].allowTracing: not supported" in warnings
    assert "tracing.enabled: traces are not exported" in warnings


def test_later_files_go_before_earlier_and_replace_lists(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("a: 1\nlist: [x, y, z]\nmaps: [{k: 1, l: 2}]\n")
    (tmp_path / "two.yml").write_text("a: 2\nlist: [q]\nmaps: [{k: 3}]\n")
    locations = f"{tmp_path / 'one.yaml'},optional:file:{tmp_path / 'none.yaml'};file:{tmp_path / 'two.yml'}"
    settings = load([], {"SPRING_CONFIG_LOCATION": locations})
    assert (settings.text("a"), settings.texts("list")) == ("2", ["q"])
    assert (settings.text("maps[0].k"), settings.text("maps[0].l")) == ("3", "")


def test_a_folder_stands_for_the_file_in_it(tmp_path: Path) -> None:
    (tmp_path / "application.properties").write_text(
        "# a comment\na.b = 1\nlong=one\\\n  two\nunicode=\\u00e9\\t.\nserver.port:8\na.list[0]=x\na.list[1]=y\n"
    )
    settings = load([], {"SPRING_CONFIG_LOCATION": f"{tmp_path}/"})
    assert (settings.text("a.b"), settings.text("long"), settings.text("unicode")) == ("1", "onetwo", "é\t.")
    assert (settings.number("server.port", 0), settings.texts("a.list")) == (8, ["x", "y"])


def test_documents_of_profiles(tmp_path: Path) -> None:
    path = tmp_path / "application.yaml"
    path.write_text("a: 1\n---\nspring.config.activate.on-profile: dev\na: 2\n---\nb: 1\n")
    assert load([path], {}).text("a") == "1"
    assert load([path], {"SPRING_PROFILES_ACTIVE": "x,dev"}).text("a") == "2"


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("classpath:/config/", "within Java's programs"),
        ("/there/is/none.yaml", "/there/is/none.yaml: No such file"),
        ("FOLDER", "there is no application.yaml in the folder"),
        ("BROKEN", "line 2, column 2: not YAML"),
        ("BYTES", "not YAML"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, location: str, says: str) -> None:
    (tmp_path / "broken.yaml").write_text("a: [1\nb: 2")
    (tmp_path / "bytes.yaml").write_bytes(b"a: \xff\xfe")
    (tmp_path / "folder").mkdir()
    known = {"FOLDER": "folder", "BROKEN": "broken.yaml", "BYTES": "bytes.yaml"}
    where = str(tmp_path / known[location]) if location in known else location
    with pytest.raises(Misconfigured, match=says.replace("(", r"\(")):
        load([], {"SPRING_CONFIG_LOCATION": where})


def test_the_command_lines_broker_goes_before_all(tmp_path: Path) -> None:
    path = tmp_path / "application.yaml"
    path.write_text(NEWER)
    given = ("participant.intermediaryParameters.kafka.bootstrapServers", "127.0.0.1:1", "--broker")
    found = configured([path], [given], {"KAFKA_SERVER": "else:1"})
    assert found.kafka.servers == "127.0.0.1:1"


@pytest.mark.parametrize(
    ("text", "environment", "becomes"),
    [
        ("plain", {}, "plain"),
        ("${A}", {"A": "1"}, "1"),
        ("${A:x}", {}, "x"),
        ("${A:}", {}, ""),
        ("${A:b:c}", {}, "b:c"),
        ("${A:${B:c}}d", {}, "cd"),
        ("${A:${B:c}}d", {"B": "2"}, "2d"),
        ("${${A}}", {"A": "B", "B": "3"}, "3"),
        ("${A}", {"A": "${B}", "B": "4"}, "4"),
        ("$A {B} }", {}, "$A {B} }"),
    ],
)
def test_placeholders(text: str, environment: dict[str, str], becomes: str) -> None:
    assert resolve(text, environment.get) == becomes


def test_random_placeholders() -> None:
    first, second = (resolve("x-${random.uuid}", {}.get) for _ in range(2))
    assert first != second
    assert UUID(first.removeprefix("x-"))
    assert 3 <= int(resolve("${random.int(3,5)}", {}.get)) < 5
    assert len(resolve("${random.value}", {}.get)) == 32


def test_placeholders_that_stand_for_each_other() -> None:
    with pytest.raises(Unresolvable, match="A and B stand for each other"):
        resolve("${A}", {"A": "${B}", "B": "${A}"}.get)


@given(st.text(alphabet="${}:Aab", max_size=20))
def test_any_text(text: str) -> None:
    try:
        found = resolve(text, {"A": "1"}.get)
    except Unresolvable:
        return
    assert found == text or "${" in text


@pytest.mark.parametrize("written", ["a.fooBar[0].b", "a.foo-bar[0].b", "a.foo_bar.0.b", "A.FOOBAR[0].B"])
def test_one_key_in_many_spellings(written: str) -> None:
    assert canonical(written) == "a.foobar.0.b"
