"""What recovery and the order manager read from the journal; each function runs inside a tenant's transaction."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg

from tradesentry.core.domain.events import BrokerEvent, EventKind, Fill
from tradesentry.core.domain.live_orders import TERMINAL, Effect, OrderStatus
from tradesentry.core.domain.orders import Side
from tradesentry.core.execution.journal_rows import (
    AccountJournal,
    AccountRecord,
    Attempt,
    AttemptKind,
    Lease,
    LiveState,
    OrderRecord,
    PositionRecord,
    Reservation,
    SavedState,
    StoredIntent,
    intent_of,
)

Connection = asyncpg.pool.PoolConnectionProxy
Row = Mapping[str, Any]
_CLOSED = [status.value for status in TERMINAL]


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def reservation_of(row: Row) -> Reservation:
    """Return the reservation of a row."""
    legs = {currency: Decimal(amount) for currency, amount in row["legs"].items()}
    return Reservation(row["account_id"], row["seq"], row["instrument"], legs, row["risk"])


def _order_of(row: Row) -> OrderRecord:
    return OrderRecord(
        order_key=row["order_key"],
        seq=row["seq"],
        instrument=row["instrument"],
        side=Side(row["side"]),
        effect=Effect(row["effect"]),
        status=OrderStatus(row["status"]),
        units=row["units"],
        filled_units=row["filled_units"],
        average_price=_float(row["average_price"]),
        venue_order_ids=tuple(row["venue_order_ids"]),
        terms=row["terms"],
        evidence=row["evidence"],
        last_ts_ns=row["last_ts_ns"],
    )


def position_of(row: Row) -> PositionRecord:
    """Return the trade of a row."""
    return PositionRecord(
        trade_ref=row["trade_ref"],
        seq=row["seq"],
        instrument=row["instrument"],
        side=Side(row["side"]),
        units=row["units"],
        entry_price=float(row["entry_price"]),
        stop_loss=_float(row["stop_loss"]),
        take_profit=_float(row["take_profit"]),
        initial_risk=row["initial_risk"],
        opened_ns=row["opened_ns"],
        last_ts_ns=row["last_ts_ns"],
        terms=row["terms"],
    )


def _account_of(row: Row) -> AccountRecord:
    return AccountRecord(
        state=LiveState(row["trading_state"]),
        reason=row["reason"],
        balance=row["balance"],
        equity=row["equity"],
        high_water_mark=row["high_water_mark"],
        day_start_equity=row["day_start_equity"],
        as_of_ns=row["as_of_ns"],
        flows=row["flows"],
        return_state=None if row["return_state"] is None else LiveState(row["return_state"]),
    )


async def account(connection: "Connection[Any]", lease: Lease) -> AccountJournal:
    """Return all that recovery starts from, as of one instant."""
    account_id = lease.account_id
    state = await connection.fetchrow("SELECT * FROM account_states WHERE account_id = $1", account_id)
    cursor = await connection.fetchrow(
        "SELECT l.log_id, coalesce(c.contiguous_seq, 0) AS cursor FROM account_leases l LEFT JOIN event_cursors c"
        " ON c.account_id = l.account_id AND c.log_id = l.log_id WHERE l.account_id = $1",
        account_id,
    )
    orders = await connection.fetch(
        "SELECT * FROM orders WHERE account_id = $1 AND status <> ALL($2::text[]) ORDER BY order_key",
        account_id, _CLOSED,
    )  # fmt: skip
    attempts = await connection.fetch(
        "SELECT seq, attempt, kind, request, (extract(epoch FROM sending_at) * 1000000000)::bigint AS sending_ns"
        " FROM order_attempts WHERE account_id = $1 AND seq = ANY($2::bigint[]) ORDER BY seq, attempt",
        account_id, [row["seq"] for row in orders if row["seq"] is not None],
    )  # fmt: skip
    positions = await connection.fetch(
        "SELECT * FROM positions WHERE account_id = $1 AND units > 0 ORDER BY trade_ref", account_id
    )
    reservations = await connection.fetch(
        "SELECT * FROM exposure_reservations WHERE account_id = $1 AND released_at IS NULL ORDER BY seq", account_id
    )
    return AccountJournal(
        account=None if state is None else _account_of(state),
        log_id=None if cursor is None else cursor["log_id"],
        cursor=0 if cursor is None else cursor["cursor"],
        orders=[_order_of(row) for row in orders],
        attempts=[
            Attempt(row["seq"], row["attempt"], AttemptKind(row["kind"]), row["request"], row["sending_ns"])
            for row in attempts
        ],
        positions=[position_of(row) for row in positions],
        reservations=[reservation_of(row) for row in reservations],
    )


async def intent(connection: "Connection[Any]", lease: Lease, client_order_id: str) -> StoredIntent | None:
    """Return an intent by its client order id."""
    row = await connection.fetchrow(
        "SELECT intent, client_order_id, epoch, risk FROM order_intents WHERE account_id = $1 AND client_order_id = $2",
        lease.account_id, client_order_id,
    )  # fmt: skip
    return None if row is None else StoredIntent(intent_of(row["intent"]), client_order_id, row["epoch"], row["risk"])


async def files(
    connection: "Connection[Any]", lease: Lease, order_keys: Sequence[str], trade_refs: Sequence[str]
) -> tuple[list[OrderRecord], list[PositionRecord]]:
    """Return orders and trades by their keys."""
    orders = await connection.fetch(
        "SELECT * FROM orders WHERE account_id = $1 AND order_key = ANY($2::text[]) ORDER BY order_key",
        lease.account_id, list(order_keys),
    )  # fmt: skip
    trades = await connection.fetch(
        "SELECT * FROM positions WHERE account_id = $1 AND trade_ref = ANY($2::text[]) ORDER BY trade_ref",
        lease.account_id, list(trade_refs),
    )  # fmt: skip
    return [_order_of(row) for row in orders], [position_of(row) for row in trades]


async def events(
    connection: "Connection[Any]", lease: Lease, log_id: str, *, after: int, limit: int
) -> list[BrokerEvent]:
    """Return events with a higher number, in order."""
    rows = await connection.fetch(
        "SELECT seq, kind, raw, ts_ns, received_ns FROM venue_events WHERE account_id = $1 AND log_id = $2 AND seq > $3"
        " ORDER BY seq LIMIT $4",
        lease.account_id, log_id, after, limit,
    )  # fmt: skip
    who = str(lease.account_id)
    return [
        BrokerEvent(who, log_id, row["seq"], EventKind(row["kind"]), row["raw"], row["ts_ns"], row["received_ns"])
        for row in rows
    ]


async def fills(connection: "Connection[Any]", lease: Lease) -> list[Fill]:
    """Return all fills of an account, oldest first."""
    rows = await connection.fetch(
        "SELECT * FROM fills WHERE account_id = $1 ORDER BY ts_ns, fill_id, leg", lease.account_id
    )
    return [
        Fill(
            account=str(lease.account_id),
            fill_id=row["fill_id"],
            leg=row["leg"],
            venue_order_id=row["venue_order_id"] or "",
            client_order_id=row["client_order_id"],
            trade_ref=row["trade_ref"],
            symbol=row["instrument"],
            side=Side(row["side"]),
            units=row["units"],
            price=float(row["price"]),
            commission=row["commission"],
            swap=row["swap"],
            realized=row["realized"],
            ts_ns=row["ts_ns"],
            effect=Effect(row["effect"]),
        )
        for row in rows
    ]


async def state(connection: "Connection[Any]", lease: Lease, run_id: UUID, market: str) -> SavedState | None:
    """Return a strategy's saved memory."""
    row = await connection.fetchrow(
        "SELECT bar_close_ns, dtype_digest, snapshot FROM run_states"
        " WHERE account_id = $1 AND run_id = $2 AND market = $3",
        lease.account_id, run_id, market,
    )  # fmt: skip
    return (
        None if row is None else SavedState(run_id, market, row["bar_close_ns"], row["dtype_digest"], row["snapshot"])
    )
