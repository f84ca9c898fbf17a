"""A participant's configuration, from either shape that ONAP's participants have had.

The newer one says ``topics`` and ``kafka`` below ``participant.intermediaryParameters``; up to release 9.1.0 the same
stood in lists, ``clampAutomationCompositionTopics.topicSources[]`` and ``topicSinks[]``. Where both are there, the
newer wins. What only Mizzen knows is below ``mizzen``, which ONAP's participants pass over.
"""

from __future__ import annotations

import re
from uuid import UUID, uuid4

from msgspec import Struct, field

from mizzen.acm.messages.elements import SupportedElementType
from mizzen.acm.messages.topics import Topics
from mizzen.acm.participant.configuration.settings import Settings

_ROOT = "participant.intermediaryParameters"
_OLDER = f"{_ROOT}.clampAutomationCompositionTopics"
_TYPE_NAME = re.compile(r"[A-Za-z0-9\-_.]+")
_TYPE_VERSION = re.compile(r"\d+\.\d+\.\d+")

# Spring's own machinery, and what only says how Java's programs are to behave.
_NEEDLESS = (
    f"{_ROOT}.clampAdminTopics",
    f"{_ROOT}.topicValidation",
    f"{_ROOT}.kafka.authExceptionRetryInterval",
    "logging",
    "management",
    "security.enable-csrf",
    "spring.application",
    "spring.autoconfigure",
    "spring.cloud",
    "spring.config",
    "spring.main",
    "spring.profiles",
    "spring.threads",
)


class KafkaAccess(Struct, frozen=True):
    """How Kafka is reached, in the words of Java's client.

    Attributes:
        servers: ``host:port``, several with commas between.
        group: the consumer group in which orders are taken, one for all replicas.
        sync_group: this replica's own, which begins with the other so that a permission by prefix covers both.
        properties: for all clients.
        quick: short sessions, which only the embedded broker takes.
    """

    servers: str
    group: str
    sync_group: str
    properties: dict[str, str] = field(default_factory=dict)
    consumer: dict[str, str] = field(default_factory=dict)
    producer: dict[str, str] = field(default_factory=dict)
    quick: bool = False


class Credentials(Struct, frozen=True):
    """Who may read health and metrics."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r}, password=...)"


class Configuration(Struct, frozen=True):
    """
    Attributes:
        replica_id: made at each start.
        heartbeat: seconds between two reports.
        pool_size: how many elements are worked on at once.
        fail_unsupported: whether what the handler does not do fails, or passes as not implemented.
        generic_failure_texts: whether acknowledgements say no more than those of Java's participant.
        held_timeout: seconds that an order waits for what it needs to be told before it is dropped.
        host, port: of the HTTP endpoints; 0 takes any.
        context_path: what all their paths begin with.
        credentials: None keeps the endpoints closed.
        settings: for what the element handler reads for itself.
    """

    participant_id: UUID
    replica_id: UUID
    types: tuple[SupportedElementType, ...]
    kafka: KafkaAccess
    settings: Settings
    topics: Topics = Topics()
    description: str = ""
    heartbeat: float = 120.0
    pool_size: int = 10
    fail_unsupported: bool = False
    generic_failure_texts: bool = False
    held_timeout: float = 600.0
    host: str = "0.0.0.0"
    port: int = 6969
    context_path: str = ""
    credentials: Credentials | None = None

    def warnings(self) -> list[str]:
        """What could not be taken as it stands. To be asked for when all have read what they need."""
        return [*self.settings.warnings, *(f"{key}: not supported, and ignored" for key in self.settings.unread())]


def read(settings: Settings) -> Configuration:
    """
    Raises:
        Misconfigured: with all that is wrong, each with its key's path.
    """
    for path in _NEEDLESS:
        settings.pass_over(path)
    participant = settings.uuid(f"{_ROOT}.participantId")
    replica = uuid4()
    found = Configuration(
        participant_id=participant or UUID(int=0),
        replica_id=replica,
        types=tuple(_types(settings)),
        kafka=_kafka(settings, replica),
        settings=settings,
        topics=_topics(settings),
        description=settings.text(f"{_ROOT}.description"),
        heartbeat=settings.number(f"{_ROOT}.reportingTimeIntervalMs", 120_000, least=1) / 1000,
        pool_size=settings.number(f"{_ROOT}.threadPoolSize", 10, least=1),
        fail_unsupported=settings.flag(f"{_ROOT}.failUnsupportedOperation", False),
        generic_failure_texts=settings.flag("mizzen.genericFailureTexts", False),
        held_timeout=settings.number("mizzen.heldMessageTimeoutMs", 600_000, least=1) / 1000,
        host=settings.text("server.address", "0.0.0.0"),
        port=settings.number("server.port", 6969, most=65535),
        context_path=_context_path(settings),
        credentials=_credentials(settings),
    )
    _elsewhere(settings)
    settings.check()
    return found


def _types(settings: Settings) -> list[SupportedElementType]:
    root = f"{_ROOT}.participantSupportedElementTypes"
    found = []
    for item in settings.items(root):
        name = settings.required(f"{item}.typeName", "the name of an element type")
        version = settings.required(f"{item}.typeVersion", "a version such as 1.0.1")
        if name and not _TYPE_NAME.fullmatch(name):
            settings.problem(f"{item}.typeName", f"{name!r} may have letters, digits, '-', '_' and '.'")
        if version and not _TYPE_VERSION.fullmatch(version):
            settings.problem(f"{item}.typeVersion", f"{version!r} is not three numbers with dots between")
        found.append(SupportedElementType(id=uuid4(), type_name=name, type_version=version))
    if not found:
        settings.problem(root, "is missing; it takes a list of at least one {typeName, typeVersion}")
    return found


def _topics(settings: Settings) -> Topics:
    operation = settings.text(f"{_ROOT}.topics.operationTopic")
    sync = settings.text(f"{_ROOT}.topics.syncTopic")
    sources = [settings.text(f"{item}.topic") for item in settings.items(f"{_OLDER}.topicSources")]
    default = Topics()
    found = Topics(
        operation or next(iter(sources), "") or default.operation,
        sync or next((topic for topic in sources[1:] if topic), "") or default.sync,
    )
    for item in settings.items(f"{_OLDER}.topicSinks"):
        sink = settings.text(f"{item}.topic", found.operation)
        if sink != found.operation:
            settings.warn(f"{item}.topic", f"{sink} is not sent to: what participants say goes to {found.operation}")
    return found


def _kafka(settings: Settings, replica: UUID) -> KafkaAccess:
    newer, older = f"{_ROOT}.kafka", _older(settings)
    servers = ",".join(settings.texts(f"{newer}.bootstrapServers")) or older.servers
    if not servers:
        settings.problem(f"{newer}.bootstrapServers", "is missing; it takes host:port, several with commas between")
    group = settings.text(f"{newer}.consumer.groupId") or older.group
    if not group:
        settings.problem(f"{newer}.consumer.groupId", "is missing; it takes the name of a consumer group")
    own = settings.text("mizzen.syncGroupId") or older.sync_group
    if own and not own.startswith(group):
        settings.warn("mizzen.syncGroupId", f"{own} does not begin as the group {group} does, whose permissions it has")
    return KafkaAccess(
        servers,
        group,
        own or f"{group}-{settings.variable('POD_UID') or replica}",
        older.properties | settings.entries(f"{newer}.properties"),
        older.consumer | settings.entries(f"{newer}.consumer.properties"),
        older.producer | settings.entries(f"{newer}.producer.properties"),
        settings.flag("mizzen.embeddedBroker", False),
    )


class _Older(Struct):
    servers: str = ""
    group: str = ""
    sync_group: str = ""
    properties: dict[str, str] = field(default_factory=dict)
    consumer: dict[str, str] = field(default_factory=dict)
    producer: dict[str, str] = field(default_factory=dict)


def _older(settings: Settings) -> _Older:
    found = _Older()
    sources, sinks = settings.items(f"{_OLDER}.topicSources"), settings.items(f"{_OLDER}.topicSinks")
    for item in (*sources, *sinks):
        servers = ",".join(settings.texts(f"{item}.servers"))
        found.servers = found.servers or servers
        over = settings.text(f"{item}.topicCommInfrastructure", "kafka")
        if over.lower() != "kafka":
            settings.warn(f"{item}.topicCommInfrastructure", f"{over} is not supported: Kafka is used")
        for key in ("useHttps", "allowTracing"):
            if settings.flag(f"{item}.{key}", False):
                settings.warn(f"{item}.{key}", "not supported, and ignored")
        for key in ("fetchTimeout", "fetchLimit", "selfSerializer"):
            settings.pass_over(f"{item}.{key}")
        given = settings.entries(f"{item}.additionalProps")
        group = given.pop("group.id", "")
        client = found.consumer if item in sources else found.producer
        client.update(given)
        if item in sources:
            found.group, found.sync_group = (found.group, group) if found.group else (group, "")
    found.properties = {key: value for key, value in found.consumer.items() if found.producer.get(key) == value}
    for client in (found.consumer, found.producer):
        for key in found.properties:
            del client[key]
    return found


def _context_path(settings: Settings) -> str:
    path = settings.text("server.servlet.context-path").strip("/")
    return f"/{path}" if path else ""


def _credentials(settings: Settings) -> Credentials | None:
    user = settings.text("spring.security.user.name", "participantUser")
    password = settings.text("spring.security.user.password")
    if not password:
        settings.warn(
            "spring.security.user.password", "is missing: health and metrics are not served until there is one"
        )
        return None
    return Credentials(user, password)


def _elsewhere(settings: Settings) -> None:
    if settings.flag("server.ssl.enabled", False):
        settings.problem("server.ssl.enabled", "HTTPS is not served here: set it to false, and put a proxy before it")
    if settings.flag("tracing.enabled", False):
        settings.warn("tracing.enabled", "traces are not exported")
    settings.pass_over("tracing")
    settings.pass_over("server.ssl")
