"""The journal's tables (specification of live trading, section 6.1): what was decided, asked, answered and filled.

Append-only tables are never rewritten; `orders`, `positions` and `equity_points` are folded from them and can be built
anew. Separate from `models.py` only for its length.
"""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ForeignKeyConstraint,
    Identity,
    Index,
    PrimaryKeyConstraint,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from tradesentry.core.execution.journal_rows import (
    ATTEMPT_KINDS,
    EFFECTS,
    EVIDENCE,
    MAX_INSTANCE,
    MAX_SEQ,
    STATUSES,
    TRADING_STATES,
)
from tradesentry.database.models import ENVIRONMENTS, MONEY, NOW, Base, one_of, owned_account


def owned_intent() -> ForeignKeyConstraint:
    """Return the composite key from a tenant's row to its intent."""
    return ForeignKeyConstraint(
        ["user_id", "account_id", "seq"], ["order_intents.user_id", "order_intents.account_id", "order_intents.seq"]
    )


class AccountLease(Base):
    """Who owns an account now, in which epoch, and the last number given to an order. Lease statements only."""

    __tablename__ = "account_leases"
    __table_args__ = (
        owned_account(),
        one_of("environment", ENVIRONMENTS),
        CheckConstraint(f"seq BETWEEN 0 AND {MAX_SEQ}", name="seq"),
        CheckConstraint(f"instance BETWEEN 0 AND {MAX_INSTANCE}", name="instance"),
        CheckConstraint("epoch >= 0", name="epoch"),
        Index("ix_account_leases_user_id", "user_id"),
        Index("ix_account_leases_owner", "owner"),
        Index("ix_account_leases_wanted", "account_id", postgresql_where=text("wanted")),
    )

    account_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID]
    broker: Mapped[str]
    environment: Mapped[str]
    owner: Mapped[str | None]
    epoch: Mapped[int] = mapped_column(server_default=text("0"))
    lease_until: Mapped[datetime | None]
    seq: Mapped[int] = mapped_column(server_default=text("0"))
    instance: Mapped[int]
    log_id: Mapped[str | None]
    wanted: Mapped[bool] = mapped_column(server_default=text("false"))


class OrderIntent(Base):
    """What was decided, with the snapshot that the risk gates saw. Append-only."""

    __tablename__ = "order_intents"
    __table_args__ = (
        owned_account(),
        ForeignKeyConstraint(["user_id", "run_id"], ["live_runs.user_id", "live_runs.id"]),
        # Not unique alone: `instance` has 15 bits, so two accounts of one installation may share it.
        UniqueConstraint("account_id", "client_order_id"),
        UniqueConstraint("run_id", "bar_close_ns", "intent_index"),
        UniqueConstraint("user_id", "account_id", "seq"),
        CheckConstraint(
            "(bar_close_ns IS NULL) = (intent_index IS NULL) AND (bar_close_ns IS NULL OR run_id IS NOT NULL)",
            name="decided_by_a_bar",
        ),
        one_of("effect", EFFECTS),
    )

    account_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID]
    epoch: Mapped[int]
    client_order_id: Mapped[str]
    run_id: Mapped[uuid.UUID | None]
    bar_close_ns: Mapped[int | None]
    intent_index: Mapped[int | None]
    instrument: Mapped[str]
    effect: Mapped[str]
    group_id: Mapped[str | None]
    intent: Mapped[dict[str, Any]]
    risk: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class OrderAttempt(Base):
    """One request to the venue, committed before its first byte. Append-only."""

    __tablename__ = "order_attempts"
    __table_args__ = (
        owned_account(),
        owned_intent(),
        one_of("kind", ATTEMPT_KINDS),
        Index("ix_order_attempts_user_id_account_id_seq", "user_id", "account_id", "seq"),
    )

    account_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID]
    epoch: Mapped[int]
    kind: Mapped[str]
    request: Mapped[dict[str, Any]]
    sending_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))


class OrderTransition(Base):
    """One step in the life of an order, with its evidence. Append-only."""

    __tablename__ = "order_transitions"
    __table_args__ = (
        owned_account(),
        owned_intent(),
        one_of("from_status", STATUSES),
        one_of("to_status", STATUSES),
        one_of("evidence", EVIDENCE),
        Index("ix_order_transitions_user_id_account_id_seq", "user_id", "account_id", "seq"),
    )

    account_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID]
    epoch: Mapped[int]
    from_status: Mapped[str | None]
    to_status: Mapped[str]
    cause: Mapped[str]
    evidence: Mapped[str]
    log_id: Mapped[str | None]
    event_seq: Mapped[int | None]
    at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))


class VenueEvent(Base):
    """What the venue said, as it said it. Append-only, insert-or-ignore by (account, log, seq); by month of `ts_ns`."""

    __tablename__ = "venue_events"
    __table_args__ = (
        # A partitioned key must hold the partition column; a trigger keeps (account_id, log_id, seq) unique.
        PrimaryKeyConstraint("account_id", "log_id", "seq", "ts_ns"),
        owned_account(),
        Index("ix_venue_events_user_id_account_id_ts_ns", "user_id", "account_id", "ts_ns"),
        {"postgresql_partition_by": "RANGE (ts_ns)"},
    )

    account_id: Mapped[uuid.UUID]
    log_id: Mapped[str]
    seq: Mapped[int]
    ts_ns: Mapped[int]
    user_id: Mapped[uuid.UUID]
    epoch: Mapped[int]
    kind: Mapped[str]
    raw: Mapped[dict[str, Any]]
    received_ns: Mapped[int]


class EventCursor(Base):
    """Up to which number the events of a log are complete. Forward only."""

    __tablename__ = "event_cursors"
    __table_args__ = (owned_account(), Index("ix_event_cursors_user_id_account_id", "user_id", "account_id"))

    account_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    log_id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID]
    epoch: Mapped[int]
    contiguous_seq: Mapped[int]
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class AccountStateRow(Base):
    """Trading state and marks of an account; each change leaves a row of history, written by a trigger."""

    __tablename__ = "account_states"
    __table_args__ = (
        owned_account(),
        one_of("trading_state", TRADING_STATES),
        one_of("return_state", TRADING_STATES),
        Index("ix_account_states_user_id", "user_id"),
    )

    account_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID]
    epoch: Mapped[int]
    trading_state: Mapped[str]
    return_state: Mapped[str | None]
    """Where RECONCILING goes back to."""
    reason: Mapped[str]
    balance: Mapped[Decimal] = mapped_column(MONEY)
    equity: Mapped[Decimal] = mapped_column(MONEY)
    high_water_mark: Mapped[Decimal] = mapped_column(MONEY)
    day_start_equity: Mapped[Decimal] = mapped_column(MONEY)
    flows: Mapped[Decimal] = mapped_column(MONEY, server_default=text("0"))
    """Deposits less withdrawals since the start."""
    as_of_ns: Mapped[int]
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class AccountStateHistory(Base):
    """Every trading state and mark an account ever had. Append-only."""

    __tablename__ = "account_state_history"
    __table_args__ = (
        owned_account(),
        Index("ix_account_state_history_user_id_account_id_n", "user_id", "account_id", "n"),
    )

    account_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    user_id: Mapped[uuid.UUID]
    epoch: Mapped[int]
    trading_state: Mapped[str]
    return_state: Mapped[str | None]
    reason: Mapped[str]
    balance: Mapped[Decimal] = mapped_column(MONEY)
    equity: Mapped[Decimal] = mapped_column(MONEY)
    high_water_mark: Mapped[Decimal] = mapped_column(MONEY)
    day_start_equity: Mapped[Decimal] = mapped_column(MONEY)
    flows: Mapped[Decimal] = mapped_column(MONEY)
    as_of_ns: Mapped[int]
    at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))


class ExposureBook(Base):
    """The lock under which the accounts of one user and environment share their limits."""

    __tablename__ = "exposure_books"
    __table_args__ = (ForeignKeyConstraint(["user_id"], ["users.id"]), one_of("environment", ENVIRONMENTS))

    user_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    environment: Mapped[str] = mapped_column(primary_key=True)
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class ExposureReservation(Base):
    """Headroom that an open intent holds until it is terminal."""

    __tablename__ = "exposure_reservations"
    __table_args__ = (
        owned_account(),
        owned_intent(),
        ForeignKeyConstraint(["user_id", "environment"], ["exposure_books.user_id", "exposure_books.environment"]),
        CheckConstraint("risk >= 0", name="risk"),
        Index("ix_exposure_reservations_open", "user_id", "environment", postgresql_where=text("released_at IS NULL")),
        Index("ix_exposure_reservations_user_id_account_id_seq", "user_id", "account_id", "seq"),
    )

    account_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID]
    environment: Mapped[str]
    epoch: Mapped[int]
    instrument: Mapped[str]
    legs: Mapped[dict[str, Any]]
    """Signed account-currency exposure by currency, as decimal strings."""
    risk: Mapped[Decimal] = mapped_column(MONEY)
    released_at: Mapped[datetime | None]


class PaperTransaction(Base):
    """The paper venue's own log, with a snapshot of the venue every 1,000 rows. Append-only."""

    __tablename__ = "paper_transactions"
    __table_args__ = (
        owned_account(),
        Index("ix_paper_transactions_user_id_account_id_seq", "user_id", "account_id", "seq"),
        Index("ix_paper_transactions_snapshots", "account_id", "seq", postgresql_where=text("snapshot IS NOT NULL")),
    )

    account_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID]
    epoch: Mapped[int]
    kind: Mapped[str]
    payload: Mapped[dict[str, Any]]
    snapshot: Mapped[bytes | None]
    ts_ns: Mapped[int]
