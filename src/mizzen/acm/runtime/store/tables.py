"""The tables. Identifiers are texts, instants are microseconds since 1970, what has no schema is JSON in a text."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

_ID = String(36)
_WORD = String(32)
# SQLite counts rows up only where the key is an INTEGER.
_NUMBER = BigInteger().with_variant(Integer, "sqlite")

compositions = Table(
    "compositions",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("state", _WORD, nullable=False),
    Column("result", _WORD, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("deadline", BigInteger, index=True),
    Column("revision", _ID, nullable=False),
    Column("template", Text, nullable=False),
)

nodes = Table(
    "nodes",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("composition_id", _ID, ForeignKey("compositions.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("position", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("participant_id", _ID, index=True),
    Column("state", _WORD, nullable=False),
    Column("message", Text),
    Column("out_properties", Text, nullable=False),
)

instances = Table(
    "instances",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("composition_id", _ID, ForeignKey("compositions.id"), nullable=False, index=True),
    Column("target_id", _ID, ForeignKey("compositions.id"), index=True),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("description", Text),
    Column("deploy_state", _WORD, nullable=False),
    Column("lock_state", _WORD, nullable=False),
    Column("sub_state", _WORD, nullable=False),
    Column("result", _WORD, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("deadline", BigInteger, index=True),
    Column("phase", Integer),
    Column("first_phase", Integer),
    Column("revision", _ID, nullable=False),
    # Since when answers wait to be looked at together; empty while none do.
    Column("answered", BigInteger, index=True),
    UniqueConstraint("name", "version"),
)

elements = Table(
    "elements",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("instance_id", _ID, ForeignKey("instances.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("position", Integer, nullable=False),
    Column("definition_name", Text, nullable=False),
    Column("definition_version", Text, nullable=False),
    Column("participant_id", _ID, index=True),
    Column("deploy_state", _WORD, nullable=False),
    Column("lock_state", _WORD, nullable=False),
    Column("sub_state", _WORD, nullable=False),
    Column("migration_state", _WORD, nullable=False),
    Column("stage", Integer),
    Column("operational_state", Text),
    Column("use_state", Text),
    Column("message", Text),
    Column("description", Text),
    Column("properties", Text, nullable=False),
    Column("out_properties", Text, nullable=False),
)

# What an instance was before it was updated or migrated.
rollbacks = Table(
    "rollbacks",
    metadata,
    Column("instance_id", _ID, ForeignKey("instances.id", ondelete="CASCADE"), primary_key=True),
    Column("composition_id", _ID, nullable=False),
    Column("elements", Text, nullable=False),
    Column("replaced", Text),
)

participants = Table("participants", metadata, Column("id", _ID, primary_key=True))

types = Table(
    "types",
    metadata,
    Column("participant_id", _ID, ForeignKey("participants.id", ondelete="CASCADE"), primary_key=True),
    Column("id", _ID, nullable=False),
    Column("name", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    # A type is taken by one participant only, whoever comes first.
    UniqueConstraint("name", "version"),
)

replicas = Table(
    "replicas",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("participant_id", _ID, ForeignKey("participants.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("last", BigInteger, nullable=False),
)

# The order that an instance or a composition is working at, as long as it is: its messages' ids, and the last one of
# them, to be sent again when it may have been lost.
orders = Table(
    "orders",
    metadata,
    Column("subject", _ID, primary_key=True),
    Column("kind", _WORD, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("messages", Text, nullable=False),
    Column("body", Text, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    # The runtime whose sender it is.
    Column("owner", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("key", Text),
    Column("body", Text, nullable=False),
    Column("due", BigInteger, nullable=False),
    Column("logged", _NUMBER, nullable=False),
)

log = Table(
    "log",
    metadata,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("owner", Text, nullable=False),
    Column("direction", _WORD, nullable=False),
    Column("topic", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("composition_id", _ID),
    Column("instance_id", _ID),
    Column("participant_id", _ID),
    Column("outcome", Text, nullable=False),
    Column("body", Text, nullable=False),
    Index("ix_log_instance", "instance_id"),
    Index("ix_log_composition", "composition_id"),
    # A number is never given twice, even if the newest row was deleted: readers remember where they were.
    sqlite_autoincrement=True,
)

# Who does what only one may do, and who is there at all, until when unless it says so again.
leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("until", BigInteger, nullable=False),
)
