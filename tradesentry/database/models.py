"""The tables that live trading needs: people, accounts, runs, the journal and what is folded from it.

The source of the schema; migrations are generated from it and then read. Rules that SQLAlchemy cannot say (row-level
security, grants, append-only and fence triggers) are in `rules.sql` of the migration that makes the table.

Every table of a tenant has `user_id`, an index that starts with it, and keys to other tenant tables that include it,
because foreign keys ignore row-level security. Prices are NUMERIC(18,8), money and units NUMERIC(24,8); times named
`_ns` are int64 nanoseconds UTC of a venue or a bar, the others are the database's own clock.
"""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKeyConstraint,
    Index,
    MetaData,
    Numeric,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

PRICE = Numeric(18, 8)
MONEY = Numeric(24, 8)
UNITS = Numeric(24, 8)
NOW = text("now()")

ROLE_NAMES = ("user", "provider", "admin", "auditor")
ENVIRONMENTS = ("paper", "demo", "real")
BROKERS = ("paper", "oanda", "mt5")
DESIRED = ("running", "paused", "stopped", "flatten")
ACTUAL = ("pending", "running", "paused", "stopped", "failed")


def one_of(column: str, values: tuple[str, ...], name: str | None = None) -> CheckConstraint:
    """Return a check that `column` holds one of `values`."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=name or column)


class Base(DeclarativeBase):
    """Base of all tables; names of constraints follow one rule, so that migrations can find them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012
        uuid.UUID: UUID(as_uuid=True),
        datetime: DateTime(timezone=True),
        str: Text(),
        int: BigInteger(),
        dict[str, Any]: JSONB(),
        list[str]: ARRAY(Text()),
    }


def owned_account() -> ForeignKeyConstraint:
    """Return the composite key from a tenant's row to its account."""
    return ForeignKeyConstraint(["user_id", "account_id"], ["broker_links.user_id", "broker_links.id"])


class User(Base):
    """A person; the tenant. Credentials come with the API."""

    __tablename__ = "users"
    __table_args__ = (
        one_of("role", ROLE_NAMES),
        one_of("status", ("active", "suspended", "deleted")),
        Index("uq_users_email", text("lower(email)"), unique=True),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    email: Mapped[str]
    role: Mapped[str] = mapped_column(server_default="user")
    status: Mapped[str] = mapped_column(server_default="active")
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class BrokerLink(Base):
    """One trading account at a venue; its id is the journal's `account_id`. Linking makes the lease row."""

    __tablename__ = "broker_links"
    __table_args__ = (
        UniqueConstraint("user_id", "broker", "account_ref"),
        UniqueConstraint("user_id", "id"),
        ForeignKeyConstraint(["user_id"], ["users.id"]),
        one_of("broker", BROKERS),
        one_of("environment", ENVIRONMENTS),
        one_of("desired_trading", ("normal", "halted")),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID]
    broker: Mapped[str]
    account_ref: Mapped[str]
    environment: Mapped[str]
    desired_trading: Mapped[str] = mapped_column(server_default="normal")
    settings: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    """What must match at connect: currency, netting or hedging, server and its time zone."""
    scopes: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    validation_requested_at: Mapped[datetime | None]
    validated_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class Agent(Base):
    """A process that trades live; no tenant."""

    __tablename__ = "agents"
    __table_args__ = (UniqueConstraint("host", "slot"), CheckConstraint("max_accounts > 0", name="max_accounts"))

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    host: Mapped[str]
    slot: Mapped[int]
    brokers: Mapped[list[str]]
    max_accounts: Mapped[int] = mapped_column(server_default=text("50"))
    heartbeat_at: Mapped[datetime] = mapped_column(server_default=NOW)
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class LiveRun(Base):
    """A strategy on an account: what its owner wants (`desired`) and what the agent does (`actual`)."""

    __tablename__ = "live_runs"
    __table_args__ = (
        UniqueConstraint("user_id", "id"),
        owned_account(),
        one_of("desired", DESIRED),
        one_of("actual", ACTUAL),
        Index(
            "uq_live_runs_account_id_strategy_variant", "account_id", "strategy", "variant", unique=True,
            postgresql_where=text("desired <> 'stopped'"),
        ),
        Index("ix_live_runs_user_id_account_id", "user_id", "account_id"),
    )  # fmt: skip

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID]
    account_id: Mapped[uuid.UUID]
    strategy: Mapped[str]
    code_digest: Mapped[str]
    variant: Mapped[str] = mapped_column(server_default="main")
    config: Mapped[dict[str, Any]]
    limits: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    desired: Mapped[str] = mapped_column(server_default="running")
    actual: Mapped[str] = mapped_column(server_default="pending")
    last_error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class RunState(Base):
    """A strategy's memory on one market, saved with the intents of the bar that made it."""

    __tablename__ = "run_states"
    __table_args__ = (
        owned_account(),
        ForeignKeyConstraint(["user_id", "run_id"], ["live_runs.user_id", "live_runs.id"]),
        Index("ix_run_states_user_id_account_id", "user_id", "account_id"),
    )

    run_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    market: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID]
    account_id: Mapped[uuid.UUID]
    epoch: Mapped[int]
    bar_close_ns: Mapped[int]
    dtype_digest: Mapped[str]
    snapshot: Mapped[bytes]
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class Outbox(Base):
    """Events and alerts, written in the transaction that caused them; numbered by the relay alone. By day."""

    __tablename__ = "outbox"
    __table_args__ = (
        ForeignKeyConstraint(["user_id"], ["users.id"]),
        Index("ix_outbox_user_id_seq", "user_id", "seq"),
        Index("ix_outbox_seq", "seq"),
        Index("ix_outbox_id_unnumbered", "id", postgresql_where=text("seq IS NULL")),
        Index("ix_outbox_id_alert", "id", postgresql_where=text("starts_with(topic, 'alert.')")),
        {"postgresql_partition_by": "RANGE (at)"},
    )

    id: Mapped[int] = mapped_column(primary_key=True, server_default=text("nextval('outbox_id_seq')"))
    at: Mapped[datetime] = mapped_column(primary_key=True, server_default=NOW)
    user_id: Mapped[uuid.UUID]
    account_id: Mapped[uuid.UUID | None]
    topic: Mapped[str]
    subject: Mapped[str]
    dedupe_key: Mapped[str | None]
    payload: Mapped[dict[str, Any]]
    seq: Mapped[int | None]
    delivered_at: Mapped[datetime | None]
    """Of an alert: when somebody had it."""
    escalated_at: Mapped[datetime | None]
    """Of an alert: when the second channel had it."""
    acknowledged_at: Mapped[datetime | None]
    """Of an alert: when its owner said that he has seen it."""
