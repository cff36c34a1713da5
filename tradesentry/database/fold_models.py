"""The tables folded from the journal: what orders, fills, positions and equity are now. They can be built anew.

Separate from `journal_models.py`, whose tables are the truth and are never rewritten.
"""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import CheckConstraint, Index, PrimaryKeyConstraint, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from tradesentry.core.execution.journal_rows import EFFECTS, EVIDENCE, STATUSES
from tradesentry.database.models import MONEY, NOW, PRICE, UNITS, Base, one_of, owned_account


class OrderRow(Base):
    """What an order is now: the fold of its transitions and of the venue's events."""

    __tablename__ = "orders"
    __table_args__ = (
        owned_account(),
        one_of("status", STATUSES),
        one_of("evidence", EVIDENCE),
        one_of("effect", EFFECTS),
        CheckConstraint("side IN (-1, 1)", name="side"),
        CheckConstraint("is_external = (seq IS NULL)", name="external"),
        Index("ix_orders_user_id_account_id_status", "user_id", "account_id", "status"),
        Index("uq_orders_account_id_seq", "account_id", "seq", unique=True),
    )

    account_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    order_key: Mapped[str] = mapped_column(primary_key=True)
    """Client order id, or `venue:` and the venue's id for an order that is not ours."""
    seq: Mapped[int | None]
    user_id: Mapped[uuid.UUID]
    epoch: Mapped[int]
    instrument: Mapped[str]
    side: Mapped[int] = mapped_column(SmallInteger)
    effect: Mapped[str]
    status: Mapped[str]
    units: Mapped[Decimal] = mapped_column(UNITS)
    filled_units: Mapped[Decimal] = mapped_column(UNITS, server_default=text("0"))
    average_price: Mapped[Decimal | None] = mapped_column(PRICE)
    venue_order_ids: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    terms: Mapped[dict[str, Any]]
    """Type, prices, stop, target, expiry as they stand at the venue."""
    is_external: Mapped[bool] = mapped_column(server_default=text("false"))
    evidence: Mapped[str]
    last_ts_ns: Mapped[int]
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class FillRow(Base):
    """A fill, one row per trade it touched. Append-only, insert-or-ignore."""

    __tablename__ = "fills"
    __table_args__ = (
        owned_account(),
        one_of("effect", EFFECTS),
        CheckConstraint("side IN (-1, 1)", name="side"),
        CheckConstraint("units > 0", name="units"),
        Index("ix_fills_user_id_account_id_ts_ns", "user_id", "account_id", "ts_ns"),
        Index("ix_fills_account_id_client_order_id", "account_id", "client_order_id"),
    )

    account_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    fill_id: Mapped[str] = mapped_column(primary_key=True)
    leg: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID]
    epoch: Mapped[int]
    venue_order_id: Mapped[str | None]
    client_order_id: Mapped[str | None]
    trade_ref: Mapped[str]
    instrument: Mapped[str]
    side: Mapped[int] = mapped_column(SmallInteger)
    units: Mapped[Decimal] = mapped_column(UNITS)
    price: Mapped[Decimal] = mapped_column(PRICE)
    commission: Mapped[Decimal] = mapped_column(MONEY)
    swap: Mapped[Decimal] = mapped_column(MONEY)
    realized: Mapped[Decimal] = mapped_column(MONEY)
    effect: Mapped[str]
    ts_ns: Mapped[int]


class PositionRow(Base):
    """An open trade at the venue, folded from fills; the net position is their sum. Closed: 0 units."""

    __tablename__ = "positions"
    __table_args__ = (
        owned_account(),
        CheckConstraint("side IN (-1, 1)", name="side"),
        CheckConstraint("units >= 0", name="units"),
        Index("ix_positions_user_id_account_id_instrument", "user_id", "account_id", "instrument"),
    )

    account_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    trade_ref: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID]
    epoch: Mapped[int]
    seq: Mapped[int | None]
    """The intent that opened it; none for a trade that is not ours."""
    instrument: Mapped[str]
    side: Mapped[int] = mapped_column(SmallInteger)
    units: Mapped[Decimal] = mapped_column(UNITS)
    entry_price: Mapped[Decimal] = mapped_column(PRICE)
    stop_loss: Mapped[Decimal | None] = mapped_column(PRICE)
    take_profit: Mapped[Decimal | None] = mapped_column(PRICE)
    initial_risk: Mapped[Decimal | None] = mapped_column(MONEY)
    opened_ns: Mapped[int]
    last_ts_ns: Mapped[int]
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)
    terms: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    """What the trade follows from, exact; the numbers above are rounded."""


class EquityPoint(Base):
    """Balance and equity at one instant. By month of `ts_ns`."""

    __tablename__ = "equity_points"
    __table_args__ = (
        PrimaryKeyConstraint("account_id", "ts_ns"),
        owned_account(),
        Index("ix_equity_points_user_id_account_id_ts_ns", "user_id", "account_id", "ts_ns"),
        {"postgresql_partition_by": "RANGE (ts_ns)"},
    )

    account_id: Mapped[uuid.UUID]
    ts_ns: Mapped[int]
    user_id: Mapped[uuid.UUID]
    epoch: Mapped[int]
    balance: Mapped[Decimal] = mapped_column(MONEY)
    equity: Mapped[Decimal] = mapped_column(MONEY)
    margin_used: Mapped[Decimal] = mapped_column(MONEY)
